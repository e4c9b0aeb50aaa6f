"""A long launch, minute by minute: latency, frequency and temperature (D1.3). Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgekit.records import TelemetryPoint
from edgekit.records.sustained import Minute, Sustained

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

MINUTE_US = 60e6
MIN_SAMPLES_P95 = 200
"""Ten samples beyond it, as everywhere (edgekit.stats)."""
WHOLE = 0.9
"""A minute that has less than this of its time does not stand for one."""


def by_minute(
    samples_us: Floats, start_us: float, telemetry: Sequence[TelemetryPoint], *, minute_us: float = MINUTE_US
) -> Sustained:
    """`samples_us`: float64 latencies of one launch in order, one after the other without a gap that counts;
    `start_us`: when the first began, on the clock of the telemetry. An iteration belongs to the minute in which it
    ended."""
    import numpy as np

    if not samples_us.size:
        return Sustained(minutes=())
    ends = np.cumsum(samples_us)
    index = np.minimum(ends // minute_us, ends[-1] // minute_us).astype(np.int64)
    minutes = tuple(
        _minute(number, samples_us[index == number], start_us, telemetry, minute_us)
        for number in range(int(index[-1]) + 1)
    )
    whole = [
        m.median_us for m in minutes if m.median_us is not None and _covered(m, ends[-1], minute_us) >= WHOLE
    ]
    if len(whole) < 2:
        return Sustained(minutes=minutes)
    return Sustained(
        minutes=minutes,
        last_over_first=whole[-1] / whole[0],
        worst_over_first=max(whole) / whole[0],
    )


def _covered(minute: Minute, total_us: float, minute_us: float) -> float:
    return min(1.0, (total_us - minute.minute * minute_us) / minute_us)


def _minute(
    number: int, own: Floats, start_us: float, telemetry: Sequence[TelemetryPoint], minute_us: float
) -> Minute:
    import numpy as np

    begin = start_us + number * minute_us
    within = [p for p in telemetry if begin <= p.t_us < begin + minute_us and p.value == p.value]
    fastest: dict[float, float] = {}
    for point in within:
        if point.unit == "kHz":
            fastest[point.t_us] = max(point.value, fastest.get(point.t_us, 0.0))
    seconds = float(own.sum()) / 1e6
    return Minute(
        minute=number,
        count=int(own.size),
        median_us=float(np.median(own)) if own.size else None,
        p95_us=float(np.percentile(own, 95)) if own.size >= MIN_SAMPLES_P95 else None,
        inferences_per_s=own.size / seconds if seconds > 0 else None,
        frequency_khz=float(np.median(list(fastest.values()))) if fastest else None,
        temperature_mc=max((p.value for p in within if p.unit == "mC"), default=None),
    )
