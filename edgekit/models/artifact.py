"""An artifact: a model made ready for devices, with the proof of where it came from and that it is right.

    NAME.ekm/
      manifest.json         schema edgekit.artifact/1: hashes, recipe, tools, signature, verification
      model.tflite          what runs on the device (model.onnx, model.pte, the folder model.mlpackage)
      golden/inputs.bin     samples for the check on the device: inputs of sample 0 in model order, of sample 1, ...
      golden/outputs.bin    what the converted model gave for them on the host, laid out the same way

Both golden files are raw little-endian with nothing between, as the runner reads and writes them. The same
inputs give the same bytes: nothing in an artifact tells when or in which folder it was made. A zip archive of that
folder, made by `write_zip`, is the same artifact in one file.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from edgekit.cache import host_errors, is_file, is_special, sha256_file
from edgekit.errors import EdgekitError, HostError, ModelError, VerificationError
from edgekit.models.artifact_zip import is_zipped_artifact, unpacked
from edgekit.models.info import ITEM_BYTES, Signature
from edgekit.models.inspect import hash_folder
from edgekit.models.manifest import MANIFEST, FileEntry, Manifest, encode_manifest

_MAX_MANIFEST_BYTES = 8 << 20
_MAKE_AGAIN = "make it again with: edgekit convert"


class Artifact(msgspec.Struct, frozen=True, kw_only=True):
    """An artifact on this host's disk, its hashes checked when it was loaded or written."""

    path: Path
    manifest: Manifest

    @property
    def name(self) -> str:
        return self.manifest.name

    @property
    def model_path(self) -> Path:
        return self.path / self.manifest.model.file

    @property
    def golden_inputs_path(self) -> Path | None:
        return self.path / self.manifest.golden.inputs.file if self.manifest.golden else None

    @property
    def golden_outputs_path(self) -> Path | None:
        return self.path / self.manifest.golden.outputs.file if self.manifest.golden else None

    def copied_to(self, folder: Path, *, notes: Sequence[str] = ()) -> Artifact:
        """The same at another place, with `notes` before its own."""
        names = [entry.file for entry in _entries(self.manifest)]
        manifest = msgspec.structs.replace(self.manifest, notes=(*notes, *self.manifest.notes))
        return write_artifact(folder, manifest, {name: self.path / name for name in names})

    @classmethod
    def load(cls, path: str | Path) -> Artifact:
        """Read an artifact and check size and hash of every file. A zipped one is unpacked into the cache.

        Raises ModelError (E_ARTIFACT: not an artifact, or a manifest that breaks the schema or tells a wrong size;
        E_ARTIFACT_INCOMPLETE: a file is missing), VerificationError (E_HASH: bytes do not match the manifest).
        """
        folder = Path(path)
        if folder.is_file():
            try:
                return cls.load(unpacked(folder))
            except EdgekitError:
                # What was unpacked once may have been damaged since; the archive itself decides.
                return cls.load(unpacked(folder, anew=True))
        manifest = _read_manifest(folder)
        for entry in _entries(manifest):
            _check_entry(folder, entry)
        return cls(path=folder, manifest=manifest)


def is_artifact(path: str | Path) -> bool:
    """Whether this is a folder, or a zip archive, that calls itself an artifact. Does not check it."""
    if is_file(Path(path)):
        return is_zipped_artifact(Path(path))
    try:
        if is_special(Path(path) / MANIFEST):
            return False
        return b'"edgekit.artifact/' in (Path(path) / MANIFEST).read_bytes()[:_MAX_MANIFEST_BYTES]
    except OSError:
        return False


def write_artifact(folder: Path, manifest: Manifest, files: Mapping[str, bytes | Path]) -> Artifact:
    """Write an artifact whole or not at all; one that is there is replaced, another folder never.

    `files` maps the names in the manifest to bytes, or to a file or folder that is copied. Raises HostError,
    ModelError (E_OUTPUT_EXISTS).
    """
    _refuse_foreign(folder)
    with host_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".ek-tmp", dir=folder.parent))
    try:
        with host_errors(folder):
            temporary.chmod(0o755)
            for name, data in files.items():
                target = temporary / name
                target.parent.mkdir(parents=True, exist_ok=True)
                _put(target, data)
            _write_synced(temporary / MANIFEST, encode_manifest(manifest))
            _swap(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return Artifact(path=folder, manifest=manifest)


def entry_for(file: str, data: bytes | Path) -> FileEntry:
    """The entry of bytes, or of a file or folder on disk."""
    if isinstance(data, Path):
        sha256, size_bytes = _hashed(data)
        return FileEntry(file=file, sha256=sha256, size_bytes=size_bytes)
    return FileEntry(file=file, sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data))


