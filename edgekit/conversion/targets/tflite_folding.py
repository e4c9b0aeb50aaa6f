"""Constants behind DEQUANTIZE and DENSIFY operators made constants of their own, so that a quantizer sees weights.

Files for GPUs keep weights as float16 (MediaPipe's), some of them sparse, and expand them when they are loaded;
weight-only quantization keeps them as int8. ai-edge-quantizer takes neither for weights.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgekit.conversion.targets.tflite_constants import FLOAT32, NotFolded, real, stored
from edgekit.conversion.targets.tflite_file import (
    MAX_BYTES,
    code_of,
    constant_of,
    damage,
    listed,
    schema,
    text,
)
from edgekit.models.flat import Damaged
from edgekit.models.limits import as_error
from edgekit.models.tflite import DTYPES

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_DEQUANTIZE, _DENSIFY = 6, 124
FOLDED_OPERATORS = (_DEQUANTIZE, _DENSIFY)
_CONTROL = b"model_control_dependencies"
"""Metadata that names operators by number."""


@dataclass(frozen=True)
class Constant:
    """A tensor that an operator computed from constants alone and that is a constant now. `subgraph`, `tensor`: its
    place in the file as it was; `exact`: no arithmetic was needed."""

    subgraph: int
    tensor: int
    name: str
    values: Array
    exact: bool


@dataclass(frozen=True)
class Folding:
    """`constants`: what became one; `stored_as`: how many values of which type were expanded; `skipped`: why others
    were not."""

    constants: tuple[Constant, ...]
    stored_as: dict[str, int]
    skipped: tuple[str, ...]

    @property
    def size_bytes(self) -> int:
        return sum(constant.values.nbytes for constant in self.constants)


NOTHING = Folding((), {}, ())


def fold(model: Any, size_bytes: int) -> Folding:
    """Fold all constants of a ModelT, in place; operators, tensors and bytes that nothing uses any more are dropped.

    `size_bytes`: of the file. Raises ModelError E_MODEL_CORRUPT.
    """
    if any((entry.name or b"") == _CONTROL for entry in model.metadata or []):
        return Folding((), {}, ("its metadata names operators by number (model_control_dependencies)",))
    found: list[Constant] = []
    kinds: Counter[str] = Counter()
    skipped: list[str] = []
    room_bytes = MAX_BYTES - size_bytes
    for number, graph in enumerate(model.subgraphs):
        kept = []
        for operator in listed(graph.operators):
            try:
                with damage():
                    constant = _folded(model, number, graph, operator, kinds, room_bytes)
            except Damaged as error:
                raise as_error(error, size_bytes, "the model") from error
            except NotFolded as why:
                skipped.append(str(why))
                constant = None
            if constant is None:
                kept.append(operator)
            else:
                found.append(constant)
                room_bytes -= constant.values.nbytes
        graph.operators = kept
    if found:
        _drop_unused(model)
    return Folding(tuple(found), dict(kinds), tuple(dict.fromkeys(skipped)))


def _folded(
    model: Any, number: int, graph: Any, operator: Any, kinds: Counter[str], room_bytes: int
) -> Constant | None:
    """The constant that an operator's result is from now on; None where it is left alone. Raises NotFolded, Damaged."""
    code, ins, outs = code_of(model, operator), listed(operator.inputs), listed(operator.outputs)
    if code not in FOLDED_OPERATORS or len(ins) != 1 or len(outs) != 1 or min(ins[0], outs[0]) < 0:
        return None
    given, made = graph.tensors[ins[0]], graph.tensors[outs[0]]
    data = constant_of(model, given)
    if data is None or outs[0] in listed(graph.outputs) or outs[0] in listed(graph.inputs):
        return None
    if 4 * math.prod(listed(given.shape)) > room_bytes:  # a sparse one may say so in a few bytes
        raise NotFolded("constants that are larger than a file can be when they are expanded")
    values = stored(given, data)
    exact = code == _DENSIFY or values.dtype.kind == "f"
    if code == _DEQUANTIZE:
        if made.type != FLOAT32:
            raise NotFolded(f"constants that are expanded to {_dtype(made.type)}")
        values = real(values, given.quantization)
    elif made.type != given.type:
        raise Damaged(f"DENSIFY makes {_dtype(made.type)} of {_dtype(given.type)}")
    if listed(made.shape) != list(values.shape):
        raise Damaged(f"the shape {list(values.shape)} became {listed(made.shape)}")
    kinds["sparse" if code == _DENSIFY else _dtype(given.type)] += int(values.size)
    _set(model, made, values)
    return Constant(number, outs[0], text(made.name), values, exact)


def _dtype(kind: int) -> str:
    return DTYPES[kind] if 0 <= kind < len(DTYPES) else f"type {kind}"


def _set(model: Any, tensor: Any, values: Array) -> None:
    import numpy as np

    buffer = schema().BufferT()
    buffer.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
    model.buffers.append(buffer)
    tensor.buffer, tensor.shapeSignature = len(model.buffers) - 1, None
    if values.dtype.kind == "f":
        tensor.quantization = None


def _drop_unused(model: Any) -> None:
    """Tensors that no operator, input or output names go, the others are renumbered; their bytes go, too."""
    for number, graph in enumerate(model.subgraphs):
        operators = listed(graph.operators)
        lists = [(graph, "inputs"), (graph, "outputs")]
        lists += [(one, field) for one in operators for field in ("inputs", "outputs", "intermediates")]
        maps = [
            entry
            for definition in model.signatureDefs or []
            if definition.subgraphIndex == number
            for entry in (*listed(definition.inputs), *listed(definition.outputs))
        ]
        used = {index for owner, field in lists for index in listed(getattr(owner, field))}
        used |= {int(entry.tensorIndex) for entry in maps}
        kept = [index for index in range(len(graph.tensors)) if index in used]
        place = {index: at for at, index in enumerate(kept)} | {-1: -1}
        with damage():  # intermediates and signatures are not among what the checked reader looks at
            for owner, field in lists:
                values = getattr(owner, field)
                setattr(owner, field, None if values is None else [place[index] for index in listed(values)])
            for entry in maps:
                entry.tensorIndex = place[int(entry.tensorIndex)]
        graph.tensors = [graph.tensors[index] for index in kept]
    alive = {tensor.buffer for graph in model.subgraphs for tensor in graph.tensors}
    alive |= {entry.buffer for entry in model.metadata or []}
    for index, buffer in enumerate(model.buffers):
        if index not in alive:
            buffer.data = None
