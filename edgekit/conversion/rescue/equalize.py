"""Cross-layer equalization of a float .tflite file: the weights of linked layers rescaled, the result proven."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgekit.conversion.hosts.tflite import TfliteHost
from edgekit.conversion.layers.tflite_probe import TfliteProbe
from edgekit.conversion.rescue.links import DEPTHWISE, IN_AXIS, OUT_AXIS, Link, find_links
from edgekit.conversion.rescue.proof import same_outputs
from edgekit.conversion.rescue.scales import channel_range, divided, multiplied, reading_range, rescaled
from edgekit.conversion.targets.tflite_file import code_of, constant_of, listed, packed, unpacked
from edgekit.models.info import Signature

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]


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
    changed = rescaled(
        ranges,
        lambda link, values: _held(model, link, values),
        lambda link, scales: _rescale(model, link, scales),
    )
    if not changed:
        return None
    made = packed(model, len(data))
    before, after = (
        TfliteHost(data, signature, "the model"),
        TfliteHost(made, signature, "the equalized model"),
    )
    return Equalized(made, changed) if same_outputs(before, after, samples) else None


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


def _rescale(model: Any, link: Link, scales: Array) -> None:
    """Change the weights of a link in place."""
    graph = model.subgraphs[0]
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


def _held(model: Any, link: Link, values: Array) -> Array:
    """Largest magnitude of the weights that read each channel."""
    graph = model.subgraphs[0]
    codes = [code_of(model, graph.operators[at]) for at in link.readers]
    numbers = [listed(graph.operators[at].inputs)[1] for at in link.readers]
    held = [
        channel_range(_values(model, graph, number), IN_AXIS[code])
        for number, code in zip(numbers, codes, strict=True)
    ]
    return reading_range(held, [code == DEPTHWISE for code in codes], values)


def _values(model: Any, graph: Any, number: int) -> Array:
    import numpy as np

    tensor = graph.tensors[number]
    return np.frombuffer(bytes(constant_of(model, tensor)), "<f4").reshape(listed(tensor.shape))


def _set(model: Any, graph: Any, number: int, values: Array) -> None:
    import numpy as np

    model.buffers[graph.tensors[number].buffer].data = np.frombuffer(values.astype("<f4").tobytes(), np.uint8)
