"""TFLite models on this host, with LiteRT."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from edgekit.conversion.extras import need, quiet
from edgekit.conversion.naming import short
from edgekit.errors import ModelError
from edgekit.models.info import Signature

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]


class TfliteHost:
    """A loaded model. Dimensions that are not fixed get the signature's size, else 1. One thread, so that results repeat."""

    def __init__(self, data: bytes, signature: Signature, name: str) -> None:
        """`signature` in the order of the file. Raises MissingExtra, ModelError E_MODEL_LOAD where LiteRT does not
        take the model."""
        module = need("ai_edge_litert.interpreter", "litert", "running a TFLite model on this host")
        self._name = name
        self.signature = signature
        try:
            with quiet():
                self._interpreter = module.Interpreter(model_content=data, num_threads=1)
                self._fix_shapes()
                self._interpreter.allocate_tensors()
                self._inputs = self._interpreter.get_input_details()
                self._outputs = self._interpreter.get_output_details()
        except (ValueError, RuntimeError) as error:  # names that are not UTF-8 are a ValueError too
            raise ModelError(
                f"LiteRT does not load {name}: {short(error)}",
                code="E_MODEL_LOAD",
                hint="a model with operators that LiteRT lacks cannot be verified or run",
            ) from error

    def _fix_shapes(self) -> None:
        for detail, spec in zip(self._interpreter.get_input_details(), self.signature.inputs, strict=True):
            if -1 in [int(dim) for dim in detail["shape_signature"]]:
                self._interpreter.resize_tensor_input(detail["index"], list(spec.fixed_shape()))

    def output_shapes(self) -> list[tuple[int, ...]]:
        """Sizes of the outputs for the inputs' sizes, in order."""
        return [tuple(int(dim) for dim in detail["shape"]) for detail in self._outputs]

    def run(self, sample: Sequence[Array]) -> list[Array]:
        """One inference. Inputs and outputs in the order in which the model lists them, own dtypes and shapes.

        Raises ModelError E_MODEL_RUN.
        """
        try:
            for detail, value in zip(self._inputs, sample, strict=True):
                self._interpreter.set_tensor(detail["index"], value)
            self._interpreter.invoke()
            return [self._interpreter.get_tensor(detail["index"]) for detail in self._outputs]
        except (ValueError, RuntimeError) as error:
            raise ModelError(
                f"LiteRT does not run {self._name}: {short(error)}", code="E_MODEL_RUN"
            ) from error
