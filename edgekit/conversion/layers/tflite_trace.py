"""Tracing a TFLite model with LiteRT's own interpreter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from edgekit.conversion.extras import need, quiet
from edgekit.conversion.layers.trace import INPUT, Recorder, Trace, ends_of
from edgekit.conversion.layout import Pairing
from edgekit.conversion.naming import short
from edgekit.errors import ModelError

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_WHAT = "looking into a TFLite model"


class TfliteTracer:
    """Runs a model with LiteRT's built-in kernels, every tensor kept.

    XNNPACK is left out: it would hide what is between its operators, so that a mistake of its own is not seen
    here. Operators inside branches and loops are not seen. Quantized tensors are expanded by their scales.
    """

    def __init__(self, data: bytes, name: str, pairing: Pairing | None = None) -> None:
        """Raises MissingExtra, ModelError E_MODEL_LOAD."""
        module = need("ai_edge_litert.interpreter", "litert", _WHAT)
        self._name, self._pairing = name, pairing
        try:
            with quiet():
                self._interpreter = module.Interpreter(
                    model_content=data,
                    experimental_preserve_all_tensors=True,
                    experimental_op_resolver_type=module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
                    num_threads=1,
                )
                self._interpreter.allocate_tensors()
                self._inputs = self._interpreter.get_input_details()
                self._outputs = self._interpreter.get_output_details()
        except (ValueError, RuntimeError) as error:
            raise ModelError(f"LiteRT does not load {name}: {short(error)}", code="E_MODEL_LOAD") from error

    def __call__(self, sample: Sequence[Array]) -> Trace:
        """Raises ModelError E_MODEL_RUN."""
        given = self._pairing.to_result(sample) if self._pairing else list(sample)
        try:
            with quiet():
                self._resize(given)
                for detail, value in zip(self._inputs, given, strict=True):
                    self._interpreter.set_tensor(detail["index"], stored(value, detail))
                self._interpreter.invoke()
        except (ValueError, RuntimeError) as error:
            raise ModelError(
                f"LiteRT does not run {self._name}: {short(error)}", code="E_MODEL_RUN"
            ) from error
        return self._record()

    def _resize(self, given: Sequence[Array]) -> None:
        """Axes of open size get the sample's."""
        changed = False
        for detail, value in zip(self._inputs, given, strict=True):
            if -1 in detail["shape_signature"] and tuple(detail["shape"]) != value.shape:
                self._interpreter.resize_tensor_input(detail["index"], value.shape)
                changed = True
        if changed:
            self._interpreter.allocate_tensors()
            self._inputs = self._interpreter.get_input_details()

    def _record(self) -> Trace:
        recorder = Recorder()
        details = {int(detail["index"]): detail for detail in self._interpreter.get_tensor_details()}
        known: dict[int, str] = {}
        for detail in self._inputs:
            number = int(detail["index"])
            known[number] = recorder.add(-1, INPUT, detail["name"], self._value(detail))
        for operator in self._interpreter._get_ops_details():
            read = [known[int(number)] for number in operator["inputs"] if int(number) in known]
            for made in operator["outputs"]:
                detail = details.get(int(made))
                if detail is None or not read:
                    continue  # not given, or made from constants alone
                known[int(made)] = recorder.add(
                    int(operator["index"]), operator["op_name"], detail["name"], self._value(detail), read
                )
        names = [known.get(int(detail["index"]), "") for detail in self._outputs]
        order, axes = ends_of(self._pairing, len(names))
        return recorder.trace([names[place] for place in order], axes)

    def _value(self, detail: dict[str, Any]) -> Array | None:
        try:
            value = self._interpreter.get_tensor(detail["index"])
        except (ValueError, RuntimeError):  # a tensor that no kernel gave memory
            return None
        return expanded(value, detail)


def expanded(value: Any, detail: dict[str, Any]) -> Array | None:
    """A tensor's stored value as real numbers; None where it is no array."""
    import numpy as np

    parameters = detail["quantization_parameters"]
    scales, zeros = parameters["scales"], parameters["zero_points"]
    if not len(scales) or not isinstance(value, np.ndarray) or value.dtype.kind not in "iu":
        return value if isinstance(value, np.ndarray) else None
    if len(scales) > 1:
        shape = [1] * value.ndim
        shape[int(parameters["quantized_dimension"])] = len(scales)
        scales, zeros = scales.reshape(shape), zeros.reshape(shape)
    real: Array = ((value.astype(np.float64) - zeros) * scales).astype(np.float32)
    return real


def stored(value: Array, detail: dict[str, Any]) -> Array:
    """A real value as a tensor stores it."""
    import numpy as np

    dtype, (scale, zero_point) = np.dtype(detail["dtype"]), detail["quantization"]
    if value.dtype != dtype and scale and dtype.kind in "iu":
        limits = np.iinfo(dtype)
        value = np.clip(np.rint(value.astype(np.float64) / scale) + zero_point, limits.min, limits.max)
    return np.ascontiguousarray(value.astype(dtype, copy=False))
