"""From what a meter saw of a measurement to the record's energy. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from edgekit.benchmarking.evidence import timed_from_us
from edgekit.meters.reading import points_of
from edgekit.meters.taking import Taken
from edgekit.records import Energy, Launch, Series, series_of
from edgekit.stats.energy import Load, Span, energy_per_inference
from edgekit.stats.traces import Refused

TRIM = 0.05
"""Of each launch's window at each side: when it began is known to half a round trip, and its load is steady."""


def loads_of(launches: Iterable[Launch]) -> tuple[Load, ...]:
    """The middle of the timed part of each launch that ended well, with the inferences in it."""
    found = []
    for launch in launches:
        start_us = timed_from_us(launch)
        if not launch.ok or start_us is None or not launch.wall_us or not launch.count:
            continue
        trim_us = TRIM * launch.wall_us
        span = Span(start_us + trim_us, start_us + launch.wall_us - trim_us)
        found.append(Load(span, launch.count * (1 - 2 * TRIM)))
    return tuple(found)


def energy_part(taken: Taken | None, launches: Iterable[Launch]) -> Energy:
    """Measured, or the reason why not."""
    if taken is None:
        return Energy(unavailable="no meter was used")
    meter, trace = taken.offer, taken.found
    if isinstance(trace, Refused):
        return _unavailable(taken, trace)
    assert meter is not None
    found = energy_per_inference(trace, taken.before, taken.after, loads_of(launches))
    if isinstance(found, Refused):
        return _unavailable(taken, found)
    return Energy(
        meter=meter.meter,
        boundary=meter.boundary,
        per_inference_uj=found.per_inference_uj,
        ci95_uj=found.ci95_uj,
        idle_power_mw=found.idle_power_mw,
        mean_power_mw=found.mean_power_mw,
        excluded=meter.excluded,
        rails=meter.rails,
        window_us=found.window_us,
        period_us=trace.period_us,
        sample_cost_us=taken.sample_cost_us,
        clock_drift=taken.clock_drift,
    )


def energy_series(taken: Taken | None) -> tuple[Series, ...]:
    """All readings by rail, to be kept beside the record."""
    if taken is None or taken.offer is None:
        return ()
    return series_of(points_of(taken.offer.meter, taken.rails))


def _unavailable(taken: Taken, why: Refused) -> Energy:
    meter = f"{taken.offer.meter}: " if taken.offer is not None else ""
    return Energy(unavailable=f"{meter}{why.reason}")
