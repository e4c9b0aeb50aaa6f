"""`dumpsys android.hardware.power.stats.IPowerStats/default [delta]`: rails and consumers of Android's HAL 2.0, and
`lshal debug android.hardware.power.stats@1.0::IPowerStats/default [delta]`, the rails of HAL 1.0.

Formats as the Pixel HALs print them (PowerStats.cpp of 1.0, of the first 2.0, whose channels have no subsystem and whose
elapsed time has no line of its own, and of 2.0 since). Energies in mWs, which are mJ, with two decimals. The cumulative
column went through a 32-bit float of uWs: its step grows with the number (`edgekit.stats.traces.float32_step_uj`).
The delta is exact, but since whoever asked last for a delta: one snapshot is shared by all callers, so `elapsed_ms`
has to be one's own window. The first delta since the HAL began has none of a rail: None.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from edgekit.parse import fail, lines_of

TOOL: Final = "IPowerStats"
_BEGIN: Final = re.compile(r"=+ (PowerStats HAL [12]\.0 .{1,40}?) =+", re.ASCII)
_END: Final = re.compile(r"=+ End of (PowerStats HAL [12]\.0 .{1,40}?) =+", re.ASCII)
_METER: Final = "PowerStats HAL 2.0 energy meter"
_RAILS_1: Final = "PowerStats HAL 1.0 rail energy data"
_CONSUMERS: Final = "PowerStats HAL 2.0 energy consumers"
_MWS: Final = r"(-?\d{1,14})\.(\d\d)"
_VALUES: Final = rf"{_MWS} mWs(?: \(\s*(?:{_MWS}|none)\))?"
_RAIL: Final = re.compile(
    rf"\s*(?:\[(?P<rail>[^\[\]\s]{{1,64}})\]:(?P<subsystem>\S{{1,64}})|(?P<channel>[^\s\[\]]{{1,64}}))\s+{_VALUES}",
    re.ASCII,
)
_RAIL_1: Final = re.compile(
    rf"\s*(?P<subsystem>\S{{1,64}})\s+(?P<rail>\S{{1,64}})(?P<channel>)\s+{_VALUES}", re.ASCII
)
_CONSUMER: Final = re.compile(rf"([^\s:][^:]{{0,60}}?)\s*:\s+{_MWS} mWs", re.ASCII)
_UID: Final = re.compile(rf"\s*\d{{1,10}} [-=]\s+{_MWS} mWs", re.ASCII)
_HEADER: Final = r"(?:Channel|Subsys\s+Rail)\s+Cumulative Energy(?: \(\s*Delta\s*\))?"
_TITLES: Final = re.compile(_HEADER, re.ASCII)
_ELAPSED: Final = re.compile(rf"Elapsed time: (\d{{1,15}}|unknown) ms(?:\s+{_HEADER})?", re.ASCII)


class RailEnergy(Struct, frozen=True, kw_only=True):
    rail: str
    subsystem: str | None
    cumulative_uj: int
    """Since boot, to the step of a 32-bit float."""
    delta_uj: int | None = None
    """Since the last caller's delta; None where none was asked for, or nobody had before."""


class PowerStats(Struct, frozen=True, kw_only=True):
    elapsed_ms: int | None = None
    """What the deltas are of; None without them."""
    rails: tuple[RailEnergy, ...] = ()
    consumers_uj: dict[str, int] = {}
    """Since boot, to the step of a 32-bit float; what single apps take of it is passed over."""


def parse_power_stats(text: str) -> PowerStats:
    """Raises ParseError where neither meter nor consumers are there whole, or a line of them is something else."""
    lines = lines_of(TOOL, text)
    meter, older = _section(lines, _METER), _section(lines, _RAILS_1)
    if meter is not None and older is not None:
        fail(TOOL, "it is of two HALs at once")
    consumers = _section(lines, _CONSUMERS)
    if meter is None and older is None and consumers is None:
        fail(TOOL, "it has neither an energy meter nor energy consumers")
    elapsed, rails = _rails(older, _RAIL_1) if older is not None else _rails(meter or (), _RAIL)
    return PowerStats(elapsed_ms=elapsed, rails=rails, consumers_uj=_consumers(consumers or ()))


Numbered = Sequence[tuple[int, str]]


def _section(lines: Sequence[str], title: str) -> Numbered | None:
    """Its lines with their numbers, without its first and last."""
    found: list[tuple[int, str]] | None = None
    for number, line in enumerate(lines, start=1):
        end, begin = _END.fullmatch(line.strip()), _BEGIN.fullmatch(line.strip())
        if end is not None and end[1] == title:
            if found is None:
                fail(TOOL, f"the end of '{title}' without its beginning", number)
            return found
        if end is None and begin is not None and begin[1] == title:
            if found is not None:
                fail(TOOL, f"'{title}' begins twice", number)
            found = []
        elif found is not None:
            found.append((number, line))
    if found is not None:
        fail(TOOL, f"'{title}' has no end: it was cut short", len(lines))
    return None


def _rails(lines: Numbered, row: re.Pattern[str]) -> tuple[int | None, tuple[RailEnergy, ...]]:
    elapsed: int | None = None
    rails: dict[str, RailEnergy] = {}
    for number, line in lines:
        if not line.strip() or _TITLES.fullmatch(line.strip()):
            continue
        if (time := _ELAPSED.fullmatch(line.strip())) is not None:
            if elapsed is not None or rails:
                fail(TOOL, "an elapsed time comes twice, or late", number)
            elapsed = None if time[1] == "unknown" else int(time[1])
            continue
        match = row.fullmatch(line.rstrip())
        if match is None:
            fail(TOOL, f"'{line.strip()[:60]}' is no channel", number)
        rail = match["rail"] or match["channel"]
        if rail in rails:
            fail(TOOL, f"{rail} comes twice", number)
        whole, part, delta_whole, delta_part = match.groups()[-4:]
        delta = None if delta_whole is None else _uj(delta_whole, delta_part)
        if delta is not None and elapsed is None:
            fail(TOOL, "a delta goes with an elapsed time", number)
        rails[rail] = RailEnergy(
            rail=rail, subsystem=match["subsystem"], cumulative_uj=_uj(whole, part), delta_uj=delta
        )
    return elapsed, tuple(rails.values())


def _consumers(lines: Numbered) -> dict[str, int]:
    found: dict[str, int] = {}
    for number, line in lines:
        if not line.strip() or _UID.fullmatch(line.rstrip()):
            continue
        match = _CONSUMER.fullmatch(line.strip())
        if match is None or match[1] in found:
            fail(TOOL, f"'{line.strip()[:60]}' is no energy consumer, or comes twice", number)
        found[match[1]] = _uj(match[2], match[3])
    return found


def _uj(whole: str, hundredths: str) -> int:
    sign = -1 if whole.startswith("-") else 1
    return int(whole) * 1000 + sign * int(hundredths) * 10
