"""The fuel gauge of a battery: current_now times voltage_now. Coarse and slow, and on most phones all there is.

The kernel says uA and uV (Documentation/ABI/testing/sysfs-class-power); phones give mA too, and either sign while they
discharge (perfetto #1441, home-assistant/android #2846), so the unit comes from the profile (power: current_unit) or
there is no number. The sign need not be known: the battery has to be discharging, by its status and with nothing plugged in,
all the time; then the current goes one way, and the profile's discharge_sign has to agree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from edgekit.meters.base import Missing, Offer, Rails, Reading, Survey, column, quiet, times
from edgekit.parse.sysfs_power import parse_battery_status, parse_name, parse_reading
from edgekit.stats.traces import Refused

SUPPLIES = "/sys/class/power_supply"
PERIOD_MS = 1000
"""Gauges bring their current up to date about once a second; faster readings are the same again."""
IDLE_S = 20.0
MA_PER = {"uA": 0.001, "mA": 1.0}
MOST_MA = 20_000.0
"""No phone or board draws more from its battery: a current that seems to is in another unit."""


@dataclass(frozen=True)
class Gauge:
    current: str
    voltage: str
    status: str
    plugs: tuple[str, ...]
    """`online` of every supply that is no battery."""
    ma_per_unit: float
    sign: int | None


class BatteryMeter:
    name = "battery"

    def look(self, seen: Survey) -> Offer | Missing:
        supplies = seen.of_class(SUPPLIES)
        kinds = {folder: (quiet(parse_name, files.get("type")) or "") for folder, files in supplies.items()}
        batteries = [
            folder
            for folder, files in supplies.items()
            if kinds[folder].lower() == "battery" and {"current_now", "voltage_now", "status"} <= files.keys()
        ]
        if len(batteries) != 1:
            what = "no battery that tells its current" if not batteries else f"{len(batteries)} batteries"
            return Missing(self.name, f"{what} in {SUPPLIES}")
        folder, files = batteries[0], supplies[batteries[0]]
        if quiet(parse_reading, files["current_now"]) is None:
            needed = "root" if f"{folder}/current_now" in seen.denied else None
            return Missing(self.name, f"{folder}/current_now cannot be read", needed)
        unit = seen.power.current_unit
        if unit is None:
            return Missing(
                self.name,
                "whether its current is in uA or mA differs between makers, and the profile does not say",
                "power: {current_unit: uA} (or mA) in the profile, after a look at what it reads on battery",
            )
        plugs = [
            path for path, kind in kinds.items() if kind.lower() != "battery" and "online" in supplies[path]
        ]
        why = _not_discharging(files.get("status"), {path: supplies[path].get("online") for path in plugs})
        if why is not None:
            return Missing(
                self.name, why, "unplug it: adb over Wi-Fi, or a USB port whose power can be switched off"
            )
        gauge = Gauge(
            current=seen.on_device(f"{folder}/current_now"),
            voltage=seen.on_device(f"{folder}/voltage_now"),
            status=seen.on_device(f"{folder}/status"),
            plugs=tuple(seen.on_device(f"{path}/online") for path in plugs),
            ma_per_unit=MA_PER[unit],
            sign=seen.power.discharge_sign,
        )
        return Offer(
            meter=self.name,
            boundary="battery",
            unit="mW",
            rails=("battery",),
            excluded="nothing of the device: display, radios and all that runs are in it",
            resolution="brought up to date about once a second, in the gauge's own steps",
            read=partial(_read, gauge),
            paths=(gauge.current, gauge.voltage, gauge.status, *gauge.plugs),
            period_ms=PERIOD_MS,
            idle_s=IDLE_S,
        )


def _not_discharging(status: str | None, online: Mapping[str, str | None]) -> str | None:
    """Why the battery's current is not what the device takes; None where it is."""
    said = quiet(parse_battery_status, status)
    if said != "discharging":
        return f"the battery is {said or 'in an unknown state'}, not discharging: its current is not the device's"
    for path, text in online.items():
        if quiet(parse_reading, text) != 0:
            return f"{path.rpartition('/')[2]} is plugged in: the battery gives only a part"
    return None


def _read(gauge: Gauge, readings: Sequence[Reading]) -> Sequence[Rails] | Refused:
    import numpy as np

    for reading in readings:
        plugs = {path.removesuffix("/online"): reading.texts.get(path) for path in gauge.plugs}
        if (why := _not_discharging(reading.texts.get(gauge.status), plugs)) is not None:
            return Refused(why)
    current_ma = column(readings, gauge.current, parse_reading) * gauge.ma_per_unit
    voltage_mv = column(readings, gauge.voltage, parse_reading) / 1000
    flows = np.sign(current_ma[np.isfinite(current_ma) & (current_ma != 0)])
    if flows.size and np.any(flows != flows[0]):
        return Refused("the battery's current changed its direction while it was said to discharge")
    if gauge.sign is not None and flows.size and flows[0] != gauge.sign:
        return Refused(
            "the battery's current has the sign of charging (power: discharge_sign in the profile)"
        )
    if np.any(np.abs(current_ma) > MOST_MA):
        return Refused(
            "the battery's current is larger than any device's: power: current_unit is another one"
        )
    return (Rails(times(readings), {"battery": np.abs(current_ma) * voltage_mv / 1000}, "mW"),)
