"""Writes a .mlpackage: the same model gives the same bytes.

coremltools' own packages differ at each conversion: random identifiers in Manifest.json, the date of the conversion
in the description, maps of protobuf in the order of a hash table. Here identifiers come from the content.

    NAME.mlpackage/
      Manifest.json
      Data/com.apple.CoreML/model.mlmodel          CoreML.Specification.Model
      Data/com.apple.CoreML/weights/weight.bin     where the program has weights in a file
"""

from __future__ import annotations

import hashlib
import json
import shutil
import uuid
from pathlib import Path
from typing import Any

from edgekit.cache import host_errors, sha256_file

_AUTHOR = "com.apple.CoreML"
_KEPT_METADATA = ("com.github.apple.coremltools.version", "com.github.apple.coremltools.source")


def write_package(model: Any, weights: Path | None, path: Path) -> None:
    """`weights`: the folder of weight files. `model` loses the metadata that tells when it was made. Raises
    HostError where the disk does not take it."""
    data = path / "Data" / _AUTHOR
    described = model.description.metadata.userDefined
    for key in [key for key in described if key not in _KEPT_METADATA]:
        del described[key]
    with host_errors(path):
        data.mkdir(parents=True)
        specification = data / "model.mlmodel"
        specification.write_bytes(model.SerializeToString(deterministic=True))
        root, entries = _entry(specification, "CoreML Model Specification", sha256_file(specification))
        if weights is not None and weights.is_dir():
            copied = data / "weights"
            copied.mkdir()
            for file in sorted(weights.iterdir()):
                shutil.copyfile(file, copied / file.name)
            entries |= _entry(copied, "CoreML Model Weights", _folder_hash(copied))[1]
        manifest = {
            "fileFormatVersion": "1.0.0",
            "itemInfoEntries": entries,
            "rootModelIdentifier": root,
        }
        (path / "Manifest.json").write_text(json.dumps(manifest, indent=4, sort_keys=True) + "\n", "utf-8")


def _entry(item: Path, what: str, sha256: str) -> tuple[str, dict[str, dict[str, str]]]:
    name = str(uuid.UUID(hashlib.sha256(f"{item.name}\t{sha256}".encode()).hexdigest()[:32]))
    return name, {
        name: {"author": _AUTHOR, "description": what, "name": item.name, "path": f"{_AUTHOR}/{item.name}"}
    }


def _folder_hash(folder: Path) -> str:
    lines = (f"{file.name}\t{sha256_file(file)}\n" for file in sorted(folder.iterdir()))
    return hashlib.sha256("".join(lines).encode()).hexdigest()
