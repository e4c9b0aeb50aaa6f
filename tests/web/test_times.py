"""The axis of time of a trend fits its runs, and is labelled at round moments. (D3.5)"""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from edgekit.web.times import limits, ticks

NOON_S = datetime(2026, 5, 1, 12, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("minutes", "widest_minutes"), [([0], 2), ([0, 0.1], 2.2), ([0, 4], 6), ([0, 90], 96), ([0, 1e6], 1.07e6)]
)
def test_it_reaches_little_further_than_the_runs(minutes: list[float], widest_minutes: float) -> None:
    moments = [NOON_S + 60 * one for one in minutes]
    low_s, high_s = limits(moments)
    assert low_s < min(moments)
    assert high_s > max(moments)
    assert high_s - low_s <= 60 * widest_minutes


@pytest.mark.parametrize(
    ("span_s", "words"),
    [
        (120, ["05-01 12:00:00", "05-01 12:00:30", "05-01 12:01:00", "05-01 12:01:30", "05-01 12:02:00"]),
        (600, ["05-01 12:00", "05-01 12:02", "05-01 12:04", "05-01 12:06", "05-01 12:08", "05-01 12:10"]),
        (4 * 3600, ["05-01 12:00", "05-01 13:00", "05-01 14:00", "05-01 15:00", "05-01 16:00"]),
        (5 * 86400, ["2026-05-02", "2026-05-03", "2026-05-04", "2026-05-05", "2026-05-06"]),
        (40 * 86400, ["2026-05-04", "2026-05-11", "2026-05-18", "2026-05-25", "2026-06-01", "2026-06-08"]),
        (150 * 86400, ["2026-06-01", "2026-07-01", "2026-08-01", "2026-09-01"]),
        (900 * 86400, ["2026-07-01", "2027-01-01", "2027-07-01", "2028-01-01", "2028-07-01"]),
    ],
)
def test_labels_are_at_round_moments(span_s: float, words: list[str]) -> None:
    found = ticks(NOON_S, NOON_S + span_s, most=7)
    assert [label for _, label in found] == words
    assert all(NOON_S <= at <= NOON_S + span_s for at, _ in found)


@pytest.mark.parametrize("most", [3, 7])
@pytest.mark.parametrize("span_s", [1, 59, 3601, 86_399, 1e6, 1e7, 1e8, 1e9])
def test_there_are_some_and_not_too_many(span_s: float, most: int) -> None:
    low_s, high_s = limits([NOON_S - span_s, NOON_S])
    assert 1 <= len(ticks(low_s, high_s, most)) <= most
