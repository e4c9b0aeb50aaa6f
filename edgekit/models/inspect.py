"""`open_model`: what a model file is and holds, checked, and remembered by its hash."""

from __future__ import annotations

import hashlib
import mmap
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edgekit.cache import atomic_write, cache_dir, sha256_file
from edgekit.errors import HostError, ModelError
from edgekit.models.formats import detect_format, unreadable
from edgekit.models.info import Format, ModelInfo

if TYPE_CHECKING:
    from edgekit.models.tflite import TfliteFacts

MAPPED_BYTES = 64 << 20
"""A larger .tflite file is not read into memory."""
_CACHE_VERSION = 5
"""Raised when what is read from a file, or how it is named, changes."""


def open_model(path: str | Path, *, use_cache: bool = True) -> ModelInfo:
    """Look into a model file or folder (base install only; what a format does not tell is None or empty).

    A second look at the same bytes comes from the cache and imports neither numpy nor tflite. Raises ModelError:
    E_MODEL_MISSING, _EMPTY, _TRUNCATED, _CORRUPT, _FORMAT, _ARCHIVE, _EXTERNAL_DATA, _CHANGED.
    """
    place = Path(path)
    kind = detect_format(place)
    try:
        if kind == "onnx":
            return _onnx(place)  # never from the cache: its files must be read to know which they are
        sha256, size_bytes = (
            hash_folder(place) if place.is_dir() else (sha256_file(place), place.stat().st_size)
        )
        if use_cache and (known := _recall(sha256, kind)):
            return msgspec.structs.replace(known, path=str(place))
        info = _read(place, kind, sha256, size_bytes)
    except OSError as error:
        raise unreadable(place, error) from error
    if use_cache:
        _remember(info)
    return info


def hash_folder(folder: Path) -> tuple[str, int]:
    """sha256 of the sorted lines "name<TAB>sha256" of all files below, and their bytes in all."""
    return _hash_files((p.relative_to(folder).as_posix(), p) for p in folder.rglob("*") if p.is_file())


def _hash_files(files: Iterable[tuple[str, Path]]) -> tuple[str, int]:
    digest, size_bytes = hashlib.sha256(), 0
    for name, file in sorted(files, key=lambda item: (Path(item[0]), item[1])):
        digest.update(f"{name}\t{sha256_file(file)}\n".encode("utf-8", "surrogateescape"))
        size_bytes += file.stat().st_size
    return digest.hexdigest(), size_bytes


def _read(path: Path, kind: Format, sha256: str, size_bytes: int) -> ModelInfo:
    if kind == "tflite":
        if size_bytes > MAPPED_BYTES:
            return _mapped_tflite(path, sha256, size_bytes)
        # hashed and parsed are the same bytes, also if the file changes meanwhile
        return inspect_tflite(path.read_bytes(), str(path))
    info = ModelInfo(
        format=kind, path=str(path), sha256=sha256, size_bytes=size_bytes, trust=_TRUST.get(kind, ())
    )
    reader = _READERS.get(kind)
    return info if reader is None else reader(info)


def inspect_tflite(data: bytes, path: str) -> ModelInfo:
    """The ModelInfo of a TFLite model in memory; `path` is recorded and used in messages.

    Raises ModelError: E_MODEL_TRUNCATED, E_MODEL_CORRUPT.
    """
    from edgekit.models.tflite import read_tflite

    return _tflite_info(read_tflite(data, path), path, hashlib.sha256(data).hexdigest(), len(data))


def _mapped_tflite(path: Path, sha256: str, size_bytes: int) -> ModelInfo:
    """Only the pages that hold the structure are read: a model may be larger than this host's memory."""
    from edgekit.models.tflite import read_tflite

    before = path.stat()
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        info = _tflite_info(read_tflite(mapped, str(path)), str(path), sha256, size_bytes)
        after = os.fstat(file.fileno())
    if (before.st_mtime_ns, size_bytes) != (after.st_mtime_ns, after.st_size):
        raise ModelError(f"{path} changed while it was read", code="E_MODEL_CHANGED", hint="try again")
    return info


