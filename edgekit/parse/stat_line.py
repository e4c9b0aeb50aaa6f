"""The line `count=74 first=14850 curr=13315 min=13105 max=15765 avg=13520.2 std=470` of TensorFlow's statistics.

Form: xla/tsl/util/stats_calculator.h, Stat and StatWithPercentiles. `count=0` where nothing ran; `count=N curr=X`
where all N were the same, with "(all same)" glued to it for N > 1; builds with percentiles append p5, median, p95.
Times in whole microseconds, the average with six digits (1.38e+06).
"""

from __future__ import annotations

import re
from typing import Final

from edgekit.parse import fail
from edgekit.parse.benchmark_run import LatencySummary, checked, time_us, whole_count

_PAIR: Final = re.compile(r"(first|curr|min|max|avg|std|p5|median|p95)=(\S{1,40})", re.ASCII)
RESOLUTION_US: Final = 1.0


def parse_stat_line(tool: str, text: str, line: int | None = None) -> LatencySummary | None:
    """The summary of such a line; None for `count=0`. Raises ParseError where it is not one."""
    head, *words = text.split(" ")
    if not head.startswith("count="):
        fail(tool, f"'{text[:40]}' is no line of statistics", line)
    count = whole_count(tool, head.removeprefix("count="), line)
    values: dict[str, str] = {}
    all_same = False
    for word in " ".join(words).replace("(all same)", " (all-same)").split():
        if word == "(all-same)":
            all_same = True
            continue
        match = _PAIR.fullmatch(word)
        if match is None or match[1] in values:
            fail(tool, f"'{word[:40]}' in a line of statistics", line)
        values[match[1]] = match[2]
    if count == 0:
        if values:
            fail(tool, "statistics of no inference at all", line)
        return None
    times = {name: time_us(tool, value, 1.0, line) for name, value in values.items()}
    if (all_same or count == 1) and "min" not in times:
        times |= {name: times.get("curr") for name in ("first", "min", "max", "avg")}
    return checked(
        tool,
        LatencySummary(
            count=count,
            resolution_us=RESOLUTION_US,
            first_us=times.get("first"),
            min_us=times.get("min"),
            max_us=times.get("max"),
            avg_us=times.get("avg"),
            std_us=times.get("std"),
            median_us=times.get("median"),
            p5_us=times.get("p5"),
            p95_us=times.get("p95"),
        ),
        line,
    )
