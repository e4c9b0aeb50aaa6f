"""`vcgencmd` of Raspberry Pi: get_throttled, measure_temp, measure_clock, measure_volts.

The bits are those of the firmware's documentation (raspberrypi.com/documentation/computers/os.html#vcgencmd).
"""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

from edgekit.parse import fail, lines_of

TOOL: Final = "vcgencmd"
_BITS: Final = {0: "under_voltage", 1: "frequency_capped", 2: "throttled", 3: "soft_temperature_limit"}
_HISTORY_SHIFT: Final = 16


class Throttled(Struct, frozen=True, kw_only=True):
    """What holds the CPU back now, and what has since boot (the firmware forgets it at a reboot only)."""

    bits: int
    now: tuple[str, ...]
    since_boot: tuple[str, ...]


def parse_get_throttled(text: str) -> Throttled:
    """`throttled=0x50005`. Raises ParseError on anything else, such as `VCHI initialization failed`."""
    match = re.fullmatch(r"throttled=0x([0-9a-fA-F]{1,8})", _line(text))
    if match is None:
        fail(TOOL, f"'{text.strip()[:60]}' is no throttling state")
    bits = int(match.group(1), 16)
    return Throttled(
        bits=bits,
        now=tuple(name for bit, name in _BITS.items() if bits >> bit & 1),
        since_boot=tuple(name for bit, name in _BITS.items() if bits >> (bit + _HISTORY_SHIFT) & 1),
    )


def parse_measure_temp(text: str) -> int:
    """`temp=39.5'C` in milli-Celsius."""
    match = re.fullmatch(r"temp=(-?\d{1,3})\.(\d)'C", _line(text), re.ASCII)
    if match is None:
        fail(TOOL, f"'{text.strip()[:60]}' is no temperature")
    sign = -1 if match.group(1).startswith("-") else 1
    return sign * (abs(int(match.group(1))) * 1000 + int(match.group(2)) * 100)


def parse_measure_clock(text: str) -> int | None:
    """`frequency(48)=1500000000`, which is in Hz, in kHz; None for 0, a clock that is off."""
    match = re.fullmatch(r"frequency\(\d{1,3}\)=(\d{1,12})", _line(text), re.ASCII)
    if match is None:
        fail(TOOL, f"'{text.strip()[:60]}' is no frequency")
    return int(match.group(1)) // 1000 or None


def parse_measure_volts(text: str) -> int:
    """`volt=0.7200V` in microvolts. All that a Pi 4 tells of power: it has no current to go with it."""
    match = re.fullmatch(r"volt=(\d{1,2})\.(\d{4})V", _line(text), re.ASCII)
    if match is None:
        fail(TOOL, f"'{text.strip()[:60]}' is no voltage")
    return int(match.group(1)) * 1_000_000 + int(match.group(2)) * 100


def _line(text: str) -> str:
    lines = lines_of(TOOL, text)
    if len(lines) != 1:
        fail(TOOL, f"{len(lines)} lines instead of one")
    return lines[0]
