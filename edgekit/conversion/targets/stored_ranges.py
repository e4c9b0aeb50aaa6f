"""Ranges of activations as a quantized file stores them, against those that calibration found. Of any target. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from edgekit.conversion.ranges import Range

_WIDER = 1.05


@dataclass
class StoredGroup:
    """Tensors that have one scale in the file: what goes into a pooling and what comes out, for one. `fixed`: its kernel
    fixes the scale."""

    scale: float
    zero: int
    bits: int
    names: dict[str, None] = field(default_factory=dict)
    fixed: bool = False

    @property
    def low(self) -> float:
        return float((-(2 ** (self.bits - 1)) - self.zero) * self.scale)

    @property
    def high(self) -> float:
        return float((2 ** (self.bits - 1) - 1 - self.zero) * self.scale)


def not_as_found(group: StoredGroup, ranges: Mapping[str, Range], *, clips: bool) -> Iterator[str]:
    """The file's range holds those that calibration found, to a step, and not much more. Where the method clips, each
    tensor of a group was given its own range, and one of them became that of all."""
    wanted = {name: ranges[name] for name in group.names if name in ranges}
    if not wanted:
        return
    low, high = group.low - group.scale, group.high + group.scale
    outside = [name for name, found in wanted.items() if found.low < low or found.high > high]
    if outside and not (clips and len(outside) < len(wanted)):
        found = wanted[outside[0]]
        yield (
            f"{outside[0][:80]}: stored from {group.low:.4g} to {group.high:.4g}, calibration found {found.low:.4g}"
            f" to {found.high:.4g}"
        )
    if group.fixed:
        return
    least, most = min(found.low for found in wanted.values()), max(found.high for found in wanted.values())
    needed = 2 * max(-least, most) if group.zero == 0 else most - least
    steps = 2**group.bits - 1
    if group.scale * steps > needed * _WIDER + 1e-4:
        yield (
            f"{next(iter(wanted))[:80]}: a step is {group.scale:.4g}, {needed / steps:.4g} is enough for what"
            " calibration found"
        )
