"""`dumpsys battery` of Android.

Level in percent of `scale`, voltage in mV, temperature in tenths of a degree, charge counter in uAh. The framework
can be told to pretend (`dumpsys battery unplug`): it then says "UPDATES STOPPED", and the values are not the
battery's. Keys are matched whole, so `voltage` is never taken from `Max charging voltage`.
"""

from __future__ import annotations

from typing import Final, Literal, cast

from msgspec import Struct

from edgekit.parse import fail, key_values, whole_number

TOOL: Final = "dumpsys battery"
MOST_MV: Final = 100_000
"""Of any battery that feeds a device."""
Status = Literal["unknown", "charging", "discharging", "not_charging", "full"]
_STATUS: Final = {1: "unknown", 2: "charging", 3: "discharging", 4: "not_charging", 5: "full"}
_NUMBERS: Final = ("level", "scale", "status", "voltage", "temperature", "Charge counter")
_FLAGS: Final = ("AC powered", "USB powered", "Wireless powered", "Dock powered", "present")


class Battery(Struct, frozen=True, kw_only=True):
    """None is unknown: a voltage of 0 (seen on headsets), one that no battery has (the charger's, of a line that was torn
    apart, or one in uV) and a charge counter of 0 or less are too."""

    percent: float | None
    status: Status
    powered: bool | None
    """By anything: AC, USB, wireless, a dock."""
    present: bool | None
    voltage_mv: int | None
    temperature_mc: int | None
    charge_counter_uah: int | None
    updates_stopped: bool
    """True where somebody froze or faked the values; none of them is to be trusted."""


def parse_dumpsys_battery(text: str) -> Battery:
    """Raises ParseError where level, scale or status are missing or nothing says that this is the service."""
    numbers: dict[str, int] = {}
    flags: dict[str, bool] = {}
    for line, key, value in key_values(TOOL, text):
        # the service may dump more than one battery-like block: the first value counts
        if key in _NUMBERS and key not in numbers:
            numbers[key] = whole_number(TOOL, value, line)
        elif key in _FLAGS and key not in flags:
            if value not in ("true", "false"):
                fail(TOOL, f"'{value[:20]}' as {key}", line)
            flags[key] = value == "true"
    if "Current Battery Service state" not in text:
        fail(TOOL, "it is not the battery service's")
    for key in ("level", "scale", "status"):
        if key not in numbers:
            fail(TOOL, f"it has no {key}")
    return _battery(numbers, flags, stopped="UPDATES STOPPED" in text)


def _battery(numbers: dict[str, int], flags: dict[str, bool], *, stopped: bool) -> Battery:
    level, scale, status = numbers["level"], numbers["scale"], numbers["status"]
    if status not in _STATUS:
        fail(TOOL, f"status {status} is none of 1 to 5")
    charge = numbers.get("Charge counter", 0)
    voltage = numbers.get("voltage", 0)
    tenths = numbers.get("temperature")
    powered = [flags[name] for name in _FLAGS if name in flags and name != "present"]
    return Battery(
        percent=100.0 * level / scale if scale > 0 and 0 <= level <= scale else None,
        status=cast(Status, _STATUS[status]),
        powered=any(powered) if powered else None,
        present=flags.get("present"),
        voltage_mv=voltage if 0 < voltage <= MOST_MV else None,
        temperature_mc=None if tenths is None else tenths * 100,
        charge_counter_uah=charge if charge > 0 else None,
        updates_stopped=stopped,
    )
