"""Is a quantized ONNX file what the recipe says? Read back from the file itself. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from edgekit.conversion.extras import need
from edgekit.conversion.ranges import Range
from edgekit.conversion.recipes.met import require_met
from edgekit.conversion.recipes.schema import FLOAT_SCHEME
from edgekit.conversion.targets.onnx_plan import Plan, Planned, float_constants
from edgekit.conversion.targets.stored_ranges import StoredGroup, not_as_found
from edgekit.errors import VerificationError

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_WHAT = "quantizing an ONNX model"
_HALF_STEP = 0.502


def check_file(
    plan: Plan, before: Any, after: Any, ranges: Mapping[str, Range] | None
) -> dict[str, tuple[float, float]]:
    """`before`, `after`: onnx.ModelProto. Gives what each integer activation can hold in the file, half a step beyond its
    range included, by its float tensor's name.

    Raises VerificationError: E_NOTHING_QUANTIZED where no weight and no activation is stored as planned, E_RECIPE_NOT_MET
    where one is not what the recipe says.
    """
    weights, stored = float_constants(before), _constants(after)
    wanted = [p for p in plan.planned if p.scheme != FLOAT_SCHEME]
    changed = [p for p in wanted if p.weight is not None and _quantized_names(p, stored)]
    groups = _activations(after, stored)
    if not changed and not groups:
        raise VerificationError(
            f"no weight or activation became what recipe {plan.recipe.name} says: nothing was quantized",
            code="E_NOTHING_QUANTIZED",
            hint="the model has no nodes that this recipe quantizes; use --recipe float32",
        )
    wrong = [problem for p in plan.planned for problem in _weight(p, plan, weights, stored, after)]
    wrong += _biases(plan, before, stored)
    if ranges is not None:
        clips = plan.recipe.ranges.method != "min-max"
        wrong += [
            problem for group in groups.values() for problem in not_as_found(group, ranges, clips=clips)
        ]
        covered = {name for group in groups.values() for name in group.names}
        wrong += [
            f"{p.op} {p.name}: its input and output stayed float"
            for p in wanted
            if p.scheme.activations.mode == "static" and p.weight is not None
            and not covered & {*_inputs(before, p.name), *p.outputs}
        ]  # fmt: skip
    require_met(plan.recipe, wrong)
    return {
        name: (group.low - group.scale / 2, group.high + group.scale / 2)
        for group in groups.values()
        for name in group.names
    }


def _constants(model: Any) -> dict[str, Any]:
    return {tensor.name: tensor for tensor in model.graph.initializer}


def _inputs(model: Any, name: str) -> tuple[str, ...]:
    return tuple(next(node for node in model.graph.node if node.name == name).input)


def _quantized_names(planned: Planned, stored: Mapping[str, Any]) -> tuple[str, str] | None:
    """The constants that hold a weight's integers and scales."""
    bits = planned.scheme.weights.bits
    pairs = (
        (f"{planned.weight}_quantized", f"{planned.weight}_scale"),
        (f"{planned.weight}_Q{bits}", f"{planned.weight}_scales"),
        (f"{planned.weight}_of_{planned.name}_quantized", f"{planned.weight}_of_{planned.name}_scale"),
        (f"{planned.weight}_of_{planned.name}_Q{bits}", f"{planned.weight}_of_{planned.name}_scales"),
    )
    return next((pair for pair in pairs if all(name in stored for name in pair)), None)


def _weight(
    planned: Planned, plan: Plan, weights: Mapping[str, Any], stored: Mapping[str, Any], after: Any
) -> Iterator[str]:
    if planned.weight is None:
        return
    name = f"{planned.op} {planned.name}"
    shared = any(other.weight == planned.weight and other.scheme != planned.scheme for other in plan.planned)
    found = _quantized_names(planned, stored)
    if planned.scheme == FLOAT_SCHEME:
        if planned.weight not in stored and not shared:
            yield f"{name}: its weights are not there as float, it was to stay float"
        return
    if found is None:
        yield f"{name}: its weights {planned.weight} stayed float"
        return
    array = need("onnx", "onnx", _WHAT).numpy_helper.to_array
    real = array(weights[planned.weight])
    if planned.op == "LSTM":  # its kernel wants the matrices turned
        return
    if planned.scheme.weights.granularity.startswith("block"):
        yield from (f"{name}: {what}" for what in _blocks(planned, real, stored, found, after, array))
    else:
        yield from (f"{name}: {what}" for what in _integers(planned, real, stored, found, array))


