"""Inputs and outputs of a model on a simulated device: what its file says, and outputs that are made up."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from edgekit.errors import ModelError
from edgekit.models.info import TensorSpec
from edgekit.transports.sim.blobs import Blob

_TFLITE_MARK = b"TFL3"


@dataclass(frozen=True)
class Tensors:
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()


class Refused(Exception):
    """A runner's reason not to go on: its code, and a sentence."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def tensors_of(blob: Blob, path: str) -> Tensors:
    """Raises Refused as a runner does for what is no model."""
    try:
        return _read(blob.sha256, blob)
    except ModelError as error:
        raise Refused("E_MODEL_DAMAGED", f"{path}: {error.message}") from error


def check_is_tflite(data: bytes, path: str) -> None:
    if data[4:8] != _TFLITE_MARK:
        raise Refused("E_MODEL_FORMAT", f"{path} is not a .tflite model: no TFL3 mark at byte 4")


@lru_cache(maxsize=64)
def _read(_sha256: bytes, blob: Blob) -> Tensors:
    from edgekit.models.inspect import inspect_tflite, open_model

    if blob.data[4:8] == _TFLITE_MARK:
        signature = inspect_tflite(blob.data, "the model").signature
    else:
        with tempfile.TemporaryDirectory(prefix="edgekit-sim-") as folder:
            file = Path(folder, "model.onnx")
            file.write_bytes(blob.data)
            signature = open_model(file, use_cache=False).signature
    return Tensors(signature.inputs, signature.outputs) if signature else Tensors()


def describe(spec: TensorSpec) -> dict[str, Any]:
    """As a runner's answer has it."""
    return {
        "name": spec.tensor or spec.name,
        "dtype": spec.dtype,
        "shape": list(spec.fixed_shape()),
        "bytes": spec.size_bytes(),
    }


def made_up(specs: tuple[TensorSpec, ...], seed: bytes) -> bytes:
    """Outputs that depend on nothing but the seed: floats in [0, 1), integers over their whole range."""
    import numpy as np

    rng = np.random.default_rng(list(hashlib.sha256(seed).digest()))
    parts = []
    for spec in specs:
        try:
            kind = np.dtype(spec.dtype)
        except TypeError:
            parts.append(rng.bytes(spec.size_bytes()))
            continue
        count = spec.size_bytes() // kind.itemsize
        floats = rng.random(count)
        parts.append(
            floats.astype(kind).tobytes()
            if kind.kind == "f"
            else (floats < 0.5).tobytes()
            if kind.kind == "b"
            else rng.bytes(count * kind.itemsize)
        )
    return b"".join(parts)


def spoiled(outputs: bytes, specs: tuple[TensorSpec, ...], launch: int) -> bytes:
    """Other outputs than the right ones, and others in every launch."""
    row = made_up(specs, b"spoiled %d" % launch) or bytes([launch % 255 + 1])
    wrong = (row * (len(outputs) // len(row) + 1))[: len(outputs)]
    return wrong if wrong != outputs else bytes(255 - byte for byte in outputs)
