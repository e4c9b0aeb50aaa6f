"""Tells what a model file is from its bytes, never from its name."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from edgekit.cache import is_special
from edgekit.errors import ModelError
from edgekit.models.info import Format

_HEAD_BYTES = 64
_LEAST_BYTES = 8
_ZIP_NAMES = 4096
_ONNX_WIRE_TYPES = {1: 0, 2: 2, 3: 2, 4: 2, 5: 0, 6: 2, 7: 2, 8: 2, 14: 2, 20: 2, 25: 2, 26: 2}
"""Fields of onnx.ModelProto and their protobuf wire types (0 number, 2 bytes); 7 is the graph."""
_HINT = (
    "edgekit reads TFLite, ONNX, Keras (.keras, .h5), SavedModel, PyTorch (.pt2, TorchScript), ExecuTorch (.pte), "
    "Core ML (.mlpackage) and its own artifacts"
)
_ARTIFACT_MANIFEST = "manifest.json"
_ARTIFACT_MARK = b'"edgekit.artifact/'
_MAX_MANIFEST_BYTES = 8 << 20


def detect_format(path: str | Path) -> Format:
    """Format of a model file or folder.

    Raises ModelError: E_MODEL_MISSING, E_MODEL_EMPTY, E_MODEL_TRUNCATED (too short to be any model, or a zip
    archive without its end), E_MODEL_FORMAT where it is none of the formats known here.
    """
    place = Path(path)
    try:
        if place.is_dir():
            return _folder_format(place)
        if is_special(place):
            raise ModelError(
                f"{place} is a pipe or a device, no file",
                code="E_MODEL_FORMAT",
                hint="write the model into a file first",
            )
        with open(place, "rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError as error:
        raise unreadable(place, error) from error
    if not head:
        raise ModelError(f"{place} is empty (0 bytes)", code="E_MODEL_EMPTY", hint="export the model again")
    if len(head) < _LEAST_BYTES:
        raise ModelError(
            f"{place} has only {len(head)} bytes: no model is that short",
            code="E_MODEL_TRUNCATED",
            hint="copy or export the model again",
        )
    found = _file_format(place, head)
    if found is None:
        raise ModelError(f"{place} is not a model in a known format", code="E_MODEL_FORMAT", hint=_HINT)
    return found


def unreadable(path: Path, error: OSError) -> ModelError:
    """What to say about a model file that the system will not open."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return ModelError(f"no such model: {path}", code="E_MODEL_MISSING", hint="check the path")
    return ModelError(
        f"{path} cannot be read: {error.strerror or error}",
        code="E_MODEL_MISSING",
        hint="check its permissions",
    )


def _file_format(path: Path, head: bytes) -> Format | None:
    if head[4:8] == b"TFL3":
        return "tflite"
    if head[4:6] == b"ET" and head[6:8].isdigit():
        return "pte"
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return "h5"
    if head.startswith(b"PK\x03\x04"):
        return _zip_format(path)
    return "onnx" if _is_onnx(path) else None


def _folder_format(folder: Path) -> Format:
    if (folder / "saved_model.pb").is_file():
        return "saved_model"
    if (folder / "Manifest.json").is_file() and (folder / "Data").is_dir():
        return "mlpackage"
    if (folder / "manifest.json").is_file():
        return "artifact"
    raise ModelError(f"the folder {folder} holds no model", code="E_MODEL_FORMAT", hint=_HINT)


def _zip_format(path: Path) -> Format | None:
    from edgekit.models.archives import listed, read_member  # only here: push starts up without zipfile

    with listed(path) as archive:
        names = archive.namelist()[:_ZIP_NAMES]
        if (found := format_of_names(names)) is not None:
            return found
        if _ARTIFACT_MANIFEST in names:
            manifest = read_member(archive, _ARTIFACT_MANIFEST, _MAX_MANIFEST_BYTES)
            return "artifact" if _ARTIFACT_MARK in manifest else None
    return None


def format_of_names(names: Iterable[str]) -> Format | None:
    """Format of a zip archive from the names in it. PyTorch puts all below one folder, Keras none."""
    top = set(names)
    inner = {name.partition("/")[2] for name in top if "/" in name}
    if "config.json" in top and any(name.endswith(".weights.h5") for name in top):
        return "keras"
    if {"serialized_exported_program.json", "archive_format"} & (inner | top):
        return "pt2"
    if "data.pkl" in inner:
        return "torchscript" if any(name.startswith("code/") for name in inner) else "torch_checkpoint"
    return None


def _is_onnx(path: Path) -> bool:
    """Whether the file is one protobuf message with the fields of onnx.ModelProto. ONNX has no magic bytes."""
    size = path.stat().st_size
    seen: set[int] = set()
    with open(path, "rb") as file:
        while (at := file.tell()) < size:
            key = _varint(file.read(10), file, at)
            if key is None or _ONNX_WIRE_TYPES.get(key >> 3) != key & 7:
                return False
            seen.add(key >> 3)
            at = file.tell()
            value = _varint(file.read(10), file, at)
            if value is None:
                return False
            if key & 7 == 2:
                if file.tell() + value > size:
                    return _too_short(path, seen, file.tell() + value, size)
                file.seek(value, 1)
    return {1, 7} <= seen


def _too_short(path: Path, seen: set[int], needed: int, size: int) -> bool:
    """A length past the end: a cut ONNX file where the fields before it were right, else something else."""
    if 1 in seen and 7 in seen and len(seen) > 1:
        raise ModelError(
            f"{path} looks like ONNX but ends too early: byte {needed} is needed, the file has {size}",
            code="E_MODEL_TRUNCATED",
            hint="copy or export the model again",
        )
    return False


def _varint(data: bytes, file: object, at: int) -> int | None:
    """The protobuf number at the start of `data`; leaves the file just behind it."""
    value = 0
    for index, byte in enumerate(data):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            file.seek(at + index + 1)  # type: ignore[attr-defined]
            return value
    return None
