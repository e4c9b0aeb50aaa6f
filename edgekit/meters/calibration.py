"""The unit and the sign of a battery's `current_now`, worked out against its `charge_counter`. Pure.

The kernel says uA and uAh (Documentation/ABI/testing/sysfs-class-power). Phones keep to the second and not to the first
(perfetto #1441, home-assistant/android #2846): over some time of load, current times time has to be the charge that left,
and is that or a thousandth of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from edgekit.meters.base import Reading, column, times
from edgekit.meters.battery import LEAST_PEAK_MA, LEAST_UAH, MA_PER, MOST_MA, Gauge
from edgekit.parse.sysfs_power import parse_reading
from edgekit.stats.traces import Refused

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

US_PER_H = 3.6e9
LEAST_STEPS = 4
"""Of the counter, from which on what happens between two of them decides no more."""
AGREE = (0.5, 2.0)
"""Of current times time over the charge: gauges are coarse, and units are a thousand apart."""
SAME_WAY = 0.9
"""Of the readings that are not 0."""


@dataclass(frozen=True)
class Calibration:
    """`ratio`: current times time over charge, 1 where the unit is right; `moved_uah`, `seconds`: between the first and the last
    step of the counter."""

    current_unit: Literal["uA", "mA"]
    discharge_sign: Literal[-1, 1]
    ratio: float
    moved_uah: float
    steps: int
    seconds: float
    mean_ma: float


def calibrate(gauge: Gauge, readings: Sequence[Reading]) -> Calibration | Refused:
    """From readings of current and charge while it discharges."""
    import numpy as np

    current = column(readings, f"{gauge.folder}/current_now", parse_reading)
    charge_uah = column(readings, f"{gauge.folder}/charge_counter", parse_reading)
    known = np.isfinite(current) & np.isfinite(charge_uah)
    if known.sum() < LEAST_STEPS:
        return Refused("current_now and charge_counter could not be read together")
    t_us, current, charge_uah = times(readings)[known], current[known], charge_uah[known]
    if np.any(charge_uah < LEAST_UAH):
        return Refused("the battery's charge is below 100 mAh, or not in uAh")
    steps = np.flatnonzero(np.diff(charge_uah)) + 1
    if np.any(np.diff(charge_uah) > 0):
        return Refused("the battery's charge grew: it is charging, whatever it says")
    if steps.size < LEAST_STEPS:
        moved = charge_uah[0] - charge_uah[-1]
        seconds = (t_us[-1] - t_us[0]) / 1e6
        return Refused(
            f"the charge counter moved {steps.size} times, by {moved:.0f} uAh, in {seconds:.0f} s; it takes {LEAST_STEPS} steps: "
            "give it longer"
        )
    return _against(t_us, current, charge_uah, int(steps[0]), int(steps[-1]), int(steps.size))


def _against(
    t_us: Floats, current: Floats, charge_uah: Floats, first: int, last: int, steps: int
) -> Calibration | Refused:
    """Between the counter's first and last step, as when it stepped is known, and what is left of a step is not."""
    import numpy as np

    t, flow = t_us[first : last + 1], current[first : last + 1]
    moved_uah = float(charge_uah[first] - charge_uah[last])
    counted = float(((flow[1:] + flow[:-1]) / 2 * np.diff(t)).sum()) / US_PER_H
    flowing = flow[flow != 0]
    if not flowing.size or abs(float(np.sign(flowing).mean())) < 2 * SAME_WAY - 1:
        return Refused("the battery's current changed its direction, or was 0, while its charge went down")
    hours = float(t[-1] - t[0]) / US_PER_H
    mean_ma = moved_uah / hours / 1000
    if not LEAST_PEAK_MA <= mean_ma <= MOST_MA:
        return Refused(f"the charge counter says {mean_ma:.3g} mA, which no device takes: it is not in uAh")
    for unit, ma in MA_PER.items():
        ratio = abs(counted) * ma * 1000 / moved_uah
        if AGREE[0] <= ratio <= AGREE[1]:
            return Calibration(
                current_unit="uA" if unit == "uA" else "mA",
                discharge_sign=1 if counted > 0 else -1,
                ratio=ratio,
                moved_uah=moved_uah,
                steps=steps,
                seconds=hours * 3600,
                mean_ma=mean_ma,
            )
    return Refused(
        f"current_now says {abs(counted) / hours:.4g}, the charge counter {mean_ma:.4g} mA: the unit is neither uA nor mA"
    )
