"""`open_model`: what a model file is and holds, checked, and remembered by its hash."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from edgekit.cache import atomic_write, cache_dir, sha256_file
from edgekit.errors import HostError
from edgekit.models.formats import detect_format, unreadable
from edgekit.models.info import ModelInfo

_CACHE_VERSION = 2
"""Raised when what is read from a file, or how it is named, changes."""


def open_model(path: str | Path, *, use_cache: bool = True) -> ModelInfo:
    """Look into a model file (base install only; for formats other than TFLite only what bytes tell).

    A second look at the same bytes comes from the cache and imports neither numpy nor tflite. Raises
    ModelError: E_MODEL_MISSING, _EMPTY, _TRUNCATED, _CORRUPT, _FORMAT.
    """
    place = Path(path)
    kind = detect_format(place)
    try:
        if place.is_dir():
            sha256, size_bytes = hash_folder(place)
        else:
            sha256, size_bytes = sha256_file(place), place.stat().st_size
    except OSError as error:
        raise unreadable(place, error) from error
    if kind != "tflite":
        return ModelInfo(format=kind, path=str(place), sha256=sha256, size_bytes=size_bytes)
    if use_cache and (known := _recall(sha256)):
        return msgspec.structs.replace(known, path=str(place))
    info = _read(place)
    if use_cache:
        _remember(info)
    return info


def hash_folder(folder: Path) -> tuple[str, int]:
    """sha256 of the sorted lines "name<TAB>sha256" of all files below, and their bytes in all."""
    digest, size_bytes = hashlib.sha256(), 0
    for file in sorted(p for p in folder.rglob("*") if p.is_file()):
        digest.update(f"{file.relative_to(folder).as_posix()}\t{sha256_file(file)}\n".encode())
        size_bytes += file.stat().st_size
    return digest.hexdigest(), size_bytes


def _read(path: Path) -> ModelInfo:
    try:
        data = path.read_bytes()  # hashed and parsed are the same bytes, also if the file changes meanwhile
    except OSError as error:
        raise unreadable(path, error) from error
    return inspect_tflite(data, str(path))


def inspect_tflite(data: bytes, path: str) -> ModelInfo:
    """The ModelInfo of a TFLite model in memory; `path` is recorded and used in messages.

    Raises ModelError: E_MODEL_TRUNCATED, E_MODEL_CORRUPT.
    """
    from edgekit.models.tflite import read_tflite

    facts = read_tflite(data, path)
    return ModelInfo(
        format="tflite",
        path=path,
        sha256=hashlib.sha256(data).hexdigest(),
        size_bytes=len(data),
        signature=facts.signature,
        operators=facts.operators,
        custom_operators=facts.custom_operators,
        parameters=facts.parameters,
        dtypes=facts.dtypes,
        quantization=facts.quantization,
        subgraphs=facts.subgraphs,
        description=facts.description,
    )


def _cache_file(sha256: str) -> Path:
    return cache_dir("models") / f"{sha256}.v{_CACHE_VERSION}.json"


def _recall(sha256: str) -> ModelInfo | None:
    try:
        return msgspec.json.decode(_cache_file(sha256).read_bytes(), type=ModelInfo)
    except (OSError, HostError, msgspec.MsgspecError, UnicodeDecodeError):
        return None  # absent or damaged: it is made again


def _remember(info: ModelInfo) -> None:
    try:
        atomic_write(_cache_file(info.sha256), msgspec.json.encode(msgspec.structs.replace(info, path="")))
    except HostError:
        return  # a full or read-only disk costs the next look some time, nothing else
