"""Is a quantized TFLite file what the recipe says? Read back from the file itself, tensor by tensor. Pure.

The quantizer's word does not count: types, granularity, scales, values and ranges are compared with the float model,
with the plan, and with the ranges that calibration found.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from edgekit.conversion.ranges import Range
from edgekit.conversion.recipes.met import require_met
from edgekit.conversion.recipes.schema import FLOAT_SCHEME, Scheme, Weights
from edgekit.conversion.targets.stored_ranges import StoredGroup, not_as_found
from edgekit.conversion.targets.tflite_graph import MOVES, Graph, Operator, Tensor
from edgekit.conversion.targets.tflite_plan import Plan, Planned
from edgekit.errors import VerificationError

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_FIXED = ("SOFTMAX", "LOGISTIC", "TANH", "L2_NORMALIZATION", "LOG_SOFTMAX")
"""Kernels that fix their output's range."""
_HALF_STEP = 0.502
"""Rounding to the nearest, and float32's own."""
_CLIPPED, _CLIPPED_SHARE = 2.0, 0.01
"""Times the squared error that weights have unclipped, and a share of their squares: clipping shall make it smaller. octav does
not for weights that min-max stores exactly (ternary ones), but was off by 0.3 % at most there (random layers of 4 to 72)."""


def check_file(
    plan: Plan, before: Sequence[Graph], after: Sequence[Graph], ranges: Mapping[str, Range] | None
) -> dict[str, tuple[float, float]]:
    """`before`: the float model that `plan` was made for; `ranges`: what calibration found, None where none was needed.
    Gives what each integer activation can hold in the file (its range and half a step, which rounds into it), by the name
    of its float tensor.

    Raises VerificationError: E_NOTHING_QUANTIZED where not one weight or activation changed its type as planned,
    E_RECIPE_NOT_MET where one is not what the recipe says, with the first of what is wrong.
    """
    wanted = [planned for planned in plan.planned if planned.scheme != FLOAT_SCHEME]
    pairs = _pairs(plan, before, after)
    if not wanted or not any(_changed(p, before, operator, after) for p, operator in pairs):
        raise VerificationError(
            f"no operator's weights or activations became what recipe {plan.recipe.name} says: nothing was quantized",
            code="E_NOTHING_QUANTIZED",
            hint="the model has no operators that this recipe quantizes; use --recipe float32",
        )
    wrong = [problem for p, operator in pairs for problem in _operator(p, before, operator, after)]
    shared = _shared(pairs, before, after, wrong) if ranges is not None else {}
    if ranges is not None:
        clips = plan.recipe.ranges.method != "min-max"
        for group in shared.values():
            wrong += not_as_found(group, ranges, clips=clips)
    if plan.recipe.boundary == "float":
        wrong += _boundary(before, after)
    require_met(plan.recipe, wrong)
    return {
        name: (group.low - group.scale / 2, group.high + group.scale / 2)
        for group in shared.values()
        for name in group.names
    }


def _pairs(plan: Plan, before: Sequence[Graph], after: Sequence[Graph]) -> list[tuple[Planned, Operator]]:
    """Each operator and what became of it: the quantizer keeps their order, and puts conversions between them."""
    kept = [op for graph in after for op in graph.operators if op.name not in MOVES]
    names = [planned.operator.name for planned in plan.planned]
    if [op.name for op in kept] != names:
        raise VerificationError(
            f"the quantizer changed the operators: {len(names)} became {len(kept)}",
            code="E_RECIPE_NOT_MET",
            hint="try another --recipe, and please report it",
        )
    return list(zip(plan.planned, kept, strict=True))


def _changed(planned: Planned, before: Sequence[Graph], operator: Operator, after: Sequence[Graph]) -> bool:
    if planned.scheme == FLOAT_SCHEME:
        return False
    old, new = before[operator.subgraph].weight(planned.operator), after[operator.subgraph].weight(operator)
    if old is not None and new is not None and old.kind != new.kind:
        return True
    tensors = after[operator.subgraph].tensors
    return planned.scheme.activations.mode == "static" and any(
        tensors[number].kind != "float32" and len(tensors[number].scale) for number in operator.outputs
    )


