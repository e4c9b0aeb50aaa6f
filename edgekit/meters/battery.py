"""The fuel gauge of a battery. Coarse and slow, and on most phones all there is.

Two meters: `battery`, current_now times voltage_now, or the power_now of many laptops; `battery-charge`, the counter
charge_counter (charge_now of laptops) times voltage_now, or their energy_now, which misses nothing between two looks but
steps by a mAh or so (some 14 J; energy_now often by 36 J), so it is for minutes of load.

The kernel says uA, uV and uAh (Documentation/ABI/testing/sysfs-class-power); phones give mA too, and either sign
while they discharge (perfetto #1441, home-assistant/android #2846), so the unit of the current comes from the
profile (power: current_unit) or there is no number. power_now and energy_now are of drivers that follow ACPI and the
kernel, in uW and uWh. The sign need not be known: the battery has to be discharging,
by its status and with nothing plugged in, all the time; then the current goes one way, and the profile's
discharge_sign has to agree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from edgekit.meters.base import Missing, Offer, Rails, Reading, Survey, column, nothing, quiet, times
from edgekit.parse.sysfs_power import parse_battery_status, parse_name, parse_reading
from edgekit.stats.traces import Refused

SUPPLIES = "/sys/class/power_supply"
PERIOD_MS = 1000
"""Gauges bring their current up to date about once a second; faster readings are the same again."""
IDLE_S = 20.0
MA_PER = {"uA": 0.001, "mA": 1.0}
MOST_MA = 20_000.0
"""No phone or board draws more from its battery: a current that seems to is in another unit."""
LEAST_PEAK_MA = 10.0
"""Nor does any that computes draw less at its peak: told in uA, a current in mA is a thousandth."""
VOLTAGES_UV = (2_000_000, 100_000_000)
"""Of batteries, from a cell that is empty to a large pack; phones that give mV are below."""
LEAST_PEAK_MW, MOST_MW = 100.0, 400_000.0
"""Of power_now: what is outside of it is no uW."""
LEAST_UAH = 100_000
"""Less than a charge of 100 mAh is one that is told in mAh, or a battery that is about to be empty."""
UJ_PER_UAH_V = 3600.0
UJ_PER_UWH = 3600.0
CHARGES = ("charge_counter", "charge_now")
RAIL = "battery"
EXCLUDED = "nothing of the device: display, radios and all that runs are in it"


@dataclass(frozen=True)
class Gauge:
    """Paths on the device. `plugs`: `online` of every supply that is no battery."""

    folder: str
    voltage: str
    status: str
    plugs: tuple[str, ...]

    def paths(self, file: str) -> tuple[str, ...]:
        return (f"{self.folder}/{file}", self.voltage, self.status, *self.plugs)


class BatteryMeter:
    """current_now times voltage_now, or power_now."""

    name = "battery"

    def look(self, seen: Survey) -> Offer | Missing:
        if seen.power.current_unit is None and _has(seen, "power_now"):
            gauge = find_gauge(self.name, seen, "power_now")
            return gauge if isinstance(gauge, Missing) else self._power(gauge)
        gauge = find_gauge(self.name, seen, "current_now")
        if isinstance(gauge, Missing):
            return gauge
        unit = seen.power.current_unit
        if unit is None:
            return Missing(
                self.name,
                "whether its current is in uA or mA differs between makers, and the profile does not say",
                "power: {current_unit: uA} (or mA) in the profile: edgekit doctor --calibrate-power finds out which",
            )
        return _offer(
            self.name,
            gauge.paths("current_now"),
            unit="mW",
            resolution="brought up to date about once a second, in the gauge's own steps",
            read=partial(_read_current, gauge, MA_PER[unit], seen.power.discharge_sign),
        )

    def _power(self, gauge: Gauge) -> Offer:
        return _offer(
            self.name,
            gauge.paths("power_now"),
            unit="mW",
            resolution="brought up to date about once a second, in the gauge's own steps",
            read=partial(_read_power, gauge),
        )


class BatteryChargeMeter:
    """charge_counter or charge_now times voltage_now, or energy_now."""

    name = "battery-charge"

    def look(self, seen: Survey) -> Offer | Missing:
        there = [file for file in (*CHARGES, "energy_now") if _has(seen, file)]
        file = there[0] if there else CHARGES[0]
        gauge = find_gauge(self.name, seen, file)
        if isinstance(gauge, Missing):
            return gauge
        return _offer(
            self.name,
            gauge.paths(file),
            unit="uJ",
            resolution="a counter in the gauge's steps, often a mAh (14 J) or 10 mWh (36 J): for minutes of load",
            read=partial(_read_charge, gauge, file),
        )


def _has(seen: Survey, file: str) -> bool:
    return any(
        file in files
        for files in seen.of_class(SUPPLIES).values()
        if (quiet(parse_name, files.get("type")) or "").lower() == "battery"
    )


def find_gauge(meter: str, seen: Survey, file: str) -> Gauge | Missing:
    """The only battery, where `file` of it can be read and it is what feeds the device."""
    supplies = seen.of_class(SUPPLIES)
    kinds = {
        folder: (quiet(parse_name, files.get("type")) or "").lower() for folder, files in supplies.items()
    }
    batteries = [
        folder
        for folder, files in supplies.items()
        if kinds[folder] == "battery" and {file, "voltage_now", "status"} <= files.keys()
    ]
    if len(batteries) != 1:
        what = f"no battery with {file}" if not batteries else f"{len(batteries)} batteries"
        return nothing(meter, seen, SUPPLIES, f"{what} in {SUPPLIES}")
    folder, files = batteries[0], supplies[batteries[0]]
    if quiet(parse_reading, files[file]) is None:
        needed = "root" if f"{folder}/{file}" in seen.denied else None
        return Missing(meter, f"{folder}/{file} cannot be read", needed)
    voltage_uv = quiet(parse_reading, files["voltage_now"])
    if voltage_uv is not None and not VOLTAGES_UV[0] <= voltage_uv <= VOLTAGES_UV[1]:
        return Missing(meter, f"{folder}/voltage_now is {voltage_uv}, which is no battery's voltage in uV")
    plugs = [path for path, kind in kinds.items() if kind != "battery" and "online" in supplies[path]]
    why = not_discharging(files.get("status"), {path: supplies[path].get("online") for path in plugs})
    if why is not None and not seen.unplugged_later:
        return Missing(meter, why, "unplug it: adb over Wi-Fi, or a USB port whose power can be switched off")
    return Gauge(
        folder=seen.on_device(folder),
        voltage=seen.on_device(f"{folder}/voltage_now"),
        status=seen.on_device(f"{folder}/status"),
        plugs=tuple(seen.on_device(f"{path}/online") for path in plugs),
    )


def _offer(meter: str, paths: tuple[str, ...], **more: Any) -> Offer:
    return Offer(
        meter=meter,
        boundary="battery",
        rails=(RAIL,),
        excluded=EXCLUDED,
        paths=paths,
        period_ms=PERIOD_MS,
        idle_s=IDLE_S,
        **more,
    )


def not_discharging(status: str | None, online: Mapping[str, str | None]) -> str | None:
    """Why the battery's current is not what the device takes; None where it is."""
    said = quiet(parse_battery_status, status)
    if said != "discharging":
        return f"the battery is {said or 'in an unknown state'}, not discharging: its current is not the device's"
    for path, text in online.items():
        if quiet(parse_reading, text) != 0:
            return f"{path.rpartition('/')[2]} is plugged in: the battery gives only a part"
    return None


