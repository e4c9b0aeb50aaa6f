"""A TFLite model whose operators can be looked at one by one, with LiteRT's own kernels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from edgekit.conversion.extras import need, quiet
from edgekit.conversion.layers.quantized import ProbedOp, ProbedTensor
from edgekit.conversion.layers.quantized_measure import Grid
from edgekit.conversion.layers.tflite_trace import expanded, stored
from edgekit.conversion.naming import short
from edgekit.conversion.targets.tflite_file import constant_of, listed, packed, schema, unpacked
from edgekit.errors import ModelError

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_WHAT = "looking into a TFLite model"
_NOT_ALONE = frozenset(
    {
        "IF",
        "WHILE",
        "CALL",
        "CALL_ONCE",
        "VAR_HANDLE",
        "READ_VARIABLE",
        "ASSIGN_VARIABLE",
        "STABLEHLO_COMPOSITE",
    }
)
"""Operators that name other graphs, or keep something between calls."""


class TfliteProbe:
    """The main graph of a file; XNNPACK is left out, as in TfliteTracer."""

    def __init__(self, data: bytes, name: str) -> None:
        """Raises MissingExtra, ModelError (E_MODEL_LOAD; E_MODEL_LARGE)."""
        self._model, self._name = unpacked(data), name
        self._graph = self._model.subgraphs[0]
        self._interpreter = _interpreter(data, name, keep=True)
        details = {int(detail["index"]): detail for detail in self._interpreter.get_tensor_details()}
        self._details = {
            number: detail for number, detail in details.items() if number < len(self._graph.tensors)
        }
        self._tensors = {number: self._tensor(number) for number in self._details}
        self.ops: Sequence[ProbedOp] = self._ops()

    @property
    def tensors(self) -> Mapping[int, ProbedTensor]:
        return self._tensors

    def _tensor(self, number: int) -> ProbedTensor:
        detail = self._details[number]
        parameters = detail["quantization_parameters"]
        scales, zeros = parameters["scales"], parameters["zero_points"]
        dtype = str(detail["dtype"].__name__)
        integers = dtype.startswith(("int", "uint"))
        grid = None
        if len(scales) == 1 and integers and self._is_computed(number):
            grid = Grid(dtype, float(scales[0]), int(zeros[0]) if len(zeros) else 0)
        return ProbedTensor(detail["name"], dtype, len(scales) if integers else 0, grid)

    def _ops(self) -> list[ProbedOp]:
        live = {int(detail["index"]) for detail in self._interpreter.get_input_details()}
        found = []
        for operator in self._interpreter._get_ops_details():
            read = [int(number) for number in operator["inputs"] if int(number) in self._details]
            made = [int(number) for number in operator["outputs"] if int(number) in self._details]
            inputs = tuple(number for number in read if number in live)
            if not inputs:
                self._remember_expanded(operator["op_name"], read, made)
                continue
            live.update(made)
            weights = tuple(number for number in read if number not in live)
            found.append(ProbedOp(int(operator["index"]), operator["op_name"], inputs, weights, tuple(made)))
        return found

    def between(self, inputs: Sequence[str], output: str) -> ProbedOp | None:
        for op in self.ops:
            if op.outputs and self._tensors[op.outputs[0]].name == output:
                found = [self._tensors[number].name for number in op.inputs]
                return op if found == list(inputs) else None
        return None

    def elements(self, number: int) -> int:
        """How many values a tensor has."""
        return math.prod(int(size) for size in self._details[number]["shape"])

    def _remember_expanded(self, op: str, read: Sequence[int], made: Sequence[int]) -> None:
        """A weight that is expanded while the model runs counts as what it is stored as."""
        if op == "DEQUANTIZE" and len(read) == len(made) == 1:
            kept = self._tensors[read[0]]
            self._tensors[made[0]] = replace(kept, name=self._tensors[made[0]].name)

    def run(self, sample: Sequence[Array]) -> Mapping[int, Array]:
        _invoke(self._interpreter, sample, self._name)
        numbers = {n for op in self.ops for n in (*op.inputs, *op.weights, *op.outputs)}
        values = {number: self._value(number) for number in sorted(numbers)}
        return {number: value for number, value in values.items() if value is not None}

    def _value(self, number: int) -> Array | None:
        try:
            return expanded(self._interpreter.get_tensor(number), self._details[number])
        except (ValueError, RuntimeError):  # a tensor that no kernel gave memory
            return None

    def alone(self, op: ProbedOp, given: Sequence[Sequence[Array]]) -> list[list[Array]] | None:
        if op.op in _NOT_ALONE:
            return None
        try:
            interpreter = _interpreter(self._one(op), op.op, keep=False)
            results = []
            for values in given:
                _invoke(interpreter, [*values, *self._computed_weights(op)], op.op)
                outputs = [
                    expanded(interpreter.get_tensor(detail["index"]), detail)
                    for detail in interpreter.get_output_details()
                ]
                results.append([value for value in outputs if value is not None])
        except ModelError:
            return None
        return results if all(len(one) == len(op.outputs) for one in results) else None

    def _computed_weights(self, op: ProbedOp) -> list[Array]:
        """What the model made of constants alone, as it made it: its error is the operator's own."""
        values = [self._value(number) for number in dict.fromkeys(op.weights) if self._is_computed(number)]
        return [value for value in values if value is not None]

    def _is_computed(self, number: int) -> bool:
        return constant_of(self._model, self._graph.tensors[number]) is None

    def _one(self, op: ProbedOp) -> bytes:
        """A file with this operator alone. Its inputs: those that depend on the model's inputs, then those that were
        computed from constants."""
        classes = schema()
        operator = self._graph.operators[op.index]
        computed = [number for number in op.weights if self._is_computed(number)]
        used = list(dict.fromkeys(n for n in (*listed(operator.inputs), *listed(operator.outputs)) if n >= 0))
        place = {number: at for at, number in enumerate(used)} | {-1: -1}
        model, graph, one = classes.ModelT(), classes.SubGraphT(), copy(operator)
        model.version, model.operatorCodes = 3, self._model.operatorCodes
        model.buffers, graph.tensors, size_bytes = [classes.BufferT()], [], 0
        for number in used:
            tensor = copy(self._graph.tensors[number])
            data = constant_of(self._model, tensor)
            tensor.buffer = 0
            if data is not None:
                buffer = classes.BufferT()
                buffer.data = data
                size_bytes += len(data)
                model.buffers.append(buffer)
                tensor.buffer = len(model.buffers) - 1
            graph.tensors.append(tensor)
        one.inputs = [place[number] for number in listed(operator.inputs)]
        one.outputs = [place[number] for number in listed(operator.outputs)]
        one.intermediates = None
        graph.inputs = [place[number] for number in dict.fromkeys((*op.inputs, *computed))]
        graph.outputs, graph.operators = one.outputs, [one]
        model.subgraphs = [graph]
        return packed(model, size_bytes + 4096)


