"""Energy over time from what meters give: power samples, counters, currents with voltages. Pure.

All becomes a `Trace`: readings of cumulative energy at real times. The energy of a window is taken from the readings
inside it and stretched to its edges, because the power before and behind a window is another load's: a reading
across an edge would bring it in. What cannot be told is `Refused` with the reason, never a number.

mW times us is nJ, so a thousandth of it is uJ.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

MIN_READINGS = 8
"""Fewer in a window, and its edges decide."""
GAP_PERIODS = 2.5
"""A reading that comes later than so many usual periods is one that is missing."""
GAP_SHARE = 0.01
"""A gap of this share of the window is allowed whatever the period."""
MAX_MW = 2e6
"""More than any edge device takes: a counter that seems to is one that began anew, a reading is garbage (2^32 - 1 uW,
for one)."""
WIDE = 3.0
"""Standard errors that count as certain."""


@dataclass(frozen=True)
class Refused:
    """No number, and why, in words that follow "energy: not measured: "."""

    reason: str


@dataclass(frozen=True, eq=False)
class Trace:
    """`t_us` grows; `energy_uj` is cumulative from 0 at the first reading; `step_uj`: what a reading is rounded to."""

    t_us: Floats
    energy_uj: Floats
    step_uj: float = 0.0
    counts: bool = False
    """True for a counter: what happened between two readings is in it."""

    @property
    def period_us(self) -> float:
        """The usual time from one reading to the next."""
        import numpy as np

        return float(np.median(np.diff(self.t_us)))


@dataclass(frozen=True)
class WindowEnergy:
    """`error_uj`: what noise, edges and steps may have done to it; a bound for what is steady, else a guess."""

    energy_uj: float
    power_mw: float
    readings: int
    error_uj: float


def trace_of_power(t_us: ArrayLike, power_mw: ArrayLike) -> Trace | Refused:
    """Samples of power, NaN where none could be read; trapezoids between them."""
    import numpy as np

    t, power = _readable(t_us, power_mw)
    if (refused := _doubt(t)) is not None:
        return refused
    if not np.any(power):
        return Refused("the rails are silent: every reading is 0")
    if np.any(np.abs(power) > MAX_MW):
        return Refused(f"a reading of {np.abs(power).max() / 1000:.3g} W is more than any device takes")
    steps = (power[1:] + power[:-1]) / 2 * np.diff(t) / 1000
    return Trace(t, np.concatenate(([0.0], np.cumsum(steps))))


def trace_of_counter(
    t_us: ArrayLike, counter_uj: ArrayLike, *, range_uj: float | None = None, step_uj: float = 1.0
) -> Trace | Refused:
    """Readings of a counter, NaN where none could be read. `range_uj`: where it begins at 0 again; None: it never does.

    Two readings of one moment are one: a driver gives what it has until it reads the chip again."""
    import numpy as np

    t, counter = _readable(t_us, counter_uj)
    if t.size:
        fresh = np.concatenate(([True], np.diff(t) != 0))
        t, counter = t[fresh], counter[fresh]
    if (refused := _doubt(t)) is not None:
        return refused
    total = unwrapped(counter, range_uj)
    if isinstance(total, Refused):
        return total
    if np.any(np.diff(total) * 1000 > MAX_MW * np.diff(t)):
        return Refused("the counter jumped by more than any device takes: it was reset")
    if not total[-1]:
        return Refused("the rails are silent: the counter stands still")
    return Trace(t, total, step_uj, counts=True)


def unwrapped(counter_uj: Floats, range_uj: float | None) -> Floats | Refused:
    """What a counter has counted since the first reading, where it begins at 0 again at `range_uj`."""
    import numpy as np

    grown = np.diff(counter_uj)
    if range_uj is not None:
        grown = np.where(grown < 0, grown + range_uj, grown)
    if np.any(grown < 0):
        return Refused("the counter went back: it was reset, or began at 0 again")
    return np.concatenate(([0.0], np.cumsum(grown)))


def sum_of(traces: Sequence[Trace]) -> Trace:
    """Energy of several at once, at the times of the first that all cover. There is at least one."""
    import numpy as np

    start, end = max(trace.t_us[0] for trace in traces), min(trace.t_us[-1] for trace in traces)
    t = traces[0].t_us[(traces[0].t_us >= start) & (traces[0].t_us <= end)]
    energy = np.sum([np.interp(t, trace.t_us, trace.energy_uj) for trace in traces], axis=0)
    step_uj = math.sqrt(sum(trace.step_uj**2 for trace in traces))
    return Trace(t, energy - (energy[0] if t.size else 0.0), step_uj, all(trace.counts for trace in traces))


def energy_in_window(
    trace: Trace, start_us: float, end_us: float, *, tolerance: float | None = None
) -> WindowEnergy | Refused:
    """The energy from `start_us` to `end_us`, on the clock of the trace. Refused where readings are too few or missing;
    with `tolerance` also where `error_uj` is more than this share of the energy."""
    import numpy as np

    window = end_us - start_us
    if not window > 0:
        return Refused("the window has no length")
    first, last = np.searchsorted(trace.t_us, [start_us, end_us], side="left")
    t, energy = trace.t_us[first:last], trace.energy_uj[first:last]
    period = trace.period_us
    if t.size < MIN_READINGS:
        return Refused(
            f"a window of {window / 1e6:.2g} s has {t.size} readings of this meter: at least "
            f"{MIN_READINGS * period / 1e6:.2g} s are needed"
        )
    edges = np.array([t[0] - start_us, end_us - t[-1]])
    waits = edges if trace.counts else np.concatenate((edges, np.diff(t)))
    allowed = max(GAP_PERIODS * period, GAP_SHARE * window)
    if (longest := float(waits.max())) > allowed:
        return Refused(
            f"readings are missing: none for {longest / 1000:.0f} ms, one each {period / 1000:.0f} ms"
        )
    power_mw = float(energy[-1] - energy[0]) / float(t[-1] - t[0]) * 1000
    powers = np.diff(energy) / np.diff(t) * 1000
    found = power_mw * window / 1000
    if trace.counts:
        error = trace.step_uj + WIDE * float(powers.std(ddof=1)) * float(edges.sum()) / 1000
    else:
        error = WIDE * _noise_mw(powers) / math.sqrt(t.size) * window / 1000
    if tolerance is not None and error > tolerance * abs(found):
        return Refused(f"the energy of this window is sure to {error / abs(found or 1):.1%} only")
    return WindowEnergy(found, power_mw, int(t.size), error)


def float32_step_uj(cumulative_uj: float) -> float:
    """The step of a counter that is printed in mWs with two decimals from a 32-bit float of uWs: 64 at 6.1e8,
    16384 at 1.9e11."""
    import numpy as np

    return max(10.0, float(np.spacing(np.float32(abs(cumulative_uj)))))


def _noise_mw(powers: Floats) -> float:
    """What single readings of power are off by, from how far trapezoids lie from the middle of their neighbours: power
    that swings slower than it is read does not count. Of readings with deviation s, that distance has s / 2."""
    import numpy as np

    bends = powers[1:-1] - (powers[:-2] + powers[2:]) / 2
    return 2 * float(np.sqrt(np.mean(bends**2)))


def _readable(t_us: ArrayLike, values: ArrayLike) -> tuple[Floats, Floats]:
    import numpy as np

    t, value = np.asarray(t_us, dtype=np.float64), np.asarray(values, dtype=np.float64)
    known = np.isfinite(t) & np.isfinite(value)
    return t[known], value[known]


def _doubt(t: Floats) -> Refused | None:
    import numpy as np

    if t.size < MIN_READINGS:
        return Refused(f"the meter gave {t.size} readings")
    if np.any(np.diff(t) <= 0):
        return Refused("the times of the readings go back")
    return None
