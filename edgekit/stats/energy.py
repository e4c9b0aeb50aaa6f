"""Energy per inference, with its interval: what a load adds to the power of the idle device. Pure.

    per inference = sum over launches of (energy of its window - idle power there x window) / all inferences

Idle power is measured before and after, and lies on the line between the two. The interval has the spread between
launches (each is a window), the uncertainty of the two idle powers, which all launches share, and the meter's step;
degrees of freedom by Welch and Satterthwaite. What the meter itself is off by, its gain and what it does not see, is
not in it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from edgekit.stats.student import t_quantile
from edgekit.stats.traces import MIN_READINGS, Refused, Trace, energy_in_window

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

CONFIDENCE = 0.95
PARTS = 5
"""Of the window of a single launch, to see how it spreads."""
IDLE_PARTS = 3
"""Of an idle time. Few and long: idle power wanders over seconds, and parts that hang together spread too little."""
IDLE_SPARE = 1.25
"""Variance of an idle time over what its parts show: neighbours that hang together hide some of it."""
MAX_DF = 200
MAX_IDLE_CHANGE = 0.25
"""Of what the load adds: idle power that changes by more says that something else is at work."""
WANTED = 0.05
"""Half width of an interval that is worth having, as a share."""


@dataclass(frozen=True)
class Span:
    """On the clock of the trace."""

    start_us: float
    end_us: float

    @property
    def us(self) -> float:
        return self.end_us - self.start_us


@dataclass(frozen=True)
class Load:
    """The timed part of one launch, and its inferences."""

    span: Span
    inferences: float


@dataclass(frozen=True)
class PerInference:
    per_inference_uj: float
    ci95_uj: tuple[float, float]
    idle_power_mw: float
    """Where the launches were, on the line from before to after."""
    mean_power_mw: float
    """Under load, idle power included."""
    window_us: float
    """Of all launches."""


def energy_per_inference(
    trace: Trace, before: Span, after: Span, loads: Sequence[Load]
) -> PerInference | Refused:
    """See the module. Of one launch, the interval is of its parts, and does not show how launches differ."""
    import numpy as np

    if not loads or not all(load.inferences > 0 for load in loads):
        return Refused("no launch gave inferences")
    idles = []
    for name, span in (("before", before), ("after", after)):
        idle = _idle(trace, span)
        if isinstance(idle, Refused):
            return Refused(f"idle power {name} the launches: {idle.reason}")
        idles.append(idle)
    loads = _parts_of_one(loads[0]) if len(loads) == 1 else loads
    total_uj = _windows(trace, loads)
    if isinstance(total_uj, Refused):
        return total_uj
    counts = np.array([load.inferences for load in loads], dtype=np.float64)
    lengths = np.array([load.span.us for load in loads])
    late = _lateness(before, after, loads)
    idle_mw = (1 - late) * idles[0].power_mw + late * idles[1].power_mw
    added_uj = total_uj - idle_mw * lengths / 1000
    per = float(added_uj.sum() / counts.sum())
    added_mw = float(added_uj.sum() / lengths.sum() * 1000)
    if (refused := _other_work(idles, added_mw)) is not None:
        return refused
    terms = _launch_terms(added_uj, counts, per, trace.step_uj)
    for idle, share in zip(idles, (1 - late, late), strict=True):
        uj_per_mw = float((share * lengths).sum()) / 1000 / float(counts.sum())
        terms += [(uj_per_mw**2 * variance, degrees) for variance, degrees in idle.terms]
    half = _half_width(terms)
    if per <= half:
        return Refused(
            f"the load adds {added_mw:.3g} mW to {idle_mw.mean():.4g} mW, which is within what this measurement can "
            f"tell ({half / max(abs(per), 1e-12):.0%} of it); {_longer(trace, added_mw, loads[0])}"
        )
    return PerInference(
        per,
        (per - half, per + half),
        float((idle_mw * lengths).sum() / lengths.sum()),
        float(total_uj.sum() / lengths.sum() * 1000),
        float(lengths.sum()),
    )


def _windows(trace: Trace, loads: Sequence[Load]) -> Floats | Refused:
    """Energy of each, idle power in it."""
    import numpy as np

    found = []
    for load in loads:
        window = energy_in_window(trace, load.span.start_us, load.span.end_us)
        if isinstance(window, Refused):
            short = load.span.us < (MIN_READINGS + 1) * trace.period_us
            hint = " (a longer --min-seconds makes the windows longer)" if short else ""
            return Refused(f"{window.reason}{hint}")
        found.append(window.energy_uj)
    return np.array(found)


def _lateness(before: Span, after: Span, loads: Sequence[Load]) -> Floats:
    """Where the middle of each load lies between those of the idle times: 0 at the first, 1 at the second."""
    import numpy as np

    middles = np.array([(load.span.start_us + load.span.end_us) / 2 for load in loads])
    first, second = (span.start_us + span.us / 2 for span in (before, after))
    return np.clip((middles - first) / max(second - first, 1.0), 0.0, 1.0)


def _launch_terms(added_uj: Floats, counts: Floats, per: float, step_uj: float) -> list[tuple[float, int]]:
    """Variance of `per` from how launches differ, with its degrees of freedom: each launch is one draw of what an
    inference takes, and one with more inferences weighs more. What rounding does is known without."""
    import numpy as np

    weights = counts / counts.mean()
    spread = float((weights**2 * (added_uj / counts - per) ** 2).sum()) / (counts.size - 1)
    rounding = float(np.mean((step_uj / counts) ** 2)) / 6
    rest = _beyond(spread, rounding)
    return [(rounding / counts.size, MAX_DF), (rest / counts.size, counts.size - 1)]


def smallest_window_us(
    *, period_us: float, noise_mw: float, step_uj: float, added_mw: float, wanted: float = WANTED
) -> float:
    """How long a window has to be for energy that is sure to `wanted`, a share (0.05), where the load adds `added_mw`:
    two standard errors of readings that spread by `noise_mw`, and the step of a counter, against what is added. At
    least MIN_READINGS periods."""
    if not added_mw > 0:
        return math.inf
    # (wanted added / 2)^2 T^2 = noise^2 period T + step^2 / 6, with energies in mW us (a step of 1 uJ is 1000)
    a, b, c = (wanted * added_mw / 2) ** 2, noise_mw**2 * period_us, (step_uj * 1000) ** 2 / 6
    return max(MIN_READINGS * period_us, (b + math.sqrt(b * b + 4 * a * c)) / (2 * a))


@dataclass(frozen=True)
class _Idle:
    power_mw: float
    terms: tuple[tuple[float, int], ...]
    """Of its variance, in mW squared, with their degrees of freedom."""

    @property
    def variance(self) -> float:
        return sum(variance for variance, _ in self.terms)


def _idle(trace: Trace, span: Span) -> _Idle | Refused:
    import numpy as np

    whole = energy_in_window(trace, span.start_us, span.end_us)
    if isinstance(whole, Refused):
        return whole
    first, last = np.searchsorted(trace.t_us, [span.start_us, span.end_us])
    marks = np.linspace(first, last - 1, IDLE_PARTS + 1).round().astype(int)
    powers = np.diff(trace.energy_uj[marks]) / np.diff(trace.t_us[marks]) * 1000
    # rounding at the marks between parts cancels out in the whole
    rest = _beyond(float(powers.var(ddof=1)), _rounding_mw(trace, span.us / IDLE_PARTS))
    terms = ((_rounding_mw(trace, span.us), MAX_DF), (rest * IDLE_SPARE / IDLE_PARTS, IDLE_PARTS - 1))
    return _Idle(whole.power_mw, terms)


def _beyond(variance: float, rounding: float) -> float:
    """What of an observed variance rounding does not explain; up to twice of it is chance with so few values."""
    return variance - rounding if variance > 2 * rounding else 0.0


def _rounding_mw(trace: Trace, window_us: float) -> float:
    """Variance of a window's power from two readings that are rounded, in mW squared."""
    return (trace.step_uj * 1000 / window_us) ** 2 / 6


