"""A .mlpackage folder: its manifest, the model in it, and its files of weights. Nothing outside it is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from edgekit_ios.mil.blobs import BlobFile
from edgekit_ios.mil.errors import damaged
from edgekit_ios.mil.protos import model_pb2, protobuf_damage

_MAX_MANIFEST_BYTES = 1 << 20
_MAX_MODEL_BYTES = 1 << 30
_MODEL_PATH = "@model_path/"


class Package:
    """An opened package. `model`: the protobuf CoreML.Specification.Model."""

    def __init__(self, path: str | Path) -> None:
        """Raises ModelError E_MODEL_LOAD, MissingExtra."""
        self.path = Path(path)
        self._root = _resolved(self.path)
        file = self._inside(self._model_file())
        self._folder = file.parent
        self._blobs: dict[str, BlobFile] = {}
        self.model: Any = model_pb2().Model()
        try:
            self.model.ParseFromString(_read(file, _MAX_MODEL_BYTES))
        except protobuf_damage() as error:
            raise damaged(f"{file.name} is no protobuf of a Core ML model") from error
        kind = self.model.WhichOneof("Type")
        if kind != "mlProgram":
            raise damaged(f"{file.name} holds {kind or 'nothing'}, not an ML program")

    def blob_file(self, name: str) -> BlobFile:
        """The file of weights that a program names. Raises ModelError E_MODEL_LOAD."""
        if name not in self._blobs:
            if not name.startswith(_MODEL_PATH):
                raise damaged(f"weights in '{name}', which is not below the model")
            self._blobs[name] = BlobFile(self._inside(self._folder / name.removeprefix(_MODEL_PATH)))
        return self._blobs[name]

    def _model_file(self) -> Path:
        try:
            manifest = json.loads(_read(self._inside(self._root / "Manifest.json"), _MAX_MANIFEST_BYTES))
            place = manifest["itemInfoEntries"][manifest["rootModelIdentifier"]]["path"]
            return self._root / "Data" / str(place)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise damaged("Manifest.json does not name a model") from error

    def _inside(self, place: Path) -> Path:
        found = _resolved(place)
        if not found.is_relative_to(self._root):
            raise damaged(f"{place.name} leads out of the package")
        return found


def _resolved(path: Path) -> Path:
    try:
        return path.resolve(strict=True)
    except (OSError, ValueError, RuntimeError) as error:
        raise damaged(f"{path.name} cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _read(path: Path, limit_bytes: int) -> bytes:
    try:
        if not path.is_file():
            raise damaged(f"{path.name} is no file")
        if path.stat().st_size > limit_bytes:
            raise damaged(f"{path.name} has more than {limit_bytes} bytes")
        return path.read_bytes()
    except OSError as error:
        raise damaged(f"{path.name} cannot be read: {error.strerror or error}") from error
