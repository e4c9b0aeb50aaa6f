"""The files beside an ONNX model that hold its weights: found, and kept inside the model's folder."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from edgekit.errors import ModelError
from edgekit.models.onnx import read_onnx
from edgekit.models.onnx_tensor import ExternalFile

_AGAIN = "copy the model and its data files into one folder, all under the names they were exported with"


def external_files(path: str | Path) -> tuple[Path, ...]:
    """The data files of an ONNX model, each once, sorted by name; empty where it has none.

    A location must be a plain file at or below the model's folder: absolute paths, "..", and symbolic links that
    lead out of that folder would let a model read any file of this host. Raises ModelError: what read_onnx raises;
    E_MODEL_EXTERNAL_DATA; E_MODEL_TRUNCATED where a file is shorter than what the model takes from it.
    """
    return resolve_external(Path(path), read_onnx(path).external)


def resolve_external(model: Path, external: Iterable[ExternalFile]) -> tuple[Path, ...]:
    """The same for pieces that were read already."""
    sizes: dict[str, tuple[Path, int]] = {}
    for piece in external:
        if piece.location not in sizes:
            sizes[piece.location] = _resolve(model, piece)
        file, size_bytes = sizes[piece.location]
        end = piece.offset + (piece.needed_bytes if piece.length is None else piece.length)
        if end > size_bytes:
            raise ModelError(
                f"{file} ends too early: byte {end} is needed for '{piece.tensor[:200]}', it has {size_bytes}",
                code="E_MODEL_TRUNCATED",
                hint="copy or export the model and its data files again",
            )
    return tuple(sorted({file for file, _ in sizes.values()}))


def _resolve(model: Path, piece: ExternalFile) -> tuple[Path, int]:
    location, folder = piece.location, model.parent
    parts = PurePosixPath(location).parts
    if (
        not parts
        or location.startswith(("/", "\\"))
        or ".." in parts
        or "\0" in location
        or "\\" in location
        or ":" in parts[0]
    ):
        raise _refused(
            f"{model} says that weights are in {location[:200]!r}, outside of its folder",
            "do not use this model: no exporter writes that",
        )
    file = folder / location
    try:
        home, real = folder.resolve(strict=True), file.resolve(strict=True)
        inside = real.is_relative_to(home)
        plain = real.is_file()
        size_bytes = real.stat().st_size
    except (OSError, RuntimeError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise _refused(f"{model} lacks its data file {location[:200]}: {reason}", _AGAIN) from error
    if not inside:
        raise _refused(f"the data file {file} is a link that leads out of the model's folder", _AGAIN)
    if not plain:
        raise _refused(f"the data file {file} is no file", _AGAIN)
    return file, size_bytes


def _refused(message: str, hint: str) -> ModelError:
    return ModelError(message, code="E_MODEL_EXTERNAL_DATA", hint=hint)
