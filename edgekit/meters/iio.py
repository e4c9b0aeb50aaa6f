"""Power sensors that the kernel shows as iio: INA3221 of Jetson up to JetPack 4, and the ODPM of Pixel phones.

JetPack 4 (NVIDIA's ina3221x): rail_name_N and in_powerN_input in mW, N from 0. Rails overlap as `rails` says.
ODPM: `energy_value`, a counter in uWs for each rail with the time at which the chip was read; the driver reads it again
after 50 ms at the earliest (edgekit.parse.odpm). Needs root.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from edgekit.meters.base import Missing, Offer, Rails, Reading, Survey, column, nothing, quiet, times
from edgekit.meters.hwmon import NOT_CONNECTED
from edgekit.meters.rails import CHANNELS_EXCLUDED, chosen, named, only
from edgekit.parse.odpm import parse_odpm
from edgekit.parse.sysfs_power import parse_name, parse_reading
from edgekit.stats.traces import Refused

IIO = "/sys/bus/iio/devices"
CHANNELS = (0, 1, 2)
ENERGY = "energy_value"
ODPM_STEP_UJ = 3000.0
"""Energies are whole uWs, but their times whole milliseconds, in which a phone at 3 W takes 3 mJ."""

WHOLE_SHARE = 0.5
"""Of the looks at a chip, those whose rails were read at one time: fewer, and something else is wrong with them."""


class IioRailsMeter:
    """INA3221 by its old driver."""

    name = "ina3221-iio"

    def look(self, seen: Survey) -> Offer | Missing:
        rails: dict[str, str] = {}
        for folder, files in seen.of_class(IIO).items():
            for channel in CHANNELS:
                rail = quiet(parse_name, files.get(f"rail_name_{channel}"))
                if not rail or rail == NOT_CONNECTED or f"in_power{channel}_input" not in files:
                    continue
                if rail in rails:
                    return Missing(self.name, f"two rails have one name: {rail}")
                rails[rail] = seen.on_device(f"{folder}/in_power{channel}_input")
        if not rails:
            return nothing(
                self.name, seen, IIO, f"no rails with names in {IIO} (Jetson with JetPack 4 has them)"
            )
        found = chosen(self.name, list(rails), seen.power)
        if isinstance(found, Missing):
            return found
        taken = {name: rails[name] for name in found.rails}
        return Offer(
            meter=self.name,
            boundary=found.boundary,
            unit="mW",
            rails=found.rails,
            excluded=found.excluded,
            resolution="1 mW, at the moment of reading",
            read=partial(_read_powers, taken),
            paths=tuple(taken.values()),
        )


def _read_powers(paths: dict[str, str], readings: Sequence[Reading]) -> Sequence[Rails]:
    values = {rail: column(readings, path, parse_reading) for rail, path in paths.items()}
    return (Rails(times(readings), values, "mW"),)


class OdpmMeter:
    """All rails that the phone's channels are set to, or those that the profile names."""

    name = "odpm"

    def look(self, seen: Survey) -> Offer | Missing:
        devices = {folder: files for folder, files in seen.of_class(IIO).items() if ENERGY in files}
        if not devices:
            return nothing(
                self.name,
                seen,
                IIO,
                f"no {ENERGY} in {IIO}",
                "a Pixel 6 or later; few other phones have this hardware",
            )
        found = {folder: quiet(parse_odpm, files[ENERGY]) for folder, files in devices.items()}
        unread = [f"{folder}/{ENERGY}" for folder, odpm in found.items() if odpm is None or not odpm.rails]
        if unread:
            denied = any(path in seen.denied for path in unread)
            return Missing(
                self.name,
                f"{', '.join(unread)} {'may not be read' if denied else 'says nothing'}",
                "root on the phone (adb root, or su with --privileged)" if denied else None,
            )
        paths = tuple(seen.on_device(f"{folder}/{ENERGY}") for folder in devices)
        names = tuple(rail.name for odpm in found.values() if odpm for rail in odpm.rails)
        taken = named(self.name, names, seen.power, CHANNELS_EXCLUDED)
        if isinstance(taken, Missing):
            return taken
        return Offer(
            meter=self.name,
            boundary=taken.boundary,
            unit="uJ",
            rails=taken.rails,
            excluded=taken.excluded,
            resolution="a counter that is brought up to date every 50 ms at most, times in ms",
            read=partial(_read_odpm, paths, taken.rails),
            paths=paths,
        )


def _read_odpm(
    paths: Sequence[str], rails: tuple[str, ...], readings: Sequence[Reading]
) -> Sequence[Rails] | Refused:
    """Each device has times of its own: those at which its chip was read, on the clock of the readings."""
    import numpy as np

    groups = []
    for path in paths:
        looks = [odpm for one in readings if (odpm := quiet(parse_odpm, one.texts.get(path))) is not None]
        if not looks:
            return Refused(f"{path} could not be read")
        names = tuple(rail.name for rail in looks[0].rails)
        if any(tuple(rail.name for rail in look.rails) != names for look in looks):
            return Refused("the phone's channels were set to other rails meanwhile")
        whole = [look for look in looks if len({rail.time_ms for rail in look.rails}) == 1]
        if len(whole) < len(looks) * WHOLE_SHARE:
            return Refused("the phone's rails were read at different times")
        looks = whole  # a look that fell into the chip's own reading is left out: the counters go on
        t_us = np.array([look.rails[0].time_ms * 1000.0 for look in looks])
        values = {
            name: np.array([float(look.rails[number].energy_uj) for look in looks])
            for number, name in enumerate(names)
        }
        groups.append(Rails(t_us, values, "uJ", ODPM_STEP_UJ))
    return only(groups, rails)
