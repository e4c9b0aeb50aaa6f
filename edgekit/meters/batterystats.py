"""What Android reckons that its parts took of the battery, by `dumpsys batterystats --charged`, for load of many minutes.

No measurement: a model (power_profile.xml of the phone's maker, times in states) whose sum, "Computed drain", is printed
in mAh with three digits, so in steps of some 14 J at 4 V and more than 100 mAh since the last charge. It counts only
while nothing is plugged in. Where the kernel's charge counter may be read, `battery-charge` measures, and is better;
this is for phones that show the shell neither. The statistics are not reset: they are the user's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from edgekit.meters.base import Missing, Offer, Rails, Reading, Survey, quiet
from edgekit.meters.battery import UJ_PER_UAH_V
from edgekit.meters.commands import LOOP, command_loop
from edgekit.parse.batterystats import parse_batterystats
from edgekit.parse.dumpsys_battery import Battery, parse_dumpsys_battery
from edgekit.stats.traces import Refused

OUTPUT, BATTERY = "batterystats", "dumpsys_battery"
ARGV = ("dumpsys", "batterystats", "--charged")
BATTERY_ARGV = ("dumpsys", "battery")
SLEEP_MS, PERIOD_MS = 15_000, 16_000
"""Android reckons over all apps at each call, which is work."""
IDLE_S = 150.0
DIGITS = 3
"""Of a charge (AOSP, BatteryStats.formatCharge)."""
RAIL = "computed drain"


class BatteryStatsMeter:
    name = "batterystats"

    def look(self, seen: Survey) -> Offer | Missing:
        if quiet(parse_batterystats, seen.outputs.get(OUTPUT)) is None:
            return Missing(self.name, "`dumpsys batterystats` gives no estimate of power use")
        why = _not_on_battery(quiet(parse_dumpsys_battery, seen.outputs.get(BATTERY)))
        if why is not None and not seen.unplugged_later:
            return Missing(self.name, why, "unplug it, and reach it by adb over Wi-Fi")
        return Offer(
            meter=self.name,
            boundary="battery",
            unit="uJ",
            rails=(RAIL,),
            excluded="what Android's model of this phone does not know: it is reckoned, not measured",
            resolution="three digits of the mAh since the last charge (14 J and more): for ten minutes of load",
            read=_read,
            argv=command_loop({OUTPUT: ARGV, BATTERY: BATTERY_ARGV}, SLEEP_MS),
            printed=LOOP,
            period_ms=PERIOD_MS,
            idle_s=IDLE_S,
        )


def _not_on_battery(battery: Battery | None) -> str | None:
    """Why it does not count; None where it does."""
    if battery is None:
        return "`dumpsys battery` says nothing"
    if battery.updates_stopped:
        return "somebody made up what `dumpsys battery` says"
    if battery.powered is not False or battery.status != "discharging":
        return "it counts only on battery, and something is plugged in, or the battery is not discharging"
    return None if battery.voltage_mv else "`dumpsys battery` tells no voltage"


def _read(readings: Sequence[Reading]) -> Sequence[Rails] | Refused:
    import numpy as np

    t_us, drains_mah, voltages_mv = [], [], []
    for reading in readings:
        battery = quiet(parse_dumpsys_battery, reading.texts.get(BATTERY))
        stats = quiet(parse_batterystats, reading.texts.get(OUTPUT))
        if stats is None or battery is None:
            continue
        if (why := _not_on_battery(battery)) is not None:
            return Refused(why)
        t_us.append(reading.t_us)
        drains_mah.append(stats.computed_drain_mah)
        voltages_mv.append(float(battery.voltage_mv or 0))
    if not t_us:
        return Refused("`dumpsys batterystats` told nothing")
    drain_uah, voltage_v = np.array(drains_mah) * 1000, np.array(voltages_mv) / 1000
    uj_per_uah = UJ_PER_UAH_V * (voltage_v[1:] + voltage_v[:-1]) / 2
    energy_uj = np.concatenate(([0.0], np.cumsum(np.diff(drain_uah) * uj_per_uah)))
    step_uj = step_mah(drains_mah[-1]) * 1000 * UJ_PER_UAH_V * float(voltage_v.mean())
    return (Rails(np.array(t_us), {RAIL: energy_uj}, "uJ", step_uj),)


def step_mah(drain_mah: float) -> float:
    """Of a number that is printed with DIGITS digits: 1 at 100 to 999 mAh, 0.1 below, and 1 above, where it is whole."""
    digits = math.floor(math.log10(drain_mah)) + 1 if drain_mah > 0 else 0
    return min(1.0, 10.0 ** (digits - DIGITS))
