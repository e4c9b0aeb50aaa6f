"""Cross-layer equalization of a float .tflite file: pairs of layers found, their weights rescaled, the result proven."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgekit.conversion.hosts.tflite import TfliteHost
from edgekit.conversion.layers.tflite_probe import TfliteProbe
from edgekit.conversion.rescue.scales import channel_range, divided, equalizing_scales, multiplied
from edgekit.conversion.targets.takeable_proof import difference
from edgekit.conversion.targets.tflite_constants import FLOAT32
from edgekit.conversion.targets.tflite_file import code_of, constant_of, listed, packed, unpacked
from edgekit.models.info import Signature

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_AVERAGE_POOL, _CONV, _DEPTHWISE, _DENSE, _MAX_POOL, _RELU, _RESHAPE = 1, 3, 4, 9, 17, 19, 22
_PAD, _MEAN, _LEAKY_RELU, _RESIZE_BILINEAR, _RESIZE_NEAREST = 34, 40, 98, 23, 97
_OUT_AXIS = {_CONV: 0, _DEPTHWISE: 3, _DENSE: 0}
_IN_AXIS = {_CONV: 3, _DEPTHWISE: 3, _DENSE: 1}
_BETWEEN = frozenset(
    {_AVERAGE_POOL, _MAX_POOL, _RELU, _LEAKY_RELU, _PAD, _MEAN, _RESHAPE, _RESIZE_BILINEAR, _RESIZE_NEAREST}
)
"""f(s x) = s f(x) for s > 0, channel by channel, as long as the last axis stays what it is."""
_NO_ACTIVATION, _FUSED_RELU = 0, 1
_ROUNDS = 3


@dataclass(frozen=True)
class Link:
    """Two layers with nothing between them that a factor could not pass. Numbers of operators; `values`: the tensor that the
    first one makes."""

    first: int
    second: int
    values: int


@dataclass(frozen=True)
class Equalized:
    """`links`: pairs whose channels were rescaled."""

    data: bytes
    links: int


def equalized(data: bytes, signature: Signature, samples: Sequence[Sequence[Array]]) -> Equalized | None:
    """The same model with the ranges of channels between layers made alike; None where no pair of layers has channels that
    differ, or where the outputs were not the same bit for bit on the samples.

    `samples`: stored values of the inputs. Raises ModelError, MissingExtra.
    """
    model = unpacked(data)
    links = find_links(model)
    if not links or not samples:
        return None
    ranges = _ranges(TfliteProbe(data, "the model"), links, samples)
    changed = _rescale(model, links, ranges)
    if not changed:
        return None
    made = packed(model, len(data))
    before, after = (
        TfliteHost(data, signature, "the model"),
        TfliteHost(made, signature, "the equalized model"),
    )
    for sample in samples:
        for a, b in zip(before.run(sample), after.run(sample), strict=True):
            if difference(a, b) != 0.0:
                return None
    return Equalized(made, changed)


def find_links(model: Any) -> tuple[Link, ...]:
    """Pairs of layers of the main graph with float weights of their own."""
    graph = model.subgraphs[0]
    operators = listed(graph.operators)
    reads = Counter(number for op in operators for number in listed(op.inputs))
    shared = Counter(tensor.buffer for one in model.subgraphs for tensor in one.tensors)
    ends = {*listed(graph.outputs), *listed(graph.inputs)}
    readers = {number: at for at, op in enumerate(operators) for number in listed(op.inputs)}

    def own(number: int) -> bool:
        """A float constant that nothing else reads."""
        if number < 0:
            return True
        tensor = graph.tensors[number]
        constant = (
            constant_of(model, tensor) is not None and tensor.type == FLOAT32 and tensor.sparsity is None
        )
        return constant and reads[number] == 1 and shared[tensor.buffer] == 1

    def is_layer(at: int) -> bool:
        ins = listed(operators[at].inputs)
        return (
            code_of(model, operators[at]) in _OUT_AXIS
            and len(ins) >= 2
            and ins[1] >= 0
            and all(map(own, ins[1:]))
        )

    found = []
    for first, operator in enumerate(operators):
        if not is_layer(first) or not _passes(operator, layer=True):
            continue
        made = number = listed(operator.outputs)[0]
        channels = listed(graph.tensors[made].shape)[-1:]
        while reads[number] == 1 and number not in ends:
            after = readers[number]
            if is_layer(after):
                if listed(operators[after].inputs)[0] == number and _fits(
                    model, graph, operators[after], channels
                ):
                    found.append(Link(first, after, made))
                break
            outputs = listed(operators[after].outputs)
            if code_of(model, operators[after]) not in _BETWEEN or len(outputs) != 1:
                break
            if (
                not _passes(operators[after], layer=False)
                or listed(graph.tensors[outputs[0]].shape)[-1:] != channels
            ):
                break
            if code_of(model, operators[after]) == _MEAN and not _spatial(model, graph, operators[after]):
                break
            number = outputs[0]
    return tuple(found)


def _passes(operator: Any, *, layer: bool) -> bool:
    """Whether what is fused into an operator lets a factor pass."""
    fused = getattr(operator.builtinOptions, "fusedActivationFunction", _NO_ACTIVATION if not layer else None)
    return fused in (_NO_ACTIVATION, _FUSED_RELU)


def _fits(model: Any, graph: Any, operator: Any, channels: list[int]) -> bool:
    """Whether the second layer reads each channel by weights of its own."""
    shape = listed(graph.tensors[listed(operator.inputs)[1]].shape)
    axis = _IN_AXIS[code_of(model, operator)]
    return len(shape) > axis and shape[axis : axis + 1] == channels and len(channels) == 1


def _spatial(model: Any, graph: Any, operator: Any) -> bool:
    """Whether a MEAN leaves the channels apart."""
    import numpy as np

    ins = listed(operator.inputs)
    axes = constant_of(model, graph.tensors[ins[1]]) if len(ins) == 2 and ins[1] >= 0 else None
    if axes is None or len(axes) % 4:
        return False
    rank = len(listed(graph.tensors[ins[0]].shape))
    return all(int(axis) % rank != rank - 1 for axis in np.frombuffer(bytes(axes), "<i4")) if rank else False


def _ranges(
    probe: TfliteProbe, links: Sequence[Link], samples: Sequence[Sequence[Array]]
) -> dict[int, Array]:
    """Largest magnitude of each channel of the tensors between layers, over the samples."""
    import numpy as np

    found: dict[int, Array] = {}
    for sample in samples:
        values = probe.run(sample)
        for link in links:
            now = channel_range(values[link.values], -1)
            found[link.values] = np.maximum(found.get(link.values, now), now)
    return found


def _rescale(model: Any, links: Sequence[Link], ranges: Mapping[int, Array]) -> int:
    """Change the weights in place; gives how many links were changed. A few rounds, as a layer may be in two links."""
    import numpy as np

    graph, known, changed = model.subgraphs[0], dict(ranges), set()
    for _ in range(_ROUNDS):
        for link in links:
            first, second = graph.operators[link.first], graph.operators[link.second]
            kernel, bias = (*listed(first.inputs)[1:], -1)[:2]
            axis = _IN_AXIS[code_of(model, second)]
            reading = _values(model, graph, listed(second.inputs)[1])
            held = channel_range(reading, axis)
            if code_of(model, second) == _DEPTHWISE:
                # Its weights have a scale for each of these channels: they take any factor at no cost.
                held = 1 / np.maximum(known[link.values], np.finfo(np.float32).tiny) * (held > 0)
            scales = equalizing_scales(known[link.values], held)
            if (scales == 1).all():
                continue
            out_axis = _OUT_AXIS[code_of(model, first)]
            _set(model, graph, kernel, divided(_values(model, graph, kernel), scales, out_axis))
            if bias >= 0:
                _set(model, graph, bias, divided(_values(model, graph, bias), scales, -1))
            _set(model, graph, listed(second.inputs)[1], multiplied(reading, scales, axis))
            known[link.values] = np.asarray(known[link.values] / scales)
            changed.add(link)
    return len(changed)


def _values(model: Any, graph: Any, number: int) -> Array:
    import numpy as np

    tensor = graph.tensors[number]
    return np.frombuffer(bytes(constant_of(model, tensor)), "<f4").reshape(listed(tensor.shape))


def _set(model: Any, graph: Any, number: int, values: Array) -> None:
    import numpy as np

    model.buffers[graph.tensors[number].buffer].data = np.frombuffer(values.astype("<f4").tobytes(), np.uint8)
