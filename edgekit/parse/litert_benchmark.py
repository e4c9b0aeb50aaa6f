"""`litert-benchmark` of ai-edge-litert: its text and what `--result_json` writes. Seen with version 2.3.0.

Both are rounded to a hundredth of a millisecond. No samples are in either. "accelerators" are those asked for, not
those that ran: with a GPU and the CPU asked for, a fully accelerated graph may be the CPU's alone.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct, structs

from edgekit.parse import fail, lines_of
from edgekit.parse.benchmark_run import MAX_COUNT, MAX_VALUE, BenchmarkRun, LatencySummary, checked
from edgekit.parse.litert_block import RESOLUTION_US, is_title, parse_block

TOOL: Final = "litert-benchmark"
MAX_JSON_BYTES: Final = 1 << 20


class _Latency(Struct):
    """`latency` of the JSON; milliseconds."""

    avg_ms: float
    num_runs: int
    init_ms: float | None = None
    warmup_first_ms: float | None = None
    warmup_avg_ms: float | None = None
    num_warmup_runs: int | None = None
    min_ms: float | None = None
    max_ms: float | None = None
    median_ms: float | None = None
    std_ms: float | None = None
    p5_ms: float | None = None
    p95_ms: float | None = None


class _Result(Struct):
    latency: _Latency
    accelerators: tuple[str, ...] = ()
    fully_accelerated: bool | None = None
    num_threads: int | None = None


def parse_litert_benchmark(text: str) -> BenchmarkRun:
    """Of stdout. Raises ParseError where the results are not there or not whole."""
    lines = [(number, line.rstrip()) for number, line in enumerate(lines_of(TOOL, text), start=1)]
    titles = [index for index, (_, line) in enumerate(lines) if is_title(line)]
    if len(titles) != 1:
        fail(TOOL, "it has no results" if not titles else "results twice")
    return parse_block(TOOL, lines[titles[0] + 1 :])


def parse_litert_benchmark_json(data: bytes) -> BenchmarkRun:
    """Of the file that `--result_json` wrote. Raises ParseError where it is cut, not JSON, or has other fields."""
    if len(data) > MAX_JSON_BYTES:
        fail(TOOL, f"its JSON has {len(data)} bytes")
    try:
        result = msgspec.json.decode(data, type=_Result)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        fail(TOOL, str(error)[:200])
    said = result.latency
    times = {name: _us(getattr(said, f"{name}_ms"), name) for name in _NAMES}
    inference = LatencySummary(
        count=_count(said.num_runs, "num_runs"),
        resolution_us=RESOLUTION_US,
        min_us=times["min"],
        max_us=times["max"],
        avg_us=times["avg"],
        std_us=times["std"],
        median_us=times["median"],
        p5_us=times["p5"],
        p95_us=times["p95"],
    )
    if inference.count == 0:
        fail(TOOL, "no inference was run")
    run = BenchmarkRun(
        inference=checked(TOOL, inference),
        init_us=times["init"],
        first_inference_us=times["warmup_first"],
        threads=_count(result.num_threads, "num_threads") or None,
        requested=tuple(name.lower()[:40] for name in result.accelerators[:10]),
        fully_accelerated=result.fully_accelerated,
    )
    if warmups := _count(said.num_warmup_runs, "num_warmup_runs"):
        warmup = LatencySummary(
            count=warmups,
            resolution_us=RESOLUTION_US,
            first_us=times["warmup_first"],
            avg_us=times["warmup_avg"],
        )
        run = structs.replace(run, warmup=warmup)
    return run


_NAMES: Final = ("init", "warmup_first", "warmup_avg", "avg", "min", "max", "median", "std", "p5", "p95")


def _us(value: float | None, name: str) -> float | None:
    if value is None:
        return None
    if not 0 <= value <= MAX_VALUE:
        fail(TOOL, f"{name} is {value:g} ms")
    return round(value * 1000, 3) or None


def _count(value: int | None, name: str) -> int | None:
    if value is not None and not 0 <= value <= MAX_COUNT:
        fail(TOOL, f"{name} is {str(value)[:30]}")
    return value
