"""The block "BENCHMARK RESULTS" of LiteRT's tools: `litert-benchmark` (Python) and the C++ tool of LiteRT.

Milliseconds with two digits: below 0.1 ms it says next to nothing. The C++ tool calls itself `benchmark_model` like
TFLite's, puts a log prefix before each line and leaves out the unit of the deviation; its README says
"First inference" where its code prints "Warmup (first)".
"""

from __future__ import annotations

import re
from typing import Final

from edgekit.parse import fail
from edgekit.parse.benchmark_run import (
    BenchmarkRun,
    LatencySummary,
    checked,
    mib_bytes,
    time_us,
)

RESOLUTION_US: Final = 10.0
_TITLE: Final = "BENCHMARK RESULTS"
_VALUE: Final = re.compile(r"(\S{1,40})(?: (ms|MB|MB/s))?(?: \((\d{1,12}) runs\))?", re.ASCII)
_TIMES: Final = {
    "Model initialization": "init",
    "Warmup (first)": "warmup_first",
    "First inference": "warmup_first",
    "Warmup (avg)": "warmup_avg",
    "Inference (avg)": "avg",
    "Inference (min)": "min",
    "Inference (max)": "max",
    "Inference (median)": "median",
    "Inference (std)": "std",
    "Inference (p5)": "p5",
    "Inference (p95)": "p95",
}
_SIZES: Final = {"Init footprint": "init", "Overall footprint": "overall", "Peak memory": "peak"}


def is_title(line: str) -> bool:
    """Whether the block begins in this line (its prefix stripped)."""
    return line.strip("= ") == _TITLE


def parse_block(tool: str, lines: list[tuple[int, str]]) -> BenchmarkRun:
    """The lines after the title, each with its number; lines that are no values are passed over.

    Raises ParseError where the block does not end with its rule, tells a value twice, or has no average.
    """
    values: dict[str, tuple[int, str]] = {}
    ended = False
    for number, line in lines:
        if values and set(line) == {"="}:
            ended = True
            break
        key, colon, value = line.partition(":")
        if colon and (key in _TIMES or key in _SIZES or key == "Fully accelerated"):
            name = _TIMES.get(key) or _SIZES.get(key, key)
            name = f"{name}_size" if key in _SIZES else name
            if name in values:
                fail(tool, f"{key} twice", number)
            values[name] = (number, value.strip())
    if not ended:
        fail(tool, "it is cut short: the results have no end")
    return _run(tool, values)


def _run(tool: str, values: dict[str, tuple[int, str]]) -> BenchmarkRun:
    times: dict[str, float | None] = {}
    runs: dict[str, int] = {}
    for name in _TIMES.values():
        if name in values and name not in times:
            times[name], count = _time(tool, *values[name])
            if count is not None:
                runs[name] = count
    if "avg" not in times:
        fail(tool, "the results have no average of the inferences")
    inference = LatencySummary(
        count=runs.get("avg"),
        resolution_us=RESOLUTION_US,
        min_us=times.get("min"),
        max_us=times.get("max"),
        avg_us=times.get("avg"),
        std_us=times.get("std"),
        median_us=times.get("median"),
        p5_us=times.get("p5"),
        p95_us=times.get("p95"),
    )
    warmup = LatencySummary(
        count=runs.get("warmup_avg"),
        resolution_us=RESOLUTION_US,
        first_us=times.get("warmup_first"),
        avg_us=times.get("warmup_avg"),
    )
    return BenchmarkRun(
        inference=checked(tool, inference),
        warmup=warmup if warmup.count else None,
        init_us=times.get("init"),
        first_inference_us=times.get("warmup_first"),
        init_footprint_bytes=_size(tool, values.get("init_size")),
        overall_footprint_bytes=_size(tool, values.get("overall_size")),
        peak_rss_bytes=_size(tool, values.get("peak_size")),
        fully_accelerated=_flag(tool, values.get("Fully accelerated")),
    )


def _time(tool: str, line: int, text: str) -> tuple[float | None, int | None]:
    match = _VALUE.fullmatch(text)
    if match is None or match[2] not in (None, "ms"):
        fail(tool, f"'{text[:40]}' is no time in ms", line)
    count = None if match[3] is None else int(match[3])
    return time_us(tool, match[1], 1000.0, line), count


def _size(tool: str, found: tuple[int, str] | None) -> int | None:
    if found is None:
        return None
    line, text = found
    match = _VALUE.fullmatch(text)
    if match is None or match[2] != "MB":
        fail(tool, f"'{text[:40]}' is no size in MB", line)
    return mib_bytes(tool, match[1], line)


def _flag(tool: str, found: tuple[int, str] | None) -> bool | None:
    if found is None:
        return None
    line, text = found
    if text.lower() not in ("true", "false", "1", "0"):
        fail(tool, f"'{text[:20]}' as Fully accelerated", line)
    return text.lower() in ("true", "1")
