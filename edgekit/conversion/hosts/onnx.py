"""ONNX models on this host, with ONNX Runtime on the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.conversion.extras import need, quiet
from edgekit.conversion.naming import short
from edgekit.errors import ModelError
from edgekit.models.info import Signature

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]


class OnnxHost:
    """A loaded model. One thread, so that results repeat; external data is read from beside the file."""

    def __init__(self, path: Path, signature: Signature, name: str) -> None:
        """Raises MissingExtra, ModelError E_MODEL_LOAD."""
        runtime = need("onnxruntime", "onnx", "running an ONNX model on this host")
        self._name = name
        self.signature = signature
        options = runtime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        try:
            with quiet():
                self._session = runtime.InferenceSession(
                    str(path), options, providers=["CPUExecutionProvider"]
                )
        except Exception as error:  # the runtime has a class of its own for each status
            raise ModelError(
                f"ONNX Runtime does not load {name}: {short(error)}",
                code="E_MODEL_LOAD",
                hint="a model with operators that ONNX Runtime lacks cannot be verified or run",
            ) from error

    def run(self, sample: Sequence[Array]) -> list[Array]:
        """One inference, in the order of the signature. Raises ModelError E_MODEL_RUN."""
        given = {spec.name: value for spec, value in zip(self.signature.inputs, sample, strict=True)}
        try:
            with quiet():
                return list(self._session.run([spec.name for spec in self.signature.outputs], given))
        except Exception as error:
            raise ModelError(
                f"ONNX Runtime does not run {self._name}: {short(error)}",
                code="E_MODEL_RUN",
                hint="where its axes have no fixed size, give the size it takes: --shape NAME=1x3x224x224",
            ) from error