def _operator(
    planned: Planned, before: Sequence[Graph], operator: Operator, after: Sequence[Graph]
) -> Iterator[str]:
    old_graph, graph = before[operator.subgraph], after[operator.subgraph]
    name = f"{operator.name} {', '.join(old_graph.named(planned.operator))[:80]}"
    old, new = old_graph.weight(planned.operator), graph.weight(operator)
    if old is not None and old.kind == "float32":
        if new is None:
            yield f"{name}: its weights are gone"
        elif planned.scheme == FLOAT_SCHEME:
            if new.kind != "float32":
                yield f"{name}: weights are {new.kind}, it was to stay float"
        else:
            yield from (f"{name}: {what}" for what in _weights(planned.scheme.weights, old, new, graph))
    bias, stored = old_graph.bias(planned.operator), graph.bias(operator)
    if (
        bias is not None
        and stored is not None
        and bias.kind == "float32"
        and stored.kind in ("int32", "int64")
    ):
        yield from (f"{name}: {what}" for what in _bias(bias, stored, graph, operator))


def _weights(weights: Weights, old: Tensor, new: Tensor, graph: Graph) -> Iterator[str]:
    import numpy as np

    kind = f"{weights.type}{weights.bits}"
    if new.kind != kind:
        yield f"weights are {new.kind}, not {kind}"
        return
    real = old.values().astype(np.float64)
    if weights.type == "float":
        error = np.abs(new.values().astype(np.float64) - real)
        if (error > np.maximum(np.abs(real) * 2**-10, 2**-24)).any():
            yield f"weights are off by up to {error.max():.2g}"
        return
    scales, problem = _scales(weights, new, graph)
    if problem:
        yield problem
        return
    if weights.symmetric and new.zero.any():
        yield "weights have zero points, they were to be symmetric"
    zero = 0 if weights.symmetric else _spread(new.zero.astype(np.float64), new)
    stored = new.values().astype(np.float64)
    error = np.abs((stored - zero) * scales - real)
    limit = 2 ** (weights.bits - 1)
    ends = (stored <= -limit + 1) | (stored >= limit - 1)
    clipped = ends if weights.ranges != "min-max" else np.zeros_like(ends)
    if (
        over := error > _HALF_STEP * scales * (1 if not weights.granularity.startswith("block") else 1.05)
    ).any():
        over &= ~clipped
    if over.any():
        at = int(np.argmax(np.where(over, error, 0)))
        yield f"weights are off by up to {error.flat[at]:.3g}, a step is {np.broadcast_to(scales, error.shape).flat[at]:.3g}"
    if weights.ranges != "min-max" and weights.symmetric:
        found, unclipped = float((error**2).sum()), _unclipped_error(weights, real, new)
        if found > _CLIPPED * unclipped + _CLIPPED_SHARE * float((real**2).sum()):
            yield f"weights are clipped more than is good: squared error {found:.3g}, {unclipped:.3g} without clipping"


def _unclipped_error(weights: Weights, real: Array, tensor: Tensor) -> float:
    """The squared error of symmetric weights whose scales hold every value: clipping is there to make it smaller."""
    import numpy as np

    if weights.granularity.startswith("block"):
        parts = real.reshape(-1, int(weights.granularity.partition("-")[2]))
    elif weights.granularity == "channel":
        parts = np.moveaxis(real, tensor.axis, 0).reshape(real.shape[tensor.axis], -1)
    else:
        parts = real.reshape(1, -1)
    steps = np.abs(parts).max(axis=1, keepdims=True) / (2 ** (weights.bits - 1) - 1)
    steps = np.where(steps > 0, steps, 1.0)
    return float(((np.rint(parts / steps) * steps - parts) ** 2).sum())


def _scales(weights: Weights, tensor: Tensor, graph: Graph) -> tuple[Any, str]:
    """The scale of each element, or what is wrong with the granularity."""
    import numpy as np

    if weights.granularity.startswith("block"):
        size = int(weights.granularity.partition("-")[2])
        found = tensor.blocks
        if found is None or int(found.blockSize) != size:
            told = "not blockwise" if found is None else f"in blocks of {found.blockSize}"
            return None, f"weights are {told}, the recipe says {weights.granularity}"
        scales = graph.tensors[int(found.scales)].values().astype(np.float64)
        return np.repeat(scales.reshape(-1), size).reshape(tensor.shape), ""
    count = len(tensor.scale)
    expected = tensor.shape[tensor.axis] if weights.granularity == "channel" else 1
    if count != expected or tensor.blocks is not None:
        told = "one scale" if count == 1 else f"{count} scales"
        return None, f"weights have {told}, the recipe says per {weights.granularity} ({expected})"
    return _spread(tensor.scale, tensor), ""


