"""The clock of an external meter, set by markers: pulses of load at known times on the device's clock. Pure.

A meter on the bench has its own clock, and what it says comes late. Pulses of load of different lengths with pauses
between show in its power; the offset at which pulses stand highest above their pauses is where they are. Markers before
and after a measurement also give the rate of the clock.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgekit.stats.energy import Span
from edgekit.stats.traces import Refused, Trace

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

MIN_PULSES = 3
CLEAR = 8.0
"""Pulses stand so many times further above their pauses than what noise makes of them elsewhere."""
ALONE = 0.8
"""Another place in the trace that looks this much like the marker could be it."""
EVEN = 0.5
"""Of that height lies between the lowest pulse and the highest pause: pulses are alike, and so are pauses. Where a marker is
in the trace in part only, or something else is, they are not."""
ALIKE = 0.5
"""Of the height of one marker, at least, in another of the same measurement."""
COARSE, FINE = 8, 200
"""Steps within the shortest pulse or pause: where to look first, and how fine it is told."""
MOST_PLACES = 1_000_000
"""To look at: hours of them. A clock that jumps from 1970 to now would fill the memory."""
MAX_DRIFT = 0.01
"""Clocks that differ by more are not both clocks."""


@dataclass(frozen=True)
class ExternalClock:
    """device time = `offset_us` + (1 + `drift`) x external time."""

    offset_us: float
    drift: float = 0.0

    def device_us(self, external_us: Floats) -> Floats:
        return self.offset_us + (1 + self.drift) * external_us


def clock_of_marker(
    trace: Trace, pulses: Sequence[Span], *, search_us: tuple[float, float]
) -> float | Refused:
    """The offset to add to the times of `trace` to get device times. `pulses`: in order, on the device's clock;
    pulses or pauses differ in length, as equal ones look the same one pulse later and are refused. `search_us`: from
    and to, by how much the external clock may be ahead."""
    import numpy as np

    if len(pulses) < MIN_PULSES:
        return Refused(f"a marker has at least {MIN_PULSES} pulses")
    edges = _edges(pulses)
    shortest = float(np.diff(edges).min())
    if shortest < 2 * trace.period_us:
        return Refused("the marker's pulses are shorter than two periods of the meter")
    if search_us[1] - search_us[0] > MOST_PLACES * shortest / COARSE:
        return Refused(
            f"the times to look for the marker in are {(search_us[1] - search_us[0]) / 1e6:.3g} s long: the meter's clock "
            "was set meanwhile"
        )
    coarse = np.arange(search_us[0], search_us[1], shortest / COARSE)
    if not coarse.size:
        return Refused("there is no time to look for the marker in")
    heights = _heights(trace, edges, coarse)
    if not np.isfinite(heights).any():
        return Refused("the meter has no readings around the marker")
    best = coarse[np.nanargmax(heights)]
    away = heights[np.isfinite(heights) & (np.abs(coarse - best) > shortest)]
    top = float(np.nanmax(heights))
    if away.size and (top < CLEAR * float(np.median(np.abs(away))) or float(away.max()) > ALONE * top):
        return Refused("the marker does not stand out in what the meter saw")
    return _finely(trace, edges, (best - shortest / COARSE, best + shortest / COARSE))


def clock_of_expected_marker(
    trace: Trace, pulses: Sequence[Span], *, search_us: tuple[float, float], height_mw: float
) -> float | Refused:
    """The same of a marker whose place is known but for a little, so that there is nothing to compare it with: it has to be as
    high as another one was (`height_of_marker`)."""
    import numpy as np

    edges = _edges(pulses)
    shortest = float(np.diff(edges).min())
    coarse = np.arange(search_us[0], search_us[1] + shortest / COARSE, shortest / COARSE)
    heights = _heights(trace, edges, coarse)
    if not np.isfinite(heights).any():
        return Refused("the meter has no readings around the marker")
    if not float(np.nanmax(heights)) > ALIKE * height_mw:
        return Refused("what the meter saw is not as high as the marker before")
    best = coarse[np.nanargmax(heights)]
    return _finely(trace, edges, (best - shortest / COARSE, best + shortest / COARSE))


def height_of_marker(trace: Trace, pulses: Sequence[Span], offset_us: float) -> float:
    """By how many mW its pulses stand above its pauses; NaN where the trace does not reach."""
    import numpy as np

    return float(_heights(trace, _edges(pulses), np.array([-offset_us]))[0])


def clock_of_offsets(
    before: Sequence[Span], after: Sequence[Span], offsets_us: tuple[float, float]
) -> ExternalClock | Refused:
    """From what `clock_of_marker` found for each of two markers."""
    times = [(pulses[0].start_us + pulses[-1].end_us) / 2 for pulses in (before, after)]
    external = [time - offset for time, offset in zip(times, offsets_us, strict=True)]
    drift = (times[1] - times[0]) / (external[1] - external[0]) - 1 if external[1] > external[0] else math.inf
    if not abs(drift) <= MAX_DRIFT:
        return Refused(f"the meter's clock and the device's differ by {drift:.1%}: one of them is no clock")
    return ExternalClock(times[0] - (1 + drift) * external[0], drift)


def on_device_clock(trace: Trace, clock: ExternalClock) -> Trace:
    """The same readings at device times. Power is what it was, so energy grows with the length of the meter's
    second."""
    scale = 1 + clock.drift
    return Trace(
        clock.device_us(trace.t_us),
        trace.energy_uj * (1.0 if trace.counts else scale),
        trace.step_uj,
        trace.counts,
    )


def _edges(pulses: Sequence[Span]) -> Floats:
    import numpy as np

    return np.array([edge for pulse in pulses for edge in (pulse.start_us, pulse.end_us)])


def _finely(trace: Trace, edges: Floats, search_us: tuple[float, float]) -> float | Refused:
    """The offset, from the delay within `search_us` at which the pulses stand highest."""
    import numpy as np

    step = float(np.diff(edges).min()) / FINE
    near = np.arange(search_us[0], search_us[1] + step, step)
    found = _heights(trace, edges, near)
    if not np.isfinite(found).any():
        return Refused("the meter has no readings around the marker")
    # between two readings the height is flat at its top: its middle
    top = float(np.nanmax(found))
    flat = near[found >= top - abs(top) * 1e-3]
    delay_us = float((flat[0] + flat[-1]) / 2)
    powers = _powers(trace, edges, np.array([delay_us]))[0]
    if not float(powers[0::2].min() - powers[1::2].max()) > EVEN * top:
        return Refused("what the meter saw looks like a part of the marker only")
    return -delay_us


def _powers(trace: Trace, edges: Floats, delays_us: Floats) -> Floats:
    """Of each pulse and pause in turn, mW, for each delay."""
    import numpy as np

    at = edges[None, :] + delays_us[:, None]
    energy = np.interp(at, trace.t_us, trace.energy_uj)
    powers: Floats = np.diff(energy, axis=1) / np.diff(edges)[None, :] * 1000
    return powers


def _heights(trace: Trace, edges: Floats, delays_us: Floats) -> Floats:
    """By how many mW the pulses stand above the pauses between them, where the trace is later by each of `delays_us`;
    NaN where it does not reach."""
    import numpy as np

    powers = _powers(trace, edges, delays_us)
    heights: Floats = powers[:, 0::2].mean(axis=1) - powers[:, 1::2].mean(axis=1)
    inside = (edges[0] + delays_us >= trace.t_us[0]) & (edges[-1] + delays_us <= trace.t_us[-1])
    return np.where(inside, heights, np.nan)
