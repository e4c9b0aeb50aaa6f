"""MACs and bytes of the operators of an .onnx file's main graph.

Shapes between the operators are in a file only where its exporter, or a shape inference afterwards, put them there
(`value_info`): where they are not, most is not known. Operators: https://onnx.ai/onnx/operators/ and the ones of
quantization in onnxruntime's contrib operators.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

from edgekit.models.flat import Damaged
from edgekit.models.formats import unreadable
from edgekit.models.limits import MAX_RANK, as_error
from edgekit.models.onnx import read_value
from edgekit.models.onnx_tensor import dtype_name
from edgekit.models.op_costs import OpCost, Shape, elements, product, total_bytes
from edgekit.models.wire import MAX_FIELDS, Message, Wire, number

_GRAPH, _NODES, _INITIALIZERS, _VALUES = 7, 1, 5, (11, 12, 13)
_WEIGHTS_AT = {"Conv": 1, "ConvInteger": 1, "QLinearConv": 3, "ConvTranspose": 1}
_FACTORS_AT = {"MatMul": (0, 1), "MatMulInteger": (0, 1), "QLinearMatMul": (0, 3), "Gemm": (0, 1)}


@dataclass
class _Node:
    op: str = ""
    name: str = ""
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    transposed_a: bool = False


def read_onnx_costs(path: Path) -> tuple[OpCost, ...]:
    """Raises ModelError: E_MODEL_MISSING, E_MODEL_TRUNCATED, E_MODEL_CORRUPT."""
    size_bytes = 0
    try:
        size_bytes = path.stat().st_size
        with open(path, "rb") as file:
            graph = Wire(file, size_bytes, MAX_FIELDS).root().child(_GRAPH)
            if graph is None:
                raise Damaged("it holds no graph")
            return _read(graph)
    except OSError as error:
        raise unreadable(path, error) from error
    except Damaged as damage:
        raise as_error(damage, size_bytes, str(path)) from damage


def _read(graph: Message) -> tuple[OpCost, ...]:
    nodes: list[_Node] = []
    tensors: dict[str, tuple[str, Shape]] = {}
    for found in graph.fields():
        if found.number == _NODES:
            nodes.append(_node(graph.message(found)))
        elif found.number == _INITIALIZERS:
            name, dtype, shape = _initializer(graph.message(found))
            tensors[name] = (dtype, shape)
        elif found.number in _VALUES:
            value = read_value(graph.message(found))
            # without a shape a value has no dimensions here, as a scalar has: not known, then
            tensors.setdefault(value.name, (value.dtype, value.shape or None))
    return tuple(_cost(index, node, tensors) for index, node in enumerate(nodes))


def _node(message: Message) -> _Node:
    node = _Node()
    domain = ""
    for found in message.fields():
        if found.number == 1:
            node.inputs.append(message.text(found))
        elif found.number == 2:
            node.outputs.append(message.text(found))
        elif found.number == 3:
            node.name = message.text(found)
        elif found.number == 4:
            node.op = message.text(found)
        elif found.number == 5:
            node.transposed_a |= _is_trans_a(message.message(found))
        elif found.number == 7:
            domain = message.text(found)
    if domain not in ("", "ai.onnx"):
        node.op = f"{domain}::{node.op}"
    return node


def _is_trans_a(attribute: Message) -> bool:
    name, value = "", 0
    for found in attribute.fields():
        if found.number == 1:
            name = attribute.text(found)
        elif found.number == 3:
            value = number(found)
    return name == "transA" and value != 0


def _initializer(message: Message) -> tuple[str, str, Shape]:
    name, dtype, dims = "", "unknown", list[int]()
    for found in message.fields():
        if found.number == 1:
            dims += message.numbers(found, MAX_RANK)
        elif found.number == 2:
            dtype = dtype_name(number(found))
        elif found.number == 8:
            name = message.text(found)
    if len(dims) > MAX_RANK or any(dim < 0 for dim in dims):
        raise Damaged(f"the tensor '{name[:200]}' has the shape {dims[:MAX_RANK]}")
    return name, dtype, tuple(dims)


def _cost(index: int, node: _Node, tensors: dict[str, tuple[str, Shape]]) -> OpCost:
    touched = [name for name in dict.fromkeys((*node.inputs, *node.outputs)) if name]
    return OpCost(
        index=index,
        op=node.op,
        name=node.name,
        outputs=tuple(node.outputs),
        macs=_macs(node, tensors),
        bytes=total_bytes(tensors.get(name, ("unknown", None)) for name in touched),
    )


def _macs(node: _Node, tensors: dict[str, tuple[str, Shape]]) -> int | None:
    def shape(names: list[str], at: int) -> Shape:
        return tensors.get(names[at], ("", None))[1] if at < len(names) else None

    output = shape(node.outputs, 0)
    if node.op in _WEIGHTS_AT:
        weights = shape(node.inputs, _WEIGHTS_AT[node.op])
        if weights is None or elements(weights) is None or len(weights) < 3:
            return None
        # the weights' first axis is the output's channels, for ConvTranspose the input's
        over = shape(node.inputs, 0) if node.op == "ConvTranspose" else output
        return product(elements(over, len(weights)), math.prod(weights[1:]))
    if node.op in _FACTORS_AT:
        first, second = (shape(node.inputs, at) for at in _FACTORS_AT[node.op])
        return product(elements(output), _depth(first, second, node.transposed_a))
    return None


def _depth(first: Shape, second: Shape, transposed: bool) -> int | None:
    """The axis that a product sums over."""
    if first is None or second is None or not first or not second:
        return None
    at = -2 if transposed and len(first) > 1 else -1
    return first[at] if first[at] >= 0 else None
