"""`tegrastats` of Jetson, TX2 to Thor: one line a look.

Generations differ: rails without a unit are in mW (up to JetPack 4), with one since; two numbers (now, mean since
tegrastats began) up to JetPack 6, three since 7. Only the first is read: the means are of a time that is not ours.
Rails may have bare names (`GPU 1155/1155`, Xavier) beside temperatures of the same name (`GPU@28C`). `NC` is not
connected,
-256 C no sensor, `off` a core that is off. A line may come truncated: what is not whole is no value.
"""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

from edgekit.parse import fail, lines_of
from edgekit.parse.sysfs_thermal import plausible_mc

TOOL: Final = "tegrastats"
_RAM: Final = re.compile(r"(?:\d\d-\d\d-\d{4} \d\d:\d\d:\d\d )?RAM (\d{1,7})/(\d{1,7})MB(?= )", re.ASCII)
_CPU: Final = re.compile(r"(?<!\S)CPU \[([^\[\]]*)\](?!\S)", re.ASCII)
_CORE: Final = re.compile(r"(\d{1,3})%@(\d{1,5})", re.ASCII)
_GPU: Final = re.compile(r"(?<!\S)GR3D_FREQ (\d{1,3})%(?:@(?:\d{1,5}|\[[\d,]+\]))?(?!\S)", re.ASCII)
_RAIL: Final = re.compile(
    r"(?<!\S)([A-Za-z]\w{0,31}) (?:(\d{1,7})mW/\d[^\s/]*(?:/\d[^\s/]*)?|(\d{1,7})/\d{1,7})(?!\S)", re.ASCII
)
_TEMPERATURE: Final = re.compile(
    r"(?<!\S)([A-Za-z]\w{0,31})@(-?\d{1,3}(?:\.\d{1,4})?)C(?:/\S*)?(?!\S)", re.ASCII
)
_MIB: Final = 1 << 20
NOT_CONNECTED: Final = "NC"


class TegraCore(Struct, frozen=True, kw_only=True):
    busy_percent: int
    frequency_khz: int


class TegraStats(Struct, frozen=True, kw_only=True):
    """One look. None is unknown: a core that is off, a sensor that is not there."""

    ram_used_bytes: int
    ram_total_bytes: int
    cores: tuple[TegraCore | None, ...]
    gpu_busy_percent: int | None
    temperatures_mc: dict[str, int | None]
    rails_mw: dict[str, int]
    """Power at this moment by rail. Some are parts of others: VDD_IN is the input of the whole module."""


def parse_tegrastats(text: str) -> tuple[TegraStats, ...]:
    """Raises ParseError with the line that is none of tegrastats, such as two that ran into each other."""
    return tuple(_look(line, number) for number, line in enumerate(lines_of(TOOL, text), start=1))


def _look(line: str, number: int) -> TegraStats:
    ram = _RAM.match(line)
    cpu = _CPU.search(line)
    if ram is None or cpu is None:
        fail(TOOL, f"'{line[:40]}' has no memory or no CPU", number)
    if len(re.findall(r"(?<!\S)RAM ", line)) > 1:
        fail(TOOL, "two lines in one", number)
    rest = line[ram.end() :]
    rails: dict[str, int] = {}
    for name, with_unit, without in _RAIL.findall(rest):
        if name == NOT_CONNECTED:
            continue
        if name in rails:
            fail(TOOL, f"the rail {name} comes twice", number)
        rails[name] = int(with_unit or without)
    temperatures: dict[str, int | None] = {}
    for name, celsius in _TEMPERATURE.findall(rest):
        if name in temperatures:
            fail(TOOL, f"the sensor {name} comes twice", number)
        temperatures[name] = plausible_mc(round(float(celsius) * 1000))
    gpu = _GPU.search(rest)
    return TegraStats(
        ram_used_bytes=int(ram[1]) * _MIB,
        ram_total_bytes=int(ram[2]) * _MIB,
        cores=tuple(_core(part, number) for part in cpu[1].split(",")),
        gpu_busy_percent=int(gpu[1]) if gpu is not None else None,
        temperatures_mc=temperatures,
        rails_mw=rails,
    )


def _core(text: str, line: int) -> TegraCore | None:
    if text == "off":
        return None
    match = _CORE.fullmatch(text)
    if match is None:
        fail(TOOL, f"'{text[:20]}' is no core", line)
    return TegraCore(busy_percent=int(match[1]), frequency_khz=int(match[2]) * 1000)