def _doubt(gauge: Gauge, readings: Sequence[Reading]) -> Refused | None:
    for reading in readings:
        plugs = {path.removesuffix("/online"): reading.texts.get(path) for path in gauge.plugs}
        if (why := not_discharging(reading.texts.get(gauge.status), plugs)) is not None:
            return Refused(why)
    return None


def _read_current(
    gauge: Gauge, ma_per_unit: float, sign: int | None, readings: Sequence[Reading]
) -> Sequence[Rails] | Refused:
    import numpy as np

    if (doubt := _doubt(gauge, readings)) is not None:
        return doubt
    current_ma = column(readings, f"{gauge.folder}/current_now", parse_reading) * ma_per_unit
    voltage_mv = column(readings, gauge.voltage, parse_reading) / 1000
    flows = np.sign(current_ma[np.isfinite(current_ma) & (current_ma != 0)])
    if flows.size and np.any(flows != flows[0]):
        return Refused("the battery's current changed its direction while it was said to discharge")
    if sign is not None and flows.size and flows[0] != sign:
        return Refused(
            "the battery's current has the sign of charging (power: discharge_sign in the profile)"
        )
    if np.any(np.abs(current_ma) > MOST_MA):
        return Refused(
            "the battery's current is larger than any device's: power: current_unit is another one"
        )
    if flows.size and not np.any(np.abs(current_ma) >= LEAST_PEAK_MA):
        return Refused(
            "the battery's current is smaller than any device's: power: current_unit is another one"
        )
    return (Rails(times(readings), {RAIL: np.abs(current_ma) * voltage_mv / 1000}, "mW"),)


def _read_power(gauge: Gauge, readings: Sequence[Reading]) -> Sequence[Rails] | Refused:
    import numpy as np

    if (doubt := _doubt(gauge, readings)) is not None:
        return doubt
    power_mw = np.abs(column(readings, f"{gauge.folder}/power_now", parse_reading)) / 1000
    known = power_mw[np.isfinite(power_mw) & (power_mw > 0)]
    if known.size and not LEAST_PEAK_MW <= known.max() <= MOST_MW:
        return Refused(f"the battery's power_now says {known.max():g} mW at most: it is in another unit")
    return (Rails(times(readings), {RAIL: power_mw}, "mW"),)


def _read_charge(gauge: Gauge, file: str, readings: Sequence[Reading]) -> Sequence[Rails] | Refused:
    """What has left the battery, at the voltage of that moment; the step is the smallest that was seen."""
    import numpy as np

    if (doubt := _doubt(gauge, readings)) is not None:
        return doubt
    charge = column(readings, f"{gauge.folder}/{file}", parse_reading)
    voltage_v = column(readings, gauge.voltage, parse_reading) / 1e6
    known = np.isfinite(charge) & np.isfinite(voltage_v)
    t_us, charge, voltage_v = times(readings)[known], charge[known], voltage_v[known]
    if np.any(charge < LEAST_UAH):
        unit = "mAh, or not in uAh" if file in CHARGES else "mWh, or not in uWh"
        return Refused(f"the battery's charge is below 100 {unit}")
    spent = -np.diff(charge)
    if not np.any(spent):
        return Refused("the battery's charge did not change: it takes minutes of load")
    if np.any(spent < 0):
        return Refused("the battery's charge grew while it was said to discharge")
    uj_per = np.full(spent.size, UJ_PER_UWH)
    if file in CHARGES:
        uj_per = UJ_PER_UAH_V * (voltage_v[1:] + voltage_v[:-1]) / 2
    energy_uj = np.concatenate(([0.0], np.cumsum(spent * uj_per)))
    step_uj = float(spent[spent > 0].min() * uj_per.mean())
    return (Rails(t_us, {RAIL: energy_uj}, "uJ", step_uj),)
