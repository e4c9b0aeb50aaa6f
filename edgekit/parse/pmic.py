"""`vcgencmd pmic_read_adc` of Raspberry Pi 5: currents and voltages of the PMIC's rails.

A line a reading, `3V3_SYS_A current(1)=0.08783370A` or `3V3_SYS_V volt(9)=3.31003300V`. The numbers in brackets are
ADC channels and differ between the current and the voltage of one rail, so rails are paired by name. EXT5V and BATT
have a voltage only; the firmware was seen to print `nan`.
"""

from __future__ import annotations

import math
import re
from typing import Final

from msgspec import Struct

from edgekit.parse import fail, lines_of

TOOL: Final = "vcgencmd pmic_read_adc"
_NUMBER: Final = r"(-?\d{1,6}\.\d{1,9}|-?nan)"
_READING: Final = re.compile(
    rf"\s*(\w{{1,30}})_(?:A current\(\d{{1,3}}\)={_NUMBER}A|V volt\(\d{{1,3}}\)={_NUMBER}V)\s*", re.ASCII
)


class PmicRail(Struct, frozen=True, kw_only=True):
    """None is unknown: no such reading, or `nan`."""

    name: str
    current_ma: float | None = None
    voltage_mv: float | None = None

    @property
    def power_mw(self) -> float | None:
        if self.current_ma is None or self.voltage_mv is None:
            return None
        return self.current_ma * self.voltage_mv / 1000


def parse_pmic(text: str) -> tuple[PmicRail, ...]:
    """By name, in the order of the first reading of each. Raises ParseError on a line that is no reading (what older
    Pis and a user outside the group video get), or one that comes twice."""
    currents_ma: dict[str, float | None] = {}
    voltages_mv: dict[str, float | None] = {}
    for number, line in enumerate(lines_of(TOOL, text), start=1):
        match = _READING.fullmatch(line)
        if match is None:
            fail(TOOL, f"'{line.strip()[:60]}' is no reading", number)
        name, amperes, volts = match.groups()
        group, said = (currents_ma, amperes) if amperes is not None else (voltages_mv, volts)
        if name in group:
            fail(TOOL, f"{name} comes twice", number)
        value = float(said)
        group[name] = None if math.isnan(value) else value * 1000
    return tuple(
        PmicRail(name=name, current_ma=currents_ma.get(name), voltage_mv=voltages_mv.get(name))
        for name in dict.fromkeys((*currents_ma, *voltages_mv))
    )
