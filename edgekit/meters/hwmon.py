"""Power sensors that the kernel shows as hwmon: INA3221 (Jetson since JetPack 5), INA219, INA226 and their like.

INA3221 (Documentation/hwmon/ina3221.rst): up to three rails, inN_input in mV and currN_input in mA, both right to 8 mV
and the shunt's step; in4 to in7 are shunt voltages and their sum. Rails of a Jetson overlap: `rails` says which are
added up. The others (ina2xx.rst): power1_input in uW, measured at whatever the board's maker or user put its shunt
into, which the profile says (power: boundary), or nobody. A reading costs some I2C transfers; the chip averages over its conversion time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from edgekit.meters.base import Known, Missing, Offer, Rails, Reading, Survey, column, nothing, quiet, times
from edgekit.meters.rails import INPUT_RAILS, chosen
from edgekit.parse.sysfs_power import parse_name, parse_reading
from edgekit.profiles.schema import Power
from edgekit.stats.traces import Refused

HWMON = "/sys/class/hwmon"
LEAST_INPUT_MV = 2000
"""A module is fed by 5 V and more."""
NOT_CONNECTED = "NC"
CHANNELS = (1, 2, 3)
OTHER_CHIPS = re.compile(r"ina(209|219|22[0-9]|23[0-9]|260|2xx|700|780)")


@dataclass(frozen=True)
class Pair:
    """Files of one rail."""

    rail: str
    voltage: str
    current: str


class HwmonMeter:
    """The rails of INA3221, else one INA2xx."""

    name = "hwmon"

    def look(self, seen: Survey) -> Offer | Missing:
        chips = {folder: _chip(files) for folder, files in seen.of_class(HWMON).items()}
        pairs = [
            pair
            for folder, files in seen.of_class(HWMON).items()
            if chips[folder] == "ina3221"
            for pair in rail_pairs(seen, folder, files)
        ]
        if pairs:
            return _jetson(self.name, pairs, seen.power)
        others = [folder for folder, chip in chips.items() if chip and OTHER_CHIPS.fullmatch(chip)]
        if len(others) > 1:
            return Missing(
                self.name,
                f"there are {len(others)} sensors ({', '.join(others)}), and nothing says which feeds the board",
            )
        if others:
            return _single(self.name, seen, others[0])
        return nothing(
            self.name,
            seen,
            HWMON,
            f"no INA3221, INA219 or INA226 in {HWMON}",
            "such a sensor in the board's supply, with its driver (an INA219 on I2C: a device-tree overlay)",
        )


def rail_pairs(seen: Survey, folder: str, files: Mapping[str, str | None]) -> list[Pair]:
    """The rails of one INA3221 that are connected."""
    found = []
    for channel in CHANNELS:
        rail = quiet(parse_name, files.get(f"in{channel}_label"))
        there = {f"in{channel}_input", f"curr{channel}_input"} <= files.keys()
        if rail and rail != NOT_CONNECTED and there:
            paths = (f"{folder}/in{channel}_input", f"{folder}/curr{channel}_input")
            found.append(Pair(rail, *map(seen.on_device, paths)))
    return found


def _chip(files: Mapping[str, str | None]) -> str | None:
    return quiet(parse_name, files.get("name"))


def _jetson(meter: str, pairs: Sequence[Pair], power: Power) -> Offer | Missing:
    names = [pair.rail for pair in pairs]
    if len(set(names)) != len(names):
        return Missing(meter, f"two rails have one name: {', '.join(names)}")
    found = chosen(meter, names, power)
    if isinstance(found, Missing):
        return found
    taken = tuple(pair for pair in pairs if pair.rail in found.rails)
    return Offer(
        meter=meter,
        boundary=found.boundary,
        unit="mW",
        rails=tuple(pair.rail for pair in taken),
        excluded=found.excluded,
        resolution="8 mV and the step of the shunt, at the moment of reading",
        read=partial(_read_pairs, taken),
        paths=tuple(path for pair in taken for path in (pair.voltage, pair.current)),
    )


def _read_pairs(pairs: Sequence[Pair], readings: Sequence[Reading]) -> Sequence[Rails] | Refused:
    import numpy as np

    for pair in pairs:
        lowest_mv = column(readings, pair.voltage, parse_reading)
        if pair.rail in INPUT_RAILS and np.any(lowest_mv < LEAST_INPUT_MV):
            return Refused(f"{pair.rail} is said to have {np.nanmin(lowest_mv):g} mV: it is in another unit")
    values = {
        pair.rail: column(readings, pair.voltage, parse_reading)
        * column(readings, pair.current, parse_reading)
        / 1000
        for pair in pairs
    }
    return (Rails(times(readings), values, "mW"),)


def _single(meter: str, seen: Survey, folder: str) -> Offer | Missing:
    if "power1_input" not in seen.folders[folder]:
        return Missing(meter, f"{folder} has no power1_input")
    return power_offer(
        meter,
        seen.on_device(f"{folder}/power1_input"),
        seen.power.boundary or "unknown",
        "what does not go through the sensor's shunt: where that is, the board's wiring says"
        + ("" if seen.power.boundary else ", and the profile does not (power: boundary)"),
        "25 steps of the current (ina2xx), at the moment of reading",
    )


def power_offer(meter: str, path: str, boundary: Known, excluded: str, resolution: str) -> Offer:
    """Of one file with a power in uW."""
    return Offer(
        meter=meter,
        boundary=boundary,
        unit="mW",
        rails=("input",),
        excluded=excluded,
        resolution=resolution,
        read=partial(_read_power, path),
        paths=(path,),
    )


def _read_power(path: str, readings: Sequence[Reading]) -> Sequence[Rails]:
    return (Rails(times(readings), {"input": column(readings, path, parse_reading) / 1000}, "mW"),)
