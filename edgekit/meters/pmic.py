"""The PMIC of Raspberry Pi 5: current and voltage of its rails, by `vcgencmd pmic_read_adc`.

A read takes about 23 ms in the firmware (zeus) and a process, so four a second. Rails are paired by name (their ADC
channels differ). The sum leaves out USB ports, HATs, NVMe and fan, which the 5 V input feeds past the PMIC, and the
PMIC's own loss; EXT5V has no current, so the power of the input cannot be told.
"""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.meters.base import Missing, Offer, Rails, Reading, Survey, quiet, times
from edgekit.meters.commands import LOOP, command_loop
from edgekit.parse.pmic import PmicRail, parse_pmic
from edgekit.stats.traces import Refused

ARGV = ("vcgencmd", "pmic_read_adc")
OUTPUT = "pmic_read_adc"
SLEEP_MS, PERIOD_MS = 200, 250
"""A read and its processes take some tens of ms more than the sleep between them."""


class PmicMeter:
    name = "rpi-pmic"

    def look(self, seen: Survey) -> Offer | Missing:
        rails = quiet(parse_pmic, seen.outputs.get(OUTPUT))
        names = _paired(rails or ())
        if not names:
            return Missing(
                self.name,
                "`vcgencmd pmic_read_adc` gives no currents (only a Raspberry Pi 5 has them)",
                "on a Pi 5: the group video; on older ones: an INA219 in the supply, or an external meter",
            )
        return Offer(
            meter=self.name,
            boundary="soc-rails",
            unit="mW",
            rails=names,
            excluded="USB ports, HATs, NVMe, the fan, and what the PMIC loses",
            resolution="four readings a second",
            read=_read,
            argv=command_loop({OUTPUT: ARGV}, SLEEP_MS),
            printed=LOOP,
            period_ms=PERIOD_MS,
        )


def _paired(rails: Sequence[PmicRail]) -> tuple[str, ...]:
    return tuple(rail.name for rail in rails if rail.power_mw is not None)


def _read(readings: Sequence[Reading]) -> Sequence[Rails] | Refused:
    import numpy as np

    looks = [quiet(parse_pmic, reading.texts.get(OUTPUT)) for reading in readings]
    first = next((_paired(look) for look in looks if look), ())
    if not first:
        return Refused("vcgencmd gave no currents")
    names = tuple(dict.fromkeys(name for look in looks if look for name in _paired(look)))
    if len(names) != len(first):
        return Refused("the PMIC told of other rails meanwhile")
    powers = [{rail.name: rail.power_mw for rail in look or ()} for look in looks]
    values = {
        name: np.array(
            [np.nan if (mw := power.get(name)) is None else mw for power in powers], dtype=np.float64
        )
        for name in names
    }
    return (Rails(times(readings), values, "mW"),)
