"""RAPL: the energy counters of x86 processors, as powercap shows them. Needs root since 2020 (CVE-2020-8694).

energy_uj counts up in steps of the processor's unit (2^-14 J on most: 61 uJ), brought up to date every millisecond, and
begins at 0 again at max_energy_range_uj (Documentation/power/powercap/powercap.rst). Packages are added up; their parts
(core, uncore) lie inside, dram beside them where it is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from edgekit.meters.base import Missing, Offer, Rails, Reading, Survey, column, nothing, quiet, times
from edgekit.parse.sysfs_power import parse_name, parse_reading
from edgekit.stats.traces import Refused

POWERCAP = "/sys/class/powercap"
STEP_UJ = 61.0


class RaplMeter:
    name = "rapl"

    def look(self, seen: Survey) -> Offer | Missing:
        zones = {
            folder: name
            for folder, files in seen.of_class(POWERCAP).items()
            if "energy_uj" in files and (name := quiet(parse_name, files.get("name"))) is not None
        }
        # mmio shows the same package again
        taken = {
            f"{name} ({folder.rpartition('/')[2]})": folder
            for folder, name in zones.items()
            if (name.startswith("package-") or name == "dram") and "-mmio" not in folder
        }
        if not any("package-" in rail for rail in taken):
            return nothing(
                self.name, seen, POWERCAP, f"no package in {POWERCAP} (virtual machines have none)"
            )
        ranges = {}
        for rail, folder in taken.items():
            files = seen.folders[folder]
            range_uj = quiet(parse_reading, files.get("max_energy_range_uj"))
            if quiet(parse_reading, files["energy_uj"]) is None or range_uj is None:
                denied = f"{folder}/energy_uj" in seen.denied
                return Missing(
                    self.name,
                    f"{folder}/energy_uj {'may not be read' if denied else 'says nothing'}",
                    "root, or read permission for that file" if denied else None,
                )
            ranges[rail] = float(range_uj)
        paths = {rail: seen.on_device(f"{folder}/energy_uj") for rail, folder in taken.items()}
        return Offer(
            meter=self.name,
            boundary="cpu-package",
            unit="uJ",
            rails=tuple(paths),
            excluded="memory (unless dram is among the rails), disk, network, display, the supply's losses",
            resolution="a counter in steps of about 61 uJ, brought up to date every ms",
            read=partial(_read, paths, ranges),
            paths=tuple(paths.values()),
        )


def _read(
    paths: dict[str, str], ranges: dict[str, float], readings: Sequence[Reading]
) -> Sequence[Rails] | Refused:
    import numpy as np

    values = {rail: column(readings, path, parse_reading) for rail, path in paths.items()}
    for rail, counter in values.items():
        known = counter[np.isfinite(counter)]
        if known.size > 1 and not np.any(np.diff(known)):
            # a package always takes power: the sum of the others would be a wrong number
            return Refused(f"the rails are silent: the counter of {rail} stands still")
    return (Rails(times(readings), values, "uJ", STEP_UJ, ranges),)
