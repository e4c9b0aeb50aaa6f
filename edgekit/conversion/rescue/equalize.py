"""Cross-layer equalization of a float .tflite file: the weights of linked layers rescaled, the result proven."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgekit.conversion.hosts.tflite import TfliteHost
from edgekit.conversion.layers.tflite_probe import TfliteProbe
from edgekit.conversion.rescue.links import DEPTHWISE, IN_AXIS, OUT_AXIS, Link, find_links
from edgekit.conversion.rescue.scales import channel_range, divided, equalizing_scales, multiplied
from edgekit.conversion.targets.takeable_proof import difference
from edgekit.conversion.targets.tflite_file import code_of, constant_of, listed, packed, unpacked
from edgekit.models.info import Signature

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_ROUNDS = 3


@dataclass(frozen=True)
class Equalized:
    """`links`: how many of them had their channels rescaled."""

    data: bytes
    links: int


def equalized(data: bytes, signature: Signature, samples: Sequence[Sequence[Array]]) -> Equalized | None:
    """The same model with the ranges of channels between layers made alike; None where no linked layers have channels that
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


def _ranges(
    probe: TfliteProbe, links: Sequence[Link], samples: Sequence[Sequence[Array]]
) -> dict[Link, Array]:
    """Largest magnitude of each channel between the layers of a link, over its tensors and the samples."""
    import numpy as np

    found: dict[Link, Array] = {}
    for sample in samples:
        values = probe.run(sample)
        for link in links:
            for number in link.values:
                now = channel_range(values[number], -1)
                found[link] = np.maximum(found.get(link, now), now)
    return found


def _rescale(model: Any, links: Sequence[Link], ranges: Mapping[Link, Array]) -> int:
    """Change the weights in place; gives how many links were changed. A few rounds, as a layer may be in two links."""
    graph, known, changed = model.subgraphs[0], dict(ranges), set()
    for _ in range(_ROUNDS):
        for link in links:
            scales = equalizing_scales(known[link], _held(model, graph, link, known[link]))
            if (scales == 1).all():
                continue
            for at in link.makers:
                kernel, bias = (*listed(graph.operators[at].inputs)[1:], -1)[:2]
                axis = OUT_AXIS[code_of(model, graph.operators[at])]
                _set(model, graph, kernel, divided(_values(model, graph, kernel), scales, axis))
                if bias >= 0:
                    _set(model, graph, bias, divided(_values(model, graph, bias), scales, -1))
            for at in link.readers:
                number = listed(graph.operators[at].inputs)[1]
                axis = IN_AXIS[code_of(model, graph.operators[at])]
                _set(model, graph, number, multiplied(_values(model, graph, number), scales, axis))
            known[link] = known[link] / scales
            changed.add(link)
    return len(changed)


def _held(model: Any, graph: Any, link: Link, values: Array) -> Array:
    """Largest magnitude of the weights that read each channel. Of several layers each counts by its own largest weight: they have
    scales of their own."""
    import numpy as np

    found, alive = [], np.zeros(values.shape, bool)
    for at in link.readers:
        code = code_of(model, graph.operators[at])
        held = channel_range(_values(model, graph, listed(graph.operators[at].inputs)[1]), IN_AXIS[code])
        alive |= held > 0
        if code != DEPTHWISE:
            found.append(held / held.max() if len(link.readers) > 1 and held.max() > 0 else held)
    if found:
        return np.asarray(np.max(found, axis=0))
    # A depthwise layer's weights have a scale for each of these channels: they take any factor at no cost.
    return np.asarray(1 / np.maximum(values, np.finfo(np.float32).tiny) * alive)


def _values(model: Any, graph: Any, number: int) -> Array:
    import numpy as np

    tensor = graph.tensors[number]
    return np.frombuffer(bytes(constant_of(model, tensor)), "<f4").reshape(listed(tensor.shape))


def _set(model: Any, graph: Any, number: int, values: Array) -> None:
    import numpy as np

    model.buffers[graph.tensors[number].buffer].data = np.frombuffer(values.astype("<f4").tobytes(), np.uint8)
