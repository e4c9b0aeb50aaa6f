"""A dense layer that PyTorch writes as MatMul and Add, as one Gemm: what ONNX Runtime has an integer kernel with a bias for.

Static int8 as two nodes rounds twice, and runs as two kernels: a transformer encoder of 0.4 million parameters took 2.6 times as long
so, at 1.07 times the error (docs/performance.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from edgekit.conversion.extras import need, quiet
from edgekit.conversion.targets.onnx_plan import Plan, Planned, float_constants, new_names, reads_of

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_WHAT = "quantizing an ONNX model"


@dataclass(frozen=True)
class _Pair:
    """`shape`: of what the Add gives, -1 for one axis that the model leaves open."""

    matmul: Any
    add: Any
    bias: str
    shape: tuple[int, ...]


def with_gemms(model: Any, plan: Plan) -> tuple[Any, Plan]:
    """The model and its plan with each such pair as Reshape, Gemm, Reshape; the Gemm has the MatMul's name and weights, the last
    Reshape gives the Add's output. Only pairs that the plan makes static int8 by one scheme; the same two where there are none.
    """
    pairs = list(_pairs(model, plan))
    if not pairs:
        return model, plan
    onnx = need("onnx", "onnx", _WHAT)
    planned, free = {p.name: p for p in plan.planned}, new_names(model.graph)
    for pair in pairs:
        at = next(i for i, node in enumerate(model.graph.node) if node.name == pair.add.name)
        made = _nodes(model, pair, free)
        # in the Add's place: there both its inputs are known
        model.graph.node.remove(pair.add)
        for place, node in enumerate(made):
            model.graph.node.insert(at + place, node)
        model.graph.node.remove(pair.matmul)
        scheme = planned.pop(pair.add.name).scheme
        for node in made:
            kept = planned.get(node.name) if node.op_type == "Gemm" else None
            outputs = tuple(node.output)
            planned[node.name] = (
                Planned(node.name, node.op_type, scheme, None, 0, outputs)
                if kept is None
                else replace(kept, op="Gemm", axis=1, outputs=outputs)
            )
    with quiet():
        model = onnx.shape_inference.infer_shapes(model)
    return model, replace(plan, planned=tuple(planned.values()))


def _pairs(model: Any, plan: Plan) -> Iterator[_Pair]:
    planned, constants, shapes = {p.name: p for p in plan.planned}, float_constants(model), _shapes(model)
    reads = list(reads_of(model.graph))
    reads += [place.name for place in model.graph.output]
    readers = {name: node for node in model.graph.node for name in node.input}
    for node in model.graph.node:
        one = planned.get(node.name)
        if node.op_type != "MatMul" or one is None or one.weight is None or one.weight != node.input[1]:
            continue
        add = readers.get(node.output[0])
        if add is None or add.op_type != "Add" or reads.count(node.output[0]) != 1:
            continue
        activations, other = one.scheme.activations, planned.get(add.name)
        if (
            (activations.mode, activations.bits) != ("static", 8)
            or other is None
            or other.scheme != one.scheme
        ):
            continue
        bias = next(name for name in add.input if name != node.output[0])
        weight, shape = constants[one.weight], shapes.get(add.output[0], ())
        if bias not in constants or len(weight.dims) != 2 or list(constants[bias].dims) != [weight.dims[1]]:
            continue
        if len(shape) >= 2 and shape[-1] == weight.dims[1] and shape.count(-1) <= 1:
            yield _Pair(node, add, bias, shape)


def _shapes(model: Any) -> dict[str, tuple[int, ...]]:
    """Of all tensors that have one; -1 for an axis without a number."""
    return {
        value.name: tuple(
            dim.dim_value if dim.HasField("dim_value") else -1 for dim in value.type.tensor_type.shape.dim
        )
        for value in (*model.graph.value_info, *model.graph.output)
    }


def _nodes(model: Any, pair: _Pair, free: Callable[[str], str]) -> Sequence[Any]:
    onnx = need("onnx", "onnx", _WHAT)
    name, result = pair.matmul.name, pair.add.output[0]
    given, weight = pair.matmul.input
    if len(pair.shape) == 2:
        return [onnx.helper.make_node("Gemm", [given, weight, pair.bias], [result], name=name)]
    width = int(next(t for t in model.graph.initializer if t.name == weight).dims[0])

    def sized(part: str, shape: Sequence[int]) -> str:
        made = onnx.helper.make_tensor(
            free(f"{name}_{part}_shape"), onnx.TensorProto.INT64, [len(shape)], list(shape)
        )
        model.graph.initializer.append(made)
        return str(made.name)

    rows, flat = free(f"{name}_rows_output"), free(f"{name}_flat_output")
    return [
        onnx.helper.make_node(
            "Reshape", [given, sized("rows", (-1, width))], [rows], name=free(f"{name}_rows")
        ),
        onnx.helper.make_node("Gemm", [rows, weight, pair.bias], [flat], name=name),
        onnx.helper.make_node(
            "Reshape", [flat, sized("back", pair.shape)], [result], name=free(f"{name}_back")
        ),
    ]
