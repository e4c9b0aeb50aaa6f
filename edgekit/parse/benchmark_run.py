"""What a benchmark tool says of its own run: numbers that it computed itself, mostly without the samples behind them.

One type for the tools of TFLite and LiteRT: text of `benchmark_model`, its protobuf, `litert-benchmark`. Every number
that a tool may leave out is None where it did. A time of 0 is None too: it says no more than that the time was below
what the tool can show (`resolution_us`).
"""

from __future__ import annotations

import math
import re
from typing import Final, Literal

from msgspec import Struct

from edgekit.parse import fail

Coverage = Literal["complete", "partial", "none"]
MAX_COUNT: Final = 10**12
MAX_VALUE: Final = 1e15
"""Of any number in an output: in microseconds 30 years. More is damage, not a measurement."""
_DECIMAL: Final = re.compile(r"-?\d{1,18}(?:\.\d{1,18})?(?:e[+-]\d{2})?", re.ASCII)
_NOT_FINITE: Final = re.compile(r"[+-]?(?:nan|inf|infinity)", re.ASCII | re.IGNORECASE)


class LatencySummary(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Statistics of one block of inferences, as the tool computed them. Microseconds.

    `std_us` is as the tool defines it (some divide by n, some by n - 1). `resolution_us` is the last digit that the
    tool prints: values closer than that cannot be told apart, and large averages of benchmark_model have six digits
    at most.
    """

    count: int | None
    resolution_us: float
    first_us: float | None = None
    min_us: float | None = None
    max_us: float | None = None
    avg_us: float | None = None
    std_us: float | None = None
    median_us: float | None = None
    p5_us: float | None = None
    p90_us: float | None = None
    p95_us: float | None = None
    p99_us: float | None = None


class Delegation(Struct, frozen=True, kw_only=True):
    """One delegate that was asked for by a flag, and how much of the graph it took.

    `name` is as the tool says it: GPU, NNAPI, XNNPACK, Hexagon. `kernels`: partitions that it made of the graph.
    """

    name: str
    coverage: Coverage
    kernels: int | None = None


class BenchmarkRun(Struct, frozen=True, kw_only=True):
    """One run of a tool. Memory is what the tool says of its own process: nothing of a GPU or NPU is in it.

    `footprint` is growth since the tool's start; `peak` is the highest resident memory that it saw when it looked
    from time to time. `requested` are the delegates or accelerators that the output says were asked for, in lower
    case; `delegates` what became of them. `replaced_nodes` of `total_nodes` went to the delegate that took most;
    `fully_accelerated` is LiteRT's word for the whole graph being with *some* accelerator, the CPU's included.
    """

    inference: LatencySummary
    warmup: LatencySummary | None = None
    init_us: float | None = None
    first_inference_us: float | None = None
    init_footprint_bytes: int | None = None
    overall_footprint_bytes: int | None = None
    peak_rss_bytes: int | None = None
    threads: int | None = None
    requested: tuple[str, ...] = ()
    delegates: tuple[Delegation, ...] = ()
    replaced_nodes: int | None = None
    total_nodes: int | None = None
    fully_accelerated: bool | None = None
    unknown_flags: str | None = None
    """Flags that the tool did not know and went on without; what was asked for was then not what ran."""


def decimal(tool: str, text: str, line: int | None = None) -> float | None:
    """A number that is not negative; None for NaN and infinity, which tools print where they have none.

    Raises ParseError for anything else, and past MAX_VALUE.
    """
    if _NOT_FINITE.fullmatch(text):
        return None
    if not _DECIMAL.fullmatch(text):
        fail(tool, f"'{text[:40]}' is not a number", line)
    value = float(text)
    if not 0 <= value <= MAX_VALUE:
        fail(tool, f"'{text[:40]}' is out of range", line)
    return value


def time_us(tool: str, text: str, us_per_unit: float, line: int | None = None) -> float | None:
    """A duration in microseconds; None for 0 as for NaN."""
    value = decimal(tool, text, line)
    return round(value * us_per_unit, 6) or None if value is not None else None


def whole_count(tool: str, text: str, line: int | None = None) -> int:
    """A count. Raises ParseError where it is none."""
    if not (text.isascii() and text.isdigit() and len(text) <= 12):
        fail(tool, f"'{text[:40]}' is not a count", line)
    return int(text)


def mib_bytes(tool: str, text: str, line: int | None = None) -> int | None:
    """Bytes of what these tools call MB: KiB / 1024."""
    value = decimal(tool, text, line)
    return None if value is None else round(value * (1 << 20))


def checked(tool: str, summary: LatencySummary, line: int | None = None) -> LatencySummary:
    """The same summary. Raises ParseError where its numbers contradict each other: then one of them is damaged."""
    low, high = summary.min_us, summary.max_us
    slack = summary.resolution_us
    if low is not None and high is not None and low > high + slack:
        fail(tool, f"a minimum of {low:g} us is above the maximum of {high:g} us", line)
    for name in ("first_us", "avg_us", "median_us", "p5_us", "p90_us", "p95_us", "p99_us"):
        value = getattr(summary, name)
        if value is None:
            continue
        room = slack + value * 1e-5  # averages are printed with six digits
        if (low is not None and value < low - room) or (high is not None and value > high + room):
            fail(tool, f"{name.removesuffix('_us')} of {value:g} us is not between minimum and maximum", line)
    return summary


def same(left: float | None, right: float | None, resolution_us: float) -> bool:
    """Whether two printed forms can be of one number; True where one of them is not known."""
    if left is None or right is None:
        return True
    return math.isclose(left, right, rel_tol=1e-5, abs_tol=resolution_us)
