"""Files of the kernel that tell power: a number or a word each. The unit is that of the file, named by the caller.

hwmon         inN_input mV, currN_input mA, powerN_input uW     (Documentation/hwmon/sysfs-interface.rst)
iio, Jetson   in_voltageN_input mV, in_currentN_input mA, in_powerN_input mW   (NVIDIA's ina3221x, JetPack 4)
power_supply  current_now uA, voltage_now uV, charge_counter uAh; vendors differ   (Documentation/ABI/testing/
              sysfs-class-power)
powercap      energy_uj, max_energy_range_uj uJ   (Documentation/power/powercap/powercap.rst)
"""

from __future__ import annotations

from typing import Final, Literal, cast

from edgekit.parse import fail, lines_of, whole_number

TOOL: Final = "sysfs power"
BatteryStatus = Literal["unknown", "charging", "discharging", "not charging", "full"]
_STATUS: Final = ("unknown", "charging", "discharging", "not charging", "full")


def parse_reading(text: str) -> int:
    """One whole number, negative too. Raises ParseError on anything else."""
    return whole_number(TOOL, _line(text))


def parse_name(text: str) -> str:
    """One line of text: a driver's name, a rail's label. Raises ParseError where there is none, or more."""
    return _line(text)


def parse_battery_status(text: str) -> BatteryStatus:
    """The file `status` of a battery. Raises ParseError on a word that the kernel does not know."""
    word = _line(text).lower()
    if word not in _STATUS:
        fail(TOOL, f"'{word[:20]}' as the status of a battery")
    return cast(BatteryStatus, word)


def _line(text: str) -> str:
    lines = lines_of(TOOL, text)
    if len(lines) != 1:
        fail(TOOL, f"{len(lines)} lines instead of one")
    return lines[0].strip()
