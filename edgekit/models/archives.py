"""Zip archives that may be hostile: names that climb out, links, bombs, entries that share bytes are refused.

Nothing is unpacked before the whole list of entries has been judged, and nothing is believed of what the list says
about sizes: reading stops at its limit. Every error is ModelError E_MODEL_ARCHIVE, except for a list of entries that
is not there at all (E_MODEL_TRUNCATED).
"""

from __future__ import annotations

import io
import lzma
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from edgekit.cache import CHUNK_BYTES, host_errors
from edgekit.errors import ModelError

MAX_ENTRIES = 20_000
MAX_UNPACKED_BYTES = 1 << 36
MAX_LIST_BYTES = 4 << 20
"""Of the list of entries (the central directory), which zipfile reads as a whole."""
BOMB_RATIO = 1000
BOMB_BYTES = 64 << 20
_LOCAL_HEADER_BYTES = 30
_END, _END_BYTES = b"PK\x05\x06", 22
_ENCRYPTED = 1
_UNIX = 3
_AGAIN = "copy or export the model again"
_FOREIGN = "do not use it: no exporter writes such an archive"


class _Capped(io.FileIO):
    """A file that refuses to be read in pieces larger than the list of entries may be."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > MAX_LIST_BYTES:
            raise zipfile.BadZipFile(f"its list of files takes more than {MAX_LIST_BYTES} bytes")
        return super().read(-1 if size is None else size) or b""


@contextmanager
def open_zip(path: Path, limit_bytes: int = MAX_UNPACKED_BYTES) -> Iterator[zipfile.ZipFile]:
    """An archive whose every entry is harmless. `limit_bytes` is for all of it unpacked.

    Raises ModelError: E_MODEL_TRUNCATED where there is no list of entries, E_MODEL_ARCHIVE.
    """
    with listed(path) as archive:
        _judge(path, archive, limit_bytes)
        yield archive


@contextmanager
def listed(path: Path) -> Iterator[zipfile.ZipFile]:
    """An archive whose list of entries can be read, and nothing else is known. Raises as open_zip, and OSError.

    An archive must be the whole file. Two readers may find two lists of entries where something stands before or
    behind it (a cut archive that ends with an archive inside of it is such a file), and what is judged here must be
    what a framework loads.
    """
    with _Capped(path) as file:
        try:
            archive = zipfile.ZipFile(file)
        except _DAMAGE as error:
            raise ModelError(
                f"{path} begins like a zip archive but its list of files cannot be read: {error}",
                code="E_MODEL_TRUNCATED",
                hint=_AGAIN,
            ) from error
        with archive:
            file.seek(-_END_BYTES, io.SEEK_END)
            if file.read(_END_BYTES)[:4] != _END:
                raise ModelError(
                    f"the archive {path} does not end with its list of files",
                    code="E_MODEL_TRUNCATED",
                    hint=_AGAIN,
                )
            if archive.filelist and min(entry.header_offset for entry in archive.filelist) != 0:
                raise _refused(path, "it does not begin with its first entry")
            yield archive


_DAMAGE = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError, NotImplementedError, RuntimeError,
    OverflowError, KeyError, IndexError,
)  # fmt: skip
"""What zipfile raises for bytes that are no zip."""


def _judge(path: Path, archive: zipfile.ZipFile, limit_bytes: int) -> None:
    entries = archive.infolist()
    if len(entries) > MAX_ENTRIES:
        raise _refused(path, f"it has {len(entries)} entries")
    total = sum(entry.file_size for entry in entries)
    if total > limit_bytes:
        raise _refused(path, f"unpacked it would take {total} bytes")
    seen: set[str] = set()
    folders: set[str] = set()
    for entry in entries:
        if reason := _refusal(entry):
            raise _refused(path, f"the entry {entry.filename[:200]!r} {reason}")
        name = str(PurePosixPath(entry.filename))
        if name in seen:
            raise _refused(path, f"it has two entries {name[:200]!r}")
        seen.add(name)
        folders.update(str(parent) for parent in PurePosixPath(name).parents)
    if clash := {e.filename for e in entries if not e.is_dir() and str(PurePosixPath(e.filename)) in folders}:
        raise _refused(path, f"{min(clash)[:200]!r} is a file and a folder")
    _check_overlap(path, archive, entries)


def _refusal(entry: zipfile.ZipInfo) -> str | None:
    """Why an entry is not to be touched."""
    name = entry.filename
    parts = PurePosixPath(name).parts
    if not parts or len(name) > 4096 or len(parts) > 64:
        return "has no usable name"
    if name.startswith("/") or ".." in parts or "\\" in name or ":" in parts[0]:
        return "would be written outside of its folder"
    if not name.isprintable() or entry.orig_filename != name:
        return "has characters in its name that belong in none"
    mode = entry.external_attr >> 16 if entry.create_system == _UNIX else 0
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link or a device"
    if entry.flag_bits & _ENCRYPTED:
        return "is encrypted"
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "is packed in a way that no exporter uses"
    if entry.compress_type == zipfile.ZIP_STORED and entry.file_size != entry.compress_size:
        return "contradicts itself about its size"
    if entry.file_size > BOMB_BYTES and entry.file_size > BOMB_RATIO * entry.compress_size:
        return f"is a bomb: {entry.compress_size} bytes that become {entry.file_size}"
    return None


def _check_overlap(path: Path, archive: zipfile.ZipFile, entries: list[zipfile.ZipInfo]) -> None:
    """Entries that share bytes make a small file unpack to a huge one without any single bad ratio."""
    ordered = sorted(entries, key=lambda entry: entry.header_offset)
    if not ordered:
        return
    ends = [entry.header_offset for entry in ordered[1:]] + [archive.start_dir]
    for entry, end in zip(ordered, ends, strict=True):
        # a name's characters are at most its bytes, and what lies between name and data is not counted
        least = entry.header_offset + _LOCAL_HEADER_BYTES + len(entry.orig_filename)
        if entry.header_offset < 0 or least + entry.compress_size > end:
            raise _refused(path, f"the entry {entry.filename[:200]!r} shares bytes with another")


def read_member(archive: zipfile.ZipFile, name: str, limit_bytes: int) -> bytes:
    """The bytes of one entry, at most `limit_bytes` whatever the list says. Raises ModelError E_MODEL_ARCHIVE."""
    parts, held = [], 0
    for chunk in _chunks(archive, name, limit_bytes):
        parts.append(chunk)
        held += len(chunk)
    return b"".join(parts)


def _chunks(archive: zipfile.ZipFile, name: str, limit_bytes: int) -> Iterator[bytes]:
    place, held = archive.filename or "the archive", 0
    try:
        with archive.open(name) as file:
            while chunk := file.read(CHUNK_BYTES):
                held += len(chunk)
                if held > limit_bytes:
                    raise _refused(place, f"{name[:200]} holds more than {limit_bytes} bytes")
                yield chunk
    except _DAMAGE as error:
        raise ModelError(
            f"{place}: {name[:200]} cannot be unpacked: {error}", code="E_MODEL_ARCHIVE", hint=_AGAIN
        ) from error


def extract(path: Path, folder: Path, limit_bytes: int = MAX_UNPACKED_BYTES) -> None:
    """Unpack an archive into a folder that is empty or not there; modes and times of the entries are not kept.

    Raises ModelError: E_MODEL_TRUNCATED, E_MODEL_ARCHIVE; HostError. Then the folder may hold a part.
    """
    with open_zip(path, limit_bytes) as archive:
        with host_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        for entry in archive.infolist():
            target = folder / entry.filename
            if entry.is_dir():
                with host_errors(target):
                    target.mkdir(parents=True, exist_ok=True)
                continue
            with host_errors(target):
                target.parent.mkdir(parents=True, exist_ok=True)
                file = open(target, "xb")  # noqa: SIM115
            with file:
                for chunk in _chunks(archive, entry.filename, entry.file_size):
                    with host_errors(target):
                        file.write(chunk)


def _refused(path: Path | str, reason: str) -> ModelError:
    return ModelError(f"the archive {path} is refused: {reason}", code="E_MODEL_ARCHIVE", hint=_FOREIGN)
