"""`dumpsys thermalservice` of Android 10 and later, also over a thermal HAL 1.0.

Only the block "Current temperatures from HAL" is read: "Cached temperatures" was seen 26 C apart from it.
mType and mStatus are numbers of android.hardware.thermal (TemperatureType, ThrottlingSeverity).

A HAL 1.0 knows no severity and calls nobody back: Android puts 0 for the device and for every sensor (AOSP,
ThermalManagerService.ThermalHal10Wrapper), which says nothing, so it is None here, as is a 0 of a HAL that is not there.
Its temperatures are as good as any.
"""

from __future__ import annotations

import math
import re
from typing import Final

from msgspec import Struct

from edgekit.parse import fail, lines_of
from edgekit.parse.sysfs_thermal import plausible_mc

TOOL: Final = "dumpsys thermalservice"
TYPES: Final = {
    **{-1: "unknown", 0: "cpu", 1: "gpu", 2: "battery", 3: "skin", 4: "usb_port", 5: "power_amplifier"},
    **{
        6: "bcl_voltage",
        7: "bcl_current",
        8: "bcl_percentage",
        9: "npu",
        10: "tpu",
        11: "display",
        12: "modem",
    },
    13: "soc",
}
SEVERITIES: Final = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")
_CURRENT: Final = "Current temperatures from HAL"
_HAL_1: Final = "ThermalHAL 1.0 connected: yes"
_NOT_HEAT: Final = ("bcl_voltage", "bcl_current", "bcl_percentage")
_TEMPERATURE: Final = re.compile(
    r"Temperature\{mValue=([^,{}]*), mType=(-?\d{1,3}), mName=([^{}]*), mStatus=(\d{1,2})\}", re.ASCII
)
_NUMBER: Final = re.compile(r"-?\d{1,6}(\.\d{1,9})?(E-?\d)?", re.ASCII)


class HalTemperature(Struct, frozen=True, kw_only=True):
    """`temperature_mc` is None where the sensor is absent or says NaN; `severity` as in SEVERITIES."""

    name: str
    type: str
    temperature_mc: int | None
    severity: str | None
    """None: unknown (HAL 1.0)."""


class ThermalService(Struct, frozen=True, kw_only=True):
    severity: str | None
    """Of the device as a whole, as in SEVERITIES; None where it cannot know (HAL 1.0, and nobody has set it)."""
    overridden: bool
    """True where somebody set the status by hand (`cmd thermalservice override-status`): it says nothing."""
    hal_ready: bool | None
    temperatures: tuple[HalTemperature, ...]
    """Empty where the HAL gave none: unknown, not cool."""


def parse_dumpsys_thermalservice(text: str) -> ThermalService:
    """Raises ParseError where there is no status, a temperature is cut, or Android has no such service."""
    status: int | None = None
    overridden: bool | None = None
    ready: bool | None = None
    temperatures: list[HalTemperature] = []
    block, asked_hal = "", False
    knows = _HAL_1 not in text
    for number, raw in enumerate(lines_of(TOOL, text), start=1):
        line = raw.strip()
        if line.startswith("Temperature{"):
            if block == _CURRENT:
                temperatures += _temperature(line, number, knows)
            continue
        block = line.removesuffix(":") if line.endswith(":") else block
        asked_hal |= block == _CURRENT
        key, _, value = line.partition(": ")
        if key == "Thermal Status":
            if status is not None:
                fail(TOOL, "two dumps ran into each other", number)
            status = _severity(value, number)
        elif key in ("IsStatusOverride", "HAL Ready"):
            if value not in ("true", "false"):
                fail(TOOL, f"'{value[:20]}' as {key}", number)
            if key == "HAL Ready":
                ready = value == "true"
            else:
                overridden = value == "true"
    if status is None or overridden is None:
        fail(TOOL, "it has no thermal status (Android before 10 has no such service)")
    return ThermalService(
        severity=SEVERITIES[status] if status or overridden or (knows and asked_hal) else None,
        overridden=overridden,
        hal_ready=ready,
        temperatures=tuple(temperatures),
    )


def _severity(text: str, line: int) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) >= len(SEVERITIES):
        fail(TOOL, f"'{text[:20]}' as a thermal status", line)
    return int(text)


def _temperature(line: str, number: int, knows: bool) -> list[HalTemperature]:
    match = _TEMPERATURE.fullmatch(line)
    if match is None:
        fail(TOOL, "a temperature that is not whole", number)
    value, kind, name, status = match.groups()
    type_name = TYPES.get(int(kind), "unknown")
    if type_name in _NOT_HEAT:
        return []  # battery current limiting: volts, amperes and percent in the same list
    if value != "NaN" and not _NUMBER.fullmatch(value):
        fail(TOOL, f"'{value[:20]}' as a temperature", number)
    celsius = float(value)
    return [
        HalTemperature(
            name=name,
            type=type_name,
            temperature_mc=None if math.isnan(celsius) else plausible_mc(round(celsius * 1000)),
            severity=SEVERITIES[_severity(status, number)] if knows else None,
        )
    ]
