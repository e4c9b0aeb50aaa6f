"""The power of a simulated device, as its address says: nothing is measured."""

from __future__ import annotations

from edgekit.meters.base import Missing, Offer, Survey, quiet
from edgekit.meters.hwmon import HWMON, power_offer
from edgekit.parse.sysfs_power import parse_name

CHIP = "simpower"


class SimMeter:
    """power_idle_mw and power_active_mw of the address (docs/sim.md), in uW."""

    name = "sim"

    def look(self, seen: Survey) -> Offer | Missing:
        if not seen.simulated:
            return Missing(self.name, "the device is not simulated")
        for folder, files in seen.of_class(HWMON).items():
            if quiet(parse_name, files.get("name")) == CHIP and "power1_input" in files:
                path = seen.on_device(f"{folder}/power1_input")
                boundary = seen.power.boundary or "board-input"
                return power_offer(
                    self.name, path, boundary, "nothing, and nothing is measured: it is simulated", "exact"
                )
        return Missing(self.name, "this simulated device has no sensors", "leave out sensors=no")