def _integers(planned: Planned, real: Array, stored: Mapping[str, Any], found: tuple[str, str], array: Any) -> Iterator[str]:  # fmt: skip
    import numpy as np

    values, scale = array(stored[found[0]]), array(stored[found[1]]).astype(np.float64)
    axis = planned.axis
    if (
        _turned(planned)
        if real.ndim == 2 and real.shape[0] == real.shape[1]
        else values.shape == real.T.shape
    ):
        real, axis = real.T, real.ndim - 1 - axis
    if values.dtype != np.int8:
        yield f"weights are {values.dtype}, not int8"
        return
    per_channel = planned.scheme.weights.granularity == "channel"
    expected = real.shape[axis] if per_channel else 1
    if scale.size != expected:
        told = "one scale" if scale.size == 1 else f"{scale.size} scales"
        yield f"weights have {told}, the recipe says per {planned.scheme.weights.granularity} ({expected})"
        return
    zero_name = found[1].removesuffix("_scale") + "_zero_point"
    if zero_name in stored and array(stored[zero_name]).any():
        yield "weights have zero points, they were to be symmetric"
    spread = scale.reshape([-1 if i == axis else 1 for i in range(real.ndim)]) if scale.size > 1 else scale.reshape(())  # fmt: skip
    yield from _far(np.abs(values * spread - real), spread)


def _turned(planned: Planned) -> bool:
    """Whether a Gemm's weights, kept by output channel, were turned for the MatMul that it became: a square matrix does not
    tell by its shape."""
    return planned.op == "Gemm" and planned.axis == 0 and planned.scheme.activations.mode == "dynamic"


def _blocks(planned: Planned, real: Array, stored: Mapping[str, Any], found: tuple[str, str], after: Any, array: Any) -> Iterator[str]:  # fmt: skip
    """MatMulNBits keeps, for each output column, blocks of the rows: two 4-bit values in a byte, 8 meaning zero."""
    import numpy as np

    node = next((n for n in after.graph.node if found[0] in n.input), None)
    size = int(planned.scheme.weights.granularity.partition("-")[2])
    given = {a.name: a.i for a in node.attribute} if node is not None else {}
    if node is None or node.op_type != "MatMulNBits" or given.get("bits") != planned.scheme.weights.bits:
        yield f"it is no MatMulNBits of {planned.scheme.weights.bits} bits"
        return
    if given.get("block_size") != size:
        yield f"weights are in blocks of {given.get('block_size')}, the recipe says {size}"
        return
    packed, scale = array(stored[found[0]]), array(stored[found[1]]).astype(np.float64)
    rows, columns = given["K"], given["N"]
    if real.shape != (rows, columns) or (rows == columns and _turned(planned)):
        real = real.T
    packed = packed.reshape(columns, -1, size // 2)
    nibbles = np.stack([packed & 15, packed >> 4], axis=-1).reshape(columns, -1, size).astype(np.float64) - 8
    steps = scale.reshape(columns, -1, 1)
    expanded = (nibbles * steps).reshape(columns, -1)[:, :rows].T
    spread = np.abs(np.broadcast_to(steps, nibbles.shape).reshape(columns, -1)[:, :rows].T)
    # -8 to 7: the largest value of a block may be one step short.
    yield from _far(np.abs(expanded - real), spread, allowed=1.02)


def _biases(plan: Plan, before: Any, stored: Mapping[str, Any]) -> Iterator[str]:
    """An integer bias is counted in steps of the input times the weights; whatever does not fit saturates."""
    import numpy as np

    array = need("onnx", "onnx", _WHAT).numpy_helper.to_array
    constants = float_constants(before)
    for planned in plan.planned:
        given = _inputs(before, planned.name)
        if planned.weight is None or len(given) < 3 or f"{given[2]}_quantized" not in stored:
            continue
        bias, scale = f"{given[2]}_quantized", stored.get(f"{given[2]}_quantized_scale")
        if given[2] not in constants or scale is None:
            continue
        steps, real = array(scale).astype(np.float64), array(constants[given[2]])
        error = np.abs(array(stored[bias]).astype(np.float64) * steps - real)
        if (error > _HALF_STEP * steps + 1e-6 * np.abs(real)).any():
            yield f"{planned.op} {planned.name}: the bias is off by up to {error.max():.3g}"


def _far(error: Array, steps: Array, allowed: float = _HALF_STEP) -> Iterator[str]:
    import numpy as np

    if (over := error > allowed * steps + 1e-12).any():
        at = int(np.argmax(np.where(over, error, 0)))
        yield f"weights are off by up to {error.flat[at]:.3g}, a step is {np.broadcast_to(steps, error.shape).flat[at]:.3g}"


def _activations(model: Any, stored: Mapping[str, Any]) -> dict[tuple[float, int, int], StoredGroup]:
    """What QuantizeLinear nodes store, by their scales. A tensor that is quantized is called as in the float model."""
    array = need("onnx", "onnx", _WHAT).numpy_helper.to_array
    found: dict[tuple[float, int, int], StoredGroup] = {}
    for node in model.graph.node:
        if node.op_type != "QuantizeLinear" or node.input[1] not in stored:
            continue
        scale, zero = array(stored[node.input[1]]), array(stored[node.input[2]])
        if scale.size == 1:
            key = (float(scale.reshape(())), int(zero.reshape(())), 8 * zero.dtype.itemsize)
            # An output of the model keeps its name behind the pair of nodes.
            name = node.input[0].removesuffix("_QuantizeLinear_Input")
            found.setdefault(key, StoredGroup(*key)).names[name] = None
    return found
