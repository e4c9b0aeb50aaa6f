"""/sys/class/thermal/thermal_zone*/{type,temp}.

The kernel's ABI says thousandths of a degree (Documentation/driver-api/thermal/sysfs-api.rst); some vendors' zones
give whole degrees. Sensors that are not there read -256 C (Tegra) or -40 C, and those are no temperatures.
"""

from __future__ import annotations

from typing import Final

from edgekit.parse import lines_of, whole_number

TOOL: Final = "thermal zone"
_ABSENT_C: Final = (-256, -40)
_HOTTEST_MC: Final = 200_000
_COLDEST_MC: Final = -60_000
_WHOLE_DEGREES_BELOW: Final = 200
"""A number this small is whole degrees: as thousandths it would be a sensor within 0.2 C of freezing."""


def parse_temp(text: str) -> int | None:
    """The zone's temperature in milli-Celsius; None where the sensor is absent, or says nothing possible.

    0 is None: it is what an unpowered sensor reads, in either unit. Raises ParseError on what is no number.
    """
    lines = lines_of(TOOL, text)
    number = whole_number(TOOL, "\n".join(lines).strip())
    if number == 0:
        return None
    if abs(number) < _WHOLE_DEGREES_BELOW or number in _ABSENT_C:
        number *= 1000
    return plausible_mc(number)


def plausible_mc(milli_celsius: int) -> int | None:
    """The same number where it can be a temperature of a device, None where it marks an absent sensor."""
    if milli_celsius in [celsius * 1000 for celsius in _ABSENT_C]:
        return None
    return milli_celsius if _COLDEST_MC < milli_celsius < _HOTTEST_MC else None
