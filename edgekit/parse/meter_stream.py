"""What a meter beside the device prints: lines of JSON objects, or CSV with a header, with a time of its own clock.

Which column is what, and its unit, is told by names: `t_s`, `power_mw`, or `voltage_v` with `current_ma`, ... (`NAMES`);
`columns` of edgekit.yaml gives those of another program (`Timestamp(ms)`) one of them. No unit is ever guessed.

A cumulative energy is taken before powers, as it misses nothing; voltage times current is power. A value that is null, empty
or nan is a reading that was not to be had. Decimal commas count where columns are parted by `;` or a tab.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from edgekit.parse import fail

TOOL: Final = "the meter"
NAMES: Final[Mapping[str, tuple[str, float]]] = {
    **{f"t_{unit}": ("time", size) for unit, size in (("s", 1e6), ("ms", 1e3), ("us", 1.0), ("ns", 1e-3))},
    **{f"power_{unit}": ("power", size) for unit, size in (("w", 1e3), ("mw", 1.0), ("uw", 1e-3))},
    **{f"energy_{unit}": ("energy", size) for unit, size in (("j", 1e6), ("mj", 1e3), ("uj", 1.0))},
    **{f"energy_{unit}": ("energy", size) for unit, size in (("wh", 3.6e9), ("mwh", 3.6e6))},
    **{f"voltage_{unit}": ("voltage", size) for unit, size in (("v", 1e3), ("mv", 1.0), ("uv", 1e-3))},
    **{f"current_{unit}": ("current", size) for unit, size in (("a", 1e3), ("ma", 1.0), ("ua", 1e-3))},
}
"""Of a column: what it is, and its unit in us, mW, uJ (cumulative), mV or mA."""
MAX_COLUMNS = 200
_MARK = "\ufeff"
"""What programs on Windows begin a text file with."""
_MISSING = ("", "nan", "null", "none")
_DELIMITERS = (";", "\t", ",")


@dataclass(frozen=True)
class Layout:
    """Where things are in each line. `delimiter` None: JSON. `places`: by kind, the column's number or the key, with the
    unit. `columns`: how many a CSV has. `voltage_mv`: of a meter that tells its current only."""

    delimiter: str | None
    places: Mapping[str, tuple[int | str, float]]
    columns: int
    voltage_mv: float | None = None

    @property
    def unit(self) -> Literal["mW", "uJ"]:
        return "uJ" if "energy" in self.places else "mW"


def is_reading(line: str) -> bool:
    """Whether there is something in it: not blank, no comment."""
    text = line.removeprefix(_MARK).strip()
    return bool(text) and not text.startswith("#")


def layout_of(first: str, columns: Mapping[str, str], voltage_mv: float | None = None) -> Layout:
    """From the first line: a CSV's header, or a JSON object, which is a reading too. Raises ParseError."""
    first = first.removeprefix(_MARK)
    if first.lstrip().startswith("{"):
        delimiter, names = None, list(_object(first))
    else:
        delimiter = next((mark for mark in _DELIMITERS if mark in first), ",")
        names = [name.strip().strip('"') for name in first.split(delimiter)]
    if len(names) > MAX_COLUMNS:
        fail(TOOL, f"{len(names)} columns")
    places: dict[str, tuple[int | str, float]] = {}
    for number, name in enumerate(names):
        known = NAMES.get(columns.get(name, name))
        if known is None:
            continue
        kind, size = known
        if kind in places:
            fail(TOOL, f"two columns of {kind}")
        places[kind] = (name if delimiter is None else number, size)
    _check(places, names, voltage_mv)
    return Layout(delimiter, places, len(names), voltage_mv)


def _check(places: Mapping[str, object], names: Sequence[str], voltage_mv: float | None) -> None:
    shown = ", ".join(name[:30] for name in names[:10])
    if "time" not in places:
        fail(TOOL, f"no column of time (t_s, t_ms, ...) among: {shown}")
    product = "current" in places and ("voltage" in places or voltage_mv is not None)
    if not ("energy" in places or "power" in places or product):
        fail(
            TOOL,
            f"neither energy nor power, nor current with voltage (energy_j, power_mw, ...) among: {shown}",
        )


def read_line(line: str, layout: Layout) -> tuple[float, float]:
    """The time in us, and mW or cumulative uJ, NaN where the meter had none. Raises ParseError."""
    value = _cells(line, layout.delimiter, layout.columns)

    def read(kind: str) -> float:
        place, size = layout.places[kind]
        return value(place) * size

    t_us = read("time")
    if not math.isfinite(t_us):
        fail(TOOL, "a time that is none")
    if "energy" in layout.places:
        return t_us, read("energy")
    if "power" in layout.places:
        return t_us, read("power")
    voltage_mv = read("voltage") if "voltage" in layout.places else layout.voltage_mv or math.nan
    return t_us, voltage_mv * read("current") / 1000


def _cells(line: str, delimiter: str | None, columns: int) -> Callable[[int | str], float]:
    if delimiter is None:
        found = _object(line)
        return lambda key: _number(found.get(str(key)), ",")
    cells = [cell.strip().strip('"') for cell in line.split(delimiter)]
    if any(cells[columns:]):  # decimal commas among commas: every number would be another one
        fail(TOOL, f"a line with {len(cells)} columns where the header has {columns}")

    def cell(place: int | str) -> float:
        if int(place) >= len(cells):
            fail(TOOL, f"a line with {len(cells)} columns")
        return _number(cells[int(place)], delimiter)

    return cell


def _object(line: str) -> Mapping[str, object]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        fail(TOOL, f"{line.strip()[:40]!r} is no JSON object")
    if not isinstance(found, dict):
        fail(TOOL, f"{line.strip()[:40]!r} is no JSON object")
    return found


def _number(value: object, delimiter: str) -> float:
    """NaN where there is none. Infinite is none either."""
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        fail(TOOL, f"{str(value)[:20]!r} is no number")
    if isinstance(value, str):
        if value.lower() in _MISSING:
            return math.nan
        if delimiter != "," and "." not in value:
            value = value.replace(",", ".")
        if not value.isascii() or "_" in value:
            fail(TOOL, f"{value[:20]!r} is no number")
    try:
        number = float(value)
    except (ValueError, OverflowError):
        fail(TOOL, f"{str(value)[:20]!r} is no number")
    return number if math.isfinite(number) else math.nan
