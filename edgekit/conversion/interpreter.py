"""Runs TFLite models on this host with LiteRT, one sample at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from edgekit.conversion.extras import need, quiet
from edgekit.errors import ModelError

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]


class HostModel:
    """A loaded model. Dimensions that are not fixed are set to 1. One thread, so that results repeat."""

    def __init__(self, data: bytes, name: str) -> None:
        """Raises MissingExtra, ModelError E_MODEL_LOAD where LiteRT does not take the model."""
        module = need("ai_edge_litert.interpreter", "litert", "running a TFLite model on this host")
        self._name = name
        try:
            with quiet():
                self._interpreter = module.Interpreter(model_content=data, num_threads=1)
                self._fix_shapes()
                self._interpreter.allocate_tensors()
                self.inputs = self._interpreter.get_input_details()
                self.outputs = self._interpreter.get_output_details()
        except (ValueError, RuntimeError) as error:  # names that are not UTF-8 are a ValueError too
            raise ModelError(
                f"LiteRT does not load {name}: {_first_line(error)}",
                code="E_MODEL_LOAD",
                hint="a model with operators that LiteRT lacks cannot be verified or run",
            ) from error

    def _fix_shapes(self) -> None:
        for detail in self._interpreter.get_input_details():
            signature = [int(dim) for dim in detail["shape_signature"]]
            if -1 in signature:
                fixed = [1 if dim < 0 else dim for dim in signature]
                self._interpreter.resize_tensor_input(detail["index"], fixed)

    def run(self, sample: Sequence[Array]) -> list[Array]:
        """One inference. Inputs and outputs in the order in which the model lists them, own dtypes and shapes.

        Raises ModelError E_MODEL_RUN.
        """
        try:
            for detail, value in zip(self.inputs, sample, strict=True):
                self._interpreter.set_tensor(detail["index"], value)
            self._interpreter.invoke()
            return [self._interpreter.get_tensor(detail["index"]) for detail in self.outputs]
        except (ValueError, RuntimeError) as error:
            raise ModelError(
                f"LiteRT does not run {self._name}: {_first_line(error)}", code="E_MODEL_RUN"
            ) from error

    def run_real(self, sample: Sequence[Array]) -> list[Array]:
        """One inference on real numbers: integer inputs are quantized, integer outputs expanded, by their scales."""
        given = [to_stored(v, d) for v, d in zip(sample, self.inputs, strict=True)]
        return [to_real(v, d) for v, d in zip(self.run(given), self.outputs, strict=True)]


def to_stored(value: Array, detail: dict[str, Any]) -> Array:
    """A real-valued input as the model stores it; values of the model's own dtype pass unchanged."""
    import numpy as np

    dtype, (scale, zero_point) = detail["dtype"], detail["quantization"]
    if value.dtype == dtype:
        return value
    if scale and np.issubdtype(dtype, np.integer):
        limits = np.iinfo(dtype)
        stored = np.rint(value.astype(np.float64) / scale) + zero_point
        clipped: Array = np.clip(stored, limits.min, limits.max).astype(dtype)
        return clipped
    return value.astype(dtype)


def to_real(value: Array, detail: dict[str, Any]) -> Array:
    """A stored output as real numbers; an output without a scale passes unchanged."""
    import numpy as np

    scale, zero_point = detail["quantization"]
    if scale and np.issubdtype(value.dtype, np.integer):
        real: Array = ((value.astype(np.float64) - zero_point) * scale).astype(np.float32)
        return real
    return value


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