def _interpreter(data: bytes, name: str, *, keep: bool) -> Any:
    module = need("ai_edge_litert.interpreter", "litert", _WHAT)
    try:
        with quiet():
            made = module.Interpreter(
                model_content=data,
                experimental_preserve_all_tensors=keep,
                experimental_op_resolver_type=module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
                num_threads=1,
            )
            made.allocate_tensors()
            return made
    except (ValueError, RuntimeError) as error:
        raise ModelError(f"LiteRT does not load {name}: {short(error)}", code="E_MODEL_LOAD") from error


def _invoke(interpreter: Any, sample: Sequence[Array], name: str) -> None:
    try:
        with quiet():
            details = interpreter.get_input_details()
            sizes = [tuple(int(n) for n in detail["shape"]) for detail in details]
            if sizes != [value.shape for value in sample]:
                for detail, value in zip(details, sample, strict=True):
                    interpreter.resize_tensor_input(detail["index"], value.shape)
                interpreter.allocate_tensors()
                details = interpreter.get_input_details()
            for detail, value in zip(details, sample, strict=True):
                interpreter.set_tensor(detail["index"], stored(value, detail))
            interpreter.invoke()
    except (ValueError, RuntimeError) as error:
        raise ModelError(f"LiteRT does not run {name}: {short(error)}", code="E_MODEL_RUN") from error
