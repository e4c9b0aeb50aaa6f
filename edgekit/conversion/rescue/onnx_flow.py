"""Which ONNX operators a factor for each channel passes, and where its channels are behind them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

from edgekit.conversion.extras import need
from edgekit.conversion.targets.onnx_plan import float_constants, reads_of

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_WHAT = "looking into an ONNX model"
_ALIKE = ("Relu", "LeakyRelu", "PRelu", "Identity")
"""f(s x) = s f(x) for s > 0, value by value."""
_POOLS = ("MaxPool", "AveragePool", "GlobalMaxPool", "GlobalAveragePool")
_MOVES = ("Reshape", "Flatten", "Squeeze", "Unsqueeze")
"""The same values in the same order in memory."""
_LINEAR_RESIZES = ("nearest", "linear", "cubic")
SIZES = ("Shape", "Size")
"""What reads no values."""
FUSED = ("Relu", "BatchNormalization")
"""What a quantizer, or what prepares a model for it, makes one operator with the one in front of it."""


@dataclass(frozen=True)
class Place:
    """Where a tensor has its channels: along `axis`, `repeat` neighbours for each."""

    axis: int
    repeat: int = 1


@dataclass(frozen=True)
class Part:
    """A constant that holds values for each channel: where (as for `scales.divided`). `by_channel`: a quantizer gives it a scale for
    each of them."""

    name: str
    axis: int
    groups: int = 1
    repeat: int = 1
    by_channel: bool = False


@dataclass(frozen=True)
class Passed:
    """What a node gives of channels that it takes: where they are now, and which constants go with their factor."""

    place: Place
    parts: tuple[Part, ...] = ()


class View:
    """A main graph whose constants are initializers, with the sizes of its tensors. `shapes`: of those that depend on the
    inputs, by name."""

    def __init__(self, model: Any, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self.graph, self.shapes = model.graph, shapes
        self.constants = {tensor.name: tensor for tensor in model.graph.initializer}
        self._floats = float_constants(model)
        self.reads = Counter((*reads_of(model.graph), *(place.name for place in model.graph.output)))

    def own(self, name: str) -> bool:
        """Whether it is a float constant that nothing else reads."""
        return name in self._floats and self.reads[name] == 1

    def sizes(self, name: str) -> tuple[int, ...]:
        return tuple(self.constants[name].dims)

    def array(self, name: str) -> Array:
        found: Array = need("onnx", "onnx", _WHAT).numpy_helper.to_array(self.constants[name])
        return found


def attributes(node: Any) -> dict[str, Any]:
    helper = need("onnx", "onnx", _WHAT).helper
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


def passed(node: Any, at: int, place: Place, channels: int, view: View) -> Passed | None:
    """What a node makes of the channels of its input number `at`, where no factor goes into its other inputs; None where they cannot be
    followed, or no factor passes. `channels`: how many."""
    given, made = view.shapes.get(node.input[at]), view.shapes.get(node.output[0])
    if given is None or made is None or len([name for name in node.output if name]) != 1:
        return None
    if node.op_type in _ALIKE:
        return Passed(place) if at == 0 and given == made else None
    if node.op_type in ("Add", "Sub", "Mul", "Div"):
        return _arithmetic(node, at, place, view) if given == made else None
    if node.op_type in _MOVES:
        return None if at else _behind_move(given, made, place, channels)
    if at != 0:
        return None
    if node.op_type == "BatchNormalization":
        return _behind_norm(node, place, view)
    if node.op_type == "Transpose":
        order = attributes(node).get("perm", range(len(given))[::-1])
        return Passed(Place(list(order).index(place.axis), place.repeat))
    if node.op_type == "ReduceMean":
        return _behind_mean(node, place, len(given), view)
    same = len(given) == len(made) and given[place.axis] == made[place.axis]
    if node.op_type in _POOLS:
        return Passed(place) if same and place.axis == 1 else None
    if node.op_type == "Pad":
        return Passed(place) if same and _pads_alike(node, place.axis, len(given), view) else None
    if node.op_type == "Resize":
        found = attributes(node)
        plain = found.get("mode", b"nearest").decode() in _LINEAR_RESIZES
        cropped = found.get("coordinate_transformation_mode") == b"tf_crop_and_resize"
        return Passed(place) if same and plain and not cropped else None
    return None


def _arithmetic(node: Any, at: int, place: Place, view: View) -> Passed | None:
    """A factor passes a multiplication, with whatever; what is added has to be divided by it too, each channel by its own."""
    name = node.input[1 - at]
    if node.op_type == "Mul" or (node.op_type == "Div" and at == 0):
        return Passed(place)
    if node.op_type == "Div" or not view.own(name):
        return None
    part = along(name, view.sizes(name), view.shapes[node.output[0]], place)
    return None if part is None else Passed(place, (part,))


def along(name: str, sizes: tuple[int, ...], made: tuple[int, ...], place: Place) -> Part | None:
    """A constant that is added to a tensor of sizes `made`, and has a value of its own for each of its channels."""
    axis = place.axis - (len(made) - len(sizes))
    if axis < 0 or sizes[axis] != made[place.axis]:
        return None
    return Part(name, axis, repeat=place.repeat)


def _behind_move(given: tuple[int, ...], made: tuple[int, ...], place: Place, channels: int) -> Passed | None:
    """A channel is every value whose position, over the length of its run, leaves that rest: the axis that says so now."""
    run = place.repeat * prod(given[place.axis + 1 :])
    for axis, size in enumerate(made):
        inner = prod(made[axis + 1 :])
        if inner and run % inner == 0 and size == channels * (run // inner):
            return Passed(Place(axis, run // inner))
    return None


def _behind_norm(node: Any, place: Place, view: View) -> Passed | None:
    """(x - mean) * scale / sqrt(var + epsilon) + B: mean and B have the factor too."""
    scale, offset, mean, variance = node.input[1:5]
    own = view.own(offset) and view.own(mean) and {scale, variance} <= set(view.constants)
    if place != Place(1) or not own or attributes(node).get("training_mode", 0):
        return None
    return Passed(place, (Part(offset, 0), Part(mean, 0)))


def _behind_mean(node: Any, place: Place, rank: int, view: View) -> Passed | None:
    found = attributes(node)
    axes = found.get("axes")
    if axes is None and len(node.input) > 1 and node.input[1] in view.constants:
        axes = view.array(node.input[1]).tolist()
    gone = {axis % rank for axis in axes or range(rank)}
    if place.axis in gone:
        return None
    return Passed(
        place
        if found.get("keepdims", 1)
        else Place(place.axis - sum(a < place.axis for a in gone), place.repeat)
    )


def _pads_alike(node: Any, axis: int, rank: int, view: View) -> bool:
    """Whether what is put around is zero or made of the values, and no channel is new."""
    found = attributes(node)
    value: Any = found.get("value", 0.0)
    if len(node.input) > 2 and node.input[2]:
        value = view.array(node.input[2]).reshape(-1)[0] if node.input[2] in view.constants else None
    if found.get("mode", b"constant") == b"constant" and value != 0:
        return False
    pads = found.get("pads")
    if pads is None and node.input[1] in view.constants and len(node.input) < 4:
        pads = view.array(node.input[1]).tolist()
    return pads is not None and not pads[axis] and not pads[axis + rank]