def _put(target: Path, data: bytes | Path) -> None:
    if isinstance(data, bytes):
        _write_synced(target, data)
        return
    if data.is_dir():
        shutil.copytree(data, target)
    else:
        shutil.copyfile(data, target)
    for path in sorted(target.rglob("*")) if target.is_dir() else [target]:
        if path.is_file():
            with open(path, "rb") as file:
                os.fsync(file.fileno())


def _write_synced(path: Path, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _swap(temporary: Path, folder: Path) -> None:
    """Put the new folder in the old one's place; where that fails the old one is put back."""
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".ek-old", dir=folder.parent))
    old = aside / "old"
    try:
        with contextlib.suppress(
            FileNotFoundError
        ):  # not there, or another process took it away a moment ago
            folder.rename(old)
        temporary.rename(folder)
    except BaseException:  # a signal between the two counts too
        if old.exists() and not folder.exists():
            old.rename(folder)
        raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _strangers(folder: Path) -> list[str]:
    """Files in an artifact's folder that it does not speak of: somebody else's. A damaged one speaks of none."""
    try:
        known = {MANIFEST, *(entry.file for entry in _entries(_read_manifest(folder)))}
    except EdgekitError:
        return []
    there = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())
    return [name for name in there if not any(name == k or name.startswith(f"{k}/") for k in known)]


def _refuse_foreign(folder: Path) -> None:
    empty = folder.is_dir() and not any(folder.iterdir())
    if folder.exists() and not empty and not (is_artifact(folder) and not _strangers(folder)):
        raise ModelError(
            f"{folder} exists and is not an edgekit artifact, or holds other files too",
            code="E_OUTPUT_EXISTS",
            hint="give another --output, or remove it yourself",
        )


def _read_manifest(folder: Path) -> Manifest:
    try:
        if is_special(folder / MANIFEST):
            raise _damaged(folder, "it is a pipe or a device, no file")
        data = (folder / MANIFEST).read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ModelError(
            f"{folder} is not an artifact: no {MANIFEST}", code="E_ARTIFACT", hint=_MAKE_AGAIN
        ) from error
    except OSError as error:
        raise HostError(f"{folder / MANIFEST}: {error.strerror or error}", code="E_HOST_FILE") from error
    try:
        manifest = msgspec.json.decode(data[:_MAX_MANIFEST_BYTES], type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _damaged(folder, str(error)) from error
    _check_signature(folder, manifest.signature)
    return manifest


def _damaged(folder: Path, reason: str) -> ModelError:
    return ModelError(f"{folder / MANIFEST} is damaged: {reason}", code="E_ARTIFACT", hint=_MAKE_AGAIN)


def _check_signature(folder: Path, signature: Signature) -> None:
    """What a push reads of inputs and outputs has to mean something. Raises ModelError E_ARTIFACT."""
    for spec in (*signature.inputs, *signature.outputs):
        if spec.dtype not in ITEM_BYTES:
            raise _damaged(
                folder, f"'{spec.name}' has the dtype {spec.dtype!r}, which no input or output has"
            )
        if spec.step is not None and not spec.step >= 0:
            raise _damaged(folder, f"'{spec.name}' has the step {spec.step}")


def _hashed(path: Path) -> tuple[str, int]:
    return hash_folder(path) if path.is_dir() else (sha256_file(path), path.stat().st_size)


def _entries(manifest: Manifest) -> tuple[FileEntry, ...]:
    golden = manifest.golden
    return (manifest.model, *manifest.files, *((golden.inputs, golden.outputs) if golden else ()))


def _check_entry(folder: Path, entry: FileEntry) -> None:
    parts = Path(entry.file).parts
    if not parts or Path(entry.file).is_absolute() or ".." in parts or "\0" in entry.file:
        raise ModelError(
            f"{folder / MANIFEST} names a file outside of it: {entry.file!r}",
            code="E_ARTIFACT",
            hint=f"do not use it: edgekit did not make it; {_MAKE_AGAIN}",
        )
    path = folder / entry.file
    try:
        if not path.is_dir() and is_special(path):
            raise _damaged(folder, f"{entry.file} is a pipe or a device, no file")
        actual, size_bytes = _hashed(path)
    except OSError as error:
        raise ModelError(
            f"the artifact {folder} lacks {entry.file}: {error.strerror or error}",
            code="E_ARTIFACT_INCOMPLETE",
            hint=_MAKE_AGAIN,
        ) from error
    if actual != entry.sha256:
        raise VerificationError(
            f"{path} has sha256 {actual}, its manifest says {entry.sha256}",
            code="E_HASH",
            hint=f"it was changed or damaged; {_MAKE_AGAIN}",
        )
    if size_bytes != entry.size_bytes:
        raise _damaged(folder, f"{entry.file} has {size_bytes} bytes, not {entry.size_bytes}")
