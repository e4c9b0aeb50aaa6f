"""ODPM, the power rails of Pixel phones (6 and later): /sys/bus/iio/devices/iio:device*/energy_value.

A first line `t=MS`, then a line a channel: `CH3(T=MS)[RAIL], UWS`. Energy counts up since boot in microwatt-seconds;
times are CLOCK_BOOTTIME in milliseconds, of the moment at which the driver last read the chip. It reads again after
50 ms at the earliest, so T may stay the same from one look to the next (drivers/iio/power/odpm.c of
kernel/google-modules: odpm_get_timestamp_now_ms, ODPM_MIN_POLLING_TIME_MS).
"""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

from edgekit.parse import fail, lines_of

TOOL: Final = "energy_value"
_TIME: Final = re.compile(r"t=(\d{1,15})", re.ASCII)
_CHANNEL: Final = re.compile(r"CH(\d{1,2})\(T=(\d{1,15})\)\[([^\[\]\s]{1,64})\], (\d{1,18})", re.ASCII)


class OdpmRail(Struct, frozen=True, kw_only=True):
    channel: int
    name: str
    time_ms: int
    """CLOCK_BOOTTIME at which `energy_uj` was read from the chip."""
    energy_uj: int
    """Since boot."""


class Odpm(Struct, frozen=True, kw_only=True):
    time_ms: int
    rails: tuple[OdpmRail, ...]


def parse_odpm(text: str) -> Odpm:
    """Raises ParseError where a line is neither the time nor a channel, or a channel comes twice."""
    lines = lines_of(TOOL, text)
    time = _TIME.fullmatch(lines[0])
    if time is None:
        fail(TOOL, f"'{lines[0][:40]}' instead of its time", 1)
    rails: dict[int, OdpmRail] = {}
    for number, line in enumerate(lines[1:], start=2):
        match = _CHANNEL.fullmatch(line)
        if match is None:
            fail(TOOL, f"'{line[:60]}' is no channel", number)
        channel = int(match[1])
        if channel in rails:
            fail(TOOL, f"channel {channel} comes twice", number)
        rails[channel] = OdpmRail(
            channel=channel, name=match[3], time_ms=int(match[2]), energy_uj=int(match[4])
        )
    return Odpm(time_ms=int(time[1]), rails=tuple(rails.values()))
