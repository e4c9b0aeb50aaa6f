"""Why a file could not be written on a device: one reading of errno and of the texts tools print for it."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from edgekit.cache import host_errors
from edgekit.errors import DeviceError, DeviceFull, DevicePermission, DeviceReadOnly, RemoteError

CHUNK_BYTES = 1 << 18

_TEXTS = (
    # What strerror says in the C locale, in glibc, musl and bionic.
    ("no space left on device", errno.ENOSPC),
    ("disk quota exceeded", errno.EDQUOT),
    ("quota exceeded", errno.EDQUOT),
    ("read-only file system", errno.EROFS),
    ("permission denied", errno.EACCES),
    ("operation not permitted", errno.EPERM),
    ("no such file or directory", errno.ENOENT),
    ("directory nonexistent", errno.ENOENT),  # dash
    ("not a directory", errno.ENOTDIR),
    ("is a directory", errno.EISDIR),
)


def errno_of_text(text: str) -> int | None:
    """The errno that a tool's message speaks of, None where it names none that is known here."""
    lowered = text.lower()
    return next((number for words, number in _TEXTS if words in lowered), None)


def write_error(number: int | None, remote: str, device: str, said: str = "") -> DeviceError:
    """The error for a file that could not be written; `said` is the device's own message."""
    said = said.strip()
    because = f": {said}" if said else ""
    if number in (errno.ENOSPC, errno.EDQUOT):
        return DeviceFull(
            f"no space left on the device for {remote}{because}",
            device=device,
            hint="`edgekit remove` a release there, or free space by hand",
        )
    if number == errno.EROFS:
        return DeviceReadOnly(
            f"{remote} is on a read-only file system{because}",
            device=device,
            hint="remount it writable, or choose another folder",
        )
    if number in (errno.EACCES, errno.EPERM):
        return DevicePermission(
            f"no permission to write {remote}{because}",
            device=device,
            hint="connect as a user that may write there, or choose another folder",
        )
    code = "E_REMOTE_NO_FOLDER" if number in (errno.ENOENT, errno.ENOTDIR) else "E_REMOTE_FILE"
    return RemoteError(f"cannot write {remote}{because}", device=device, code=code, stderr=said)


def chunks(source: Path | bytes, size: int = CHUNK_BYTES) -> Iterator[bytes | memoryview]:
    """A source in pieces. Raises HostError where the file cannot be read."""
    if isinstance(source, bytes):
        view = memoryview(source)
        for start in range(0, len(view), size):
            yield view[start : start + size]
        return
    with opened(source) as file:
        while True:
            with host_errors(source):
                piece = file.read(size)
            if not piece:
                return
            yield piece


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    with host_errors(path):
        file = open(path, "rb")  # noqa: SIM115 - closed below; errors of the body must not be taken for the file's
    with file:
        yield file


def size_of(source: Path | bytes) -> int:
    """Bytes of a source. Raises HostError where the file is not there."""
    if isinstance(source, bytes):
        return len(source)
    with host_errors(source):
        return source.stat().st_size
