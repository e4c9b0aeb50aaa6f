"""Which runs: `model~det`, `soc=bcm2712`, `since=7d`, `verdict=valid,suspect`, `median_latency<12ms`, `label=board=7`. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from edgekit import units
from edgekit.errors import InputError
from edgekit.records.metrics import METRIC_KINDS, METRICS

Op = Literal["=", "!=", "~", "!~", "<", "<=", ">", ">="]
SERIES_WORDS = (
    "project",
    "model",
    "recipe",
    "profile",
    "device",
    "soc",
    "abi",
    "runtime",
    "runtime_version",
    "verdict",
)
"""Words that many runs share. `device`: an address or a device's model."""
RUN_WORDS = ("id", "version", "sha256")
COUNTS = ("launches", "count")
TIMES = ("since", "until")
VERDICTS = ("valid", "suspect", "invalid")
_FILTER = re.compile(r"\s*([A-Za-z][A-Za-z0-9_]*)\s*(!=|!~|<=|>=|=|~|<|>)(.*)", re.DOTALL)
_AGO = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
_HINT = "like model~det, soc=bcm2712, since=7d, verdict=valid,suspect, median_latency<12ms or label=board=7"


@dataclass(frozen=True)
class Filter:
    """One condition; a run must meet all that are given.

    `words`: of a word or a label: any of them (with `!=` and `!~`: none). `number`: of a metric in its unit, of a count,
    or seconds since 1970 of a time. `key`: of a label; no words: a label of that key, whatever its value.
    """

    field: str
    op: Op
    words: tuple[str, ...] = ()
    number: float | None = None
    key: str = ""


def parse_filters(texts: Iterable[str], now: datetime | None = None) -> tuple[Filter, ...]:
    """`now`: what `since=7d` is counted from, and whose zone a time without one is in; None: the present, local time.
    Raises InputError E_FILTER, E_SINCE, and the units' error."""
    return tuple(_parse(text, now) for text in texts)


def _parse(text: str, now: datetime | None) -> Filter:
    match = _FILTER.fullmatch(text)
    if match is None:
        raise InputError(f"'{text}' is not a filter", code="E_FILTER", hint=_HINT)
    # the store has no NUL in its words either
    field, op, value = match[1], match[2], match[3].strip().replace("\0", "\ufffd")
    if field in SERIES_WORDS or field in RUN_WORDS:
        _allow(field, op, ("=", "!=", "~", "!~"))
        words = tuple(part.strip() for part in value.split(","))
        if field == "verdict" and op in ("=", "!=") and (wrong := set(words) - set(VERDICTS)):
            raise InputError(
                f"no verdict called '{min(wrong)}'", code="E_FILTER", hint=f"there are: {', '.join(VERDICTS)}"
            )
        return Filter(field, op, words)  # type: ignore[arg-type]
    if field == "label":
        _allow(field, op, ("=", "!="))
        key, given, wanted = value.partition("=")
        return Filter(field, op, (wanted,) if given else (), key=key)  # type: ignore[arg-type]
    if field in TIMES:
        _allow(field, op, ("=",))
        return Filter(field, "=", number=parse_since(value, now).timestamp())
    if field in COUNTS or field in METRICS:
        _allow(field, op, ("<", "<=", ">", ">=", "="))
        return Filter(field, op, number=_number(field, value))  # type: ignore[arg-type]
    known = (*SERIES_WORDS, *RUN_WORDS, "label", *TIMES, *COUNTS, *METRICS)
    near = difflib.get_close_matches(field, known, n=2)
    raise InputError(
        f"runs have no field called '{field}'",
        code="E_FILTER",
        hint=f"did you mean {' or '.join(near)}?" if near else f"there are: {', '.join(known)}",
    )


def _number(field: str, value: str) -> float:
    if field in METRICS:
        return float(units.parse_quantity(METRIC_KINDS[METRICS[field].unit], value))
    try:
        return float(int(value))
    except (ValueError, OverflowError):
        raise InputError(f"{field} is a whole number, not '{value}'", code="E_FILTER", hint=_HINT) from None


def _allow(field: str, op: str, ops: tuple[str, ...]) -> None:
    if op not in ops:
        raise InputError(f"{field} cannot be asked with {op}", code="E_FILTER", hint=f"use {' '.join(ops)}")


def parse_since(text: str, now: datetime | None = None) -> datetime:
    """A moment: `7d` (so long before `now`, in hours of 60 minutes and days of 24 hours; m, h, d, w) or an ISO 8601 date or
    time, in the zone of `now` where it names none. `now` None: the present; a time is local then, by the clock that was
    (or will be) in force on that day. Raises InputError E_SINCE."""
    unit = _AGO.get(text[-1:])
    if unit is not None and text[:-1].isdecimal() and len(text) < 7:
        try:
            return (now or datetime.now(UTC)) - int(text[:-1]) * unit
        except OverflowError:
            return datetime(1970, 1, 1, tzinfo=UTC)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(
            f"'{text}' is neither a date nor a span of time", code="E_SINCE", hint="write 2026-01-31 or 7d"
        ) from None
    if moment.tzinfo:
        return moment
    try:
        return moment.replace(tzinfo=now.tzinfo) if now is not None else moment.astimezone()
    except (OverflowError, OSError, ValueError):  # years that this machine's clock does not know
        return moment.replace(tzinfo=UTC)
