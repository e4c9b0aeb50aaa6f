"""Cross-layer equalization of a float ONNX file: the weights of linked layers rescaled, the result proven."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.conversion.extras import need, quiet
from edgekit.conversion.hosts.onnx import OnnxHost
from edgekit.conversion.layers.onnx_probe import OnnxProbe
from edgekit.conversion.rescue.onnx_flow import Part
from edgekit.conversion.rescue.onnx_links import OnnxLink, find_links
from edgekit.conversion.rescue.proof import same_outputs
from edgekit.conversion.rescue.scales import channel_range, divided, multiplied, reading_range, rescaled
from edgekit.conversion.targets.onnx import MAX_PROTOBUF_BYTES
from edgekit.conversion.targets.onnx_plan import lift_constants
from edgekit.models.info import Signature

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_WHAT = "equalizing an ONNX model"


def equalized_onnx(path: Path, signature: Signature, samples: Sequence[Sequence[Array]], made: Path) -> int:
    """Write to `made` the same model with the ranges of channels between layers made alike; gives how many groups of layers were
    rescaled. 0, and nothing to use, where none have channels that differ, or where the outputs were not the same bit for bit on
    the samples (stored values of the inputs). Raises ModelError, MissingExtra.
    """
    onnx = need("onnx", "onnx", _WHAT)
    with quiet():
        model = onnx.load(str(path))
    lift_constants(model)
    if not samples or model.ByteSize() >= MAX_PROTOBUF_BYTES:
        return 0
    weights = _Weights(onnx, model)
    probe = OnnxProbe(path)
    numbers = {tensor.name: number for number, tensor in probe.tensors.items() if tensor.name not in weights}
    first = probe.run(samples[0])
    links = find_links(model, {name: first[n].shape for name, n in numbers.items() if n in first})
    changed = rescaled(_ranges(probe, numbers, links, samples), weights.reading, weights.rescale)
    if not changed:
        return 0
    made.write_bytes(model.SerializeToString(deterministic=True))
    before = OnnxHost(path, signature, "the model")
    after = OnnxHost(made, signature, "the equalized model")
    return changed if same_outputs(before, after, samples) else 0


def _ranges(
    probe: OnnxProbe, numbers: dict[str, int], links: Sequence[OnnxLink], samples: Sequence[Sequence[Array]]
) -> dict[OnnxLink, Array]:
    """Largest magnitude of each channel between the layers of a link, over its tensors and the samples."""
    import numpy as np

    found: dict[OnnxLink, Array] = {}
    for sample in samples if links else ():
        values = probe.run(sample)
        for link in links:
            for name, place in link.values:
                now = channel_range(values[numbers[name]], place.axis, repeat=place.repeat)
                found[link] = np.maximum(found.get(link, now), now)
    return found


class _Weights:
    """The constants of a model, changed in place."""

    def __init__(self, onnx: Any, model: Any) -> None:
        self._onnx = onnx
        self._tensors = {tensor.name: tensor for tensor in model.graph.initializer}

    def __contains__(self, name: object) -> bool:
        return name in self._tensors

    def _array(self, part: Part) -> Array:
        found: Array = self._onnx.numpy_helper.to_array(self._tensors[part.name])
        return found

    def _set(self, part: Part, values: Array) -> None:
        self._tensors[part.name].CopyFrom(self._onnx.numpy_helper.from_array(values, part.name))

    def reading(self, link: OnnxLink, values: Array) -> Array:
        held = [channel_range(self._array(p), p.axis, p.groups, p.repeat) for p in link.readers]
        return reading_range(held, [part.by_channel for part in link.readers], values)

    def rescale(self, link: OnnxLink, scales: Array) -> None:
        for part in link.makers:
            self._set(part, divided(self._array(part), scales, part.axis, part.groups, part.repeat))
        for part in link.readers:
            self._set(part, multiplied(self._array(part), scales, part.axis, part.groups, part.repeat))