def _other_work(idles: Sequence[_Idle], added_mw: float) -> Refused | None:
    change = abs(idles[1].power_mw - idles[0].power_mw)
    certain = change > 3 * math.sqrt(idles[0].variance + idles[1].variance)
    if certain and change > MAX_IDLE_CHANGE * abs(added_mw):
        return Refused(
            f"idle power went from {idles[0].power_mw:.4g} to {idles[1].power_mw:.4g} mW while the load adds "
            f"{added_mw:.3g} mW: something else is at work there"
        )
    return None


def _parts_of_one(load: Load) -> list[Load]:
    """A steady load in equal parts, with its share of the inferences each."""
    marks = [load.span.start_us + load.span.us * part / PARTS for part in range(PARTS + 1)]
    share = load.inferences / PARTS
    return [Load(Span(start, end), share) for start, end in pairwise(marks)]


def _half_width(parts: Sequence[tuple[float, int]]) -> float:
    """Of (variance, degrees of freedom) of independent terms. 0 where nothing spreads."""
    total = sum(variance for variance, _ in parts)
    if total == 0:
        return 0.0
    df = total**2 / sum(variance**2 / degrees for variance, degrees in parts if variance)
    return t_quantile(CONFIDENCE, max(1, min(MAX_DF, int(df)))) * math.sqrt(total)


def _longer(trace: Trace, added_mw: float, load: Load) -> str:
    import numpy as np

    first, last = np.searchsorted(trace.t_us, [load.span.start_us, load.span.end_us])
    powers = np.diff(trace.energy_uj[first:last]) / np.diff(trace.t_us[first:last]) * 1000
    needed_us = smallest_window_us(
        period_us=trace.period_us, noise_mw=float(powers.std()), step_uj=trace.step_uj, added_mw=added_mw
    )
    if not math.isfinite(needed_us):
        return "nothing shows that the load takes power at all"
    return f"for {WANTED:.0%} it would take {needed_us / 1e6:.2g} s of load"