def _tflite_info(facts: TfliteFacts, path: str, sha256: str, size_bytes: int) -> ModelInfo:
    return ModelInfo(
        format="tflite",
        path=path,
        sha256=sha256,
        size_bytes=size_bytes,
        signature=facts.signature,
        operators=facts.operators,
        custom_operators=facts.custom_operators,
        parameters=facts.parameters,
        dtypes=facts.dtypes,
        quantization=facts.quantization,
        subgraphs=facts.subgraphs,
        description=facts.description,
    )


def _onnx(path: Path) -> ModelInfo:
    from edgekit.models.onnx import read_onnx
    from edgekit.models.onnx_external import resolve_external

    facts = read_onnx(path)
    beside = {f.relative_to(path.parent).as_posix(): f for f in resolve_external(path, facts.external)}
    if beside:
        sha256, size_bytes = _hash_files([("", path), *beside.items()])
    else:
        sha256, size_bytes = sha256_file(path), path.stat().st_size
    return ModelInfo(
        format="onnx",
        path=str(path),
        sha256=sha256,
        size_bytes=size_bytes,
        signature=facts.signature,
        operators=facts.operators,
        custom_operators=facts.custom_operators,
        parameters=facts.parameters,
        dtypes=facts.dtypes,
        subgraphs=facts.subgraphs,
        description=facts.description,
        opsets=facts.opsets,
        external_files=tuple(sorted(beside)),
    )


def _pte(info: ModelInfo) -> ModelInfo:
    from edgekit.models.pte import read_pte

    facts = read_pte(info.path)
    return msgspec.structs.replace(
        info,
        signature=facts.signature,
        operators=facts.operators,
        dtypes=facts.dtypes,
        description=facts.description,
    )


def _mlpackage(info: ModelInfo) -> ModelInfo:
    from edgekit.models.mlpackage import read_mlpackage

    facts = read_mlpackage(info.path)
    return msgspec.structs.replace(
        info,
        signature=facts.signature,
        operators=facts.operators,
        subgraphs=facts.subgraphs,
        description=facts.description,
    )


def _keras(info: ModelInfo) -> ModelInfo:
    from edgekit.models.keras_file import read_keras

    facts = read_keras(info.path)
    description = f"Keras {facts.version}" if facts.version else ""
    return msgspec.structs.replace(
        info, signature=facts.signature, operators=facts.operators, description=description, trust=facts.trust
    )


def _pt2(info: ModelInfo) -> ModelInfo:
    from edgekit.models.pt2 import read_pt2

    facts = read_pt2(info.path)
    return msgspec.structs.replace(
        info,
        signature=facts.signature,
        operators=facts.operators,
        custom_operators=facts.custom_operators,
        parameters=facts.parameters,
        dtypes=facts.dtypes,
        subgraphs=facts.subgraphs,
        description=f"torch {facts.torch_version}" if facts.torch_version else "",
        opsets=facts.opsets,
        trust=facts.trust,
    )


def _saved_model(info: ModelInfo) -> ModelInfo:
    from edgekit.models.saved_model import read_saved_model

    facts = read_saved_model(info.path)
    return msgspec.structs.replace(
        info,
        signature=facts.signature,
        operators=facts.operators,
        subgraphs=facts.subgraphs,
        description=facts.description,
        trust=tuple(f"its operator {name} reaches beyond the model" for name in facts.file_operators),
    )


_READERS: dict[Format, Callable[[ModelInfo], ModelInfo]] = {
    "pte": _pte,
    "mlpackage": _mlpackage,
    "keras": _keras,
    "pt2": _pt2,
    "saved_model": _saved_model,
}
_TRUST: dict[Format, tuple[str, ...]] = {
    "torchscript": ("TorchScript is code",),
    "torch_checkpoint": ("it is a pickle, which runs code when it is loaded",),
}


def _cache_file(sha256: str, kind: Format) -> Path:
    return cache_dir("models") / f"{sha256}.{kind}.v{_CACHE_VERSION}.json"


def _recall(sha256: str, kind: Format) -> ModelInfo | None:
    try:
        return msgspec.json.decode(_cache_file(sha256, kind).read_bytes(), type=ModelInfo)
    except (OSError, HostError, msgspec.MsgspecError, UnicodeDecodeError):
        return None  # absent or damaged: it is made again


def _remember(info: ModelInfo) -> None:
    document = msgspec.json.encode(msgspec.structs.replace(info, path=""))
    try:
        atomic_write(_cache_file(info.sha256, info.format), document)
    except HostError:
        return  # a full or read-only disk costs the next look some time, nothing else
