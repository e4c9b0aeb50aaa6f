"""An axis of time: from where to where, and at which moments it is labelled. Pure; seconds since 1970, words in UTC."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

_DAY_S = 86_400.0
_ROOM = 0.03
_LEAST_S = 60.0
"""Runs of one moment, or of seconds, have a minute of axis on either side."""
_STEPS_S = (
    *(1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800),
    *(3600, 7200, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800, 1_209_600),
)
_MONDAY_S = 4 * _DAY_S
"""1970 began on a Thursday; weeks are told from Monday on."""
_MONTHS = (1, 2, 3, 6, 12, 24, 60, 120)


def limits(moments_s: Sequence[float]) -> tuple[float, float]:
    """As far as the moments reach, and a little room."""
    low, high = min(moments_s), max(moments_s)
    room = max(_ROOM * (high - low), _LEAST_S)
    return low - room, high + room


def ticks(low_s: float, high_s: float, most: int) -> list[tuple[float, str]]:
    """At most `most` round moments within, with their words: days as dates, shorter steps with the time of the day."""
    for step_s in _STEPS_S:
        if (high_s - low_s) / step_s > most + 1:
            continue
        begin = _MONDAY_S if step_s >= 7 * _DAY_S else 0.0
        first = -int((begin - low_s) // step_s)
        found = [begin + i * step_s for i in range(first, first + most + 2)]
        found = [moment for moment in found if low_s <= moment <= high_s]
        if len(found) <= most:
            form = "%Y-%m-%d" if step_s >= _DAY_S else "%m-%d %H:%M" if step_s >= 60 else "%m-%d %H:%M:%S"
            return [(moment, datetime.fromtimestamp(moment, UTC).strftime(form)) for moment in found]
    return _months(low_s, high_s, most)


def _months(low_s: float, high_s: float, most: int) -> list[tuple[float, str]]:
    begin, end = (datetime.fromtimestamp(moment, UTC) for moment in (low_s, high_s))
    every = [datetime(1970 + i // 12, i % 12 + 1, 1, tzinfo=UTC)
             for i in range(12 * (begin.year - 1970), 12 * (end.year - 1970) + 12)]  # fmt: skip
    found: list[datetime] = []
    for step in _MONTHS:
        found = [one for i, one in enumerate(every) if i % step == 0 and low_s <= one.timestamp() <= high_s]
        if len(found) <= most:
            break
    return [(one.timestamp(), one.strftime("%Y-%m-%d")) for one in found[:most]]