def _spread(values: Array, tensor: Tensor) -> Array:
    if len(values) == 1:
        return values.reshape(())
    shape = [1] * len(tensor.shape)
    shape[tensor.axis] = len(values)
    return values.reshape(shape)


def _bias(old: Tensor, new: Tensor, graph: Graph, operator: Operator) -> Iterator[str]:
    """An integer bias is counted in steps of the input times the weights; whatever does not fit saturates."""
    import numpy as np

    given, weight = graph.tensors[operator.inputs[0]], graph.weight(operator)
    if weight is None or not len(weight.scale) or not len(given.scale):
        yield "an integer bias beside weights or inputs without a scale"
        return
    step = given.scale * weight.scale
    if len(new.scale) and not np.allclose(new.scale, step, rtol=1e-3):
        yield "the bias' scale is not that of the input times that of the weights"
    error = np.abs(new.values().astype(np.float64) * step - old.values().astype(np.float64))
    if (error > _HALF_STEP * step + 1e-6 * np.abs(old.values())).any():
        yield f"the bias is off by up to {error.max():.3g}"


def _shared(
    pairs: Sequence[tuple[Planned, Operator]],
    before: Sequence[Graph],
    after: Sequence[Graph],
    wrong: list[str],
) -> dict[tuple[float, int, int], StoredGroup]:
    """What integer operators read and write, by its scale; what is not stored as planned goes to `wrong`."""
    found: dict[tuple[float, int, int], StoredGroup] = {}
    for planned, operator in pairs:
        if planned.scheme.activations.mode != "static":
            wrong += _stays_float(planned, operator, before, after)
            continue
        old_graph, graph = before[operator.subgraph], after[operator.subgraph]
        outputs = list(zip(planned.operator.outputs, operator.outputs, strict=True))
        inputs = list(zip(planned.operator.inputs, operator.inputs, strict=False))
        for place, (old, new) in enumerate(outputs + inputs):
            if old < 0 or old_graph.tensors[old].kind != "float32" or old_graph.tensors[old].constant:
                continue
            tensor, name = graph.tensors[new], old_graph.tensors[old].name
            if problem := _stored(planned.scheme, tensor):
                wrong.append(f"{operator.name} {name[:80]}: {problem}")
                continue
            key = (float(tensor.scale[0]), int(tensor.zero[0]), planned.scheme.activations.bits)
            group = found.setdefault(key, StoredGroup(*key))
            group.names[name] = None
            group.fixed |= operator.name in _FIXED and place < len(outputs)
    return found


def _stored(scheme: Scheme, tensor: Tensor) -> str:
    kind = f"int{scheme.activations.bits}"
    if tensor.kind != kind:
        return f"it is {tensor.kind}, not {kind}"
    if len(tensor.scale) != 1:
        return f"it has {len(tensor.scale)} scales"
    if scheme.activations.symmetric and tensor.zero.any():
        return "it has a zero point, it was to be symmetric"
    return ""


def _stays_float(
    planned: Planned, operator: Operator, before: Sequence[Graph], after: Sequence[Graph]
) -> Iterator[str]:
    old_tensors, tensors = before[operator.subgraph].tensors, after[operator.subgraph].tensors
    for old, new in zip(planned.operator.outputs, operator.outputs, strict=True):
        if old_tensors[old].kind == "float32" and tensors[new].kind != "float32":
            yield f"{operator.name} {old_tensors[old].name[:80]}: its output is {tensors[new].kind}, not float32"


def _boundary(before: Sequence[Graph], after: Sequence[Graph]) -> Iterator[str]:
    for old, new in ((before[0].inputs, after[0].inputs), (before[0].outputs, after[0].outputs)):
        for a, b in zip(old, new, strict=True):
            if before[0].tensors[a].kind != after[0].tensors[b].kind:
                yield f"{before[0].tensors[a].name}: {after[0].tensors[b].kind} at the boundary"
