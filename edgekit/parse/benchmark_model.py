"""Text of `benchmark_model` in all its generations: TFLite's of 2019, 2020, 2024, with percentiles, and LiteRT's.

Which one it was is told by the output, never by the file's name: LiteRT has a second tool of that name. The first
line of statistics is the warm-up, the second the measurement; an output that ends between the two has no result.
Times are in microseconds, memory in MB of KiB / 1024.

Sources: tensorflow/lite/tools/benchmark/{benchmark_model,benchmark_tflite_model}.cc, the README beside them,
outputs in tensorflow/tensorflow issues 42507, 43541, 73862; LiteRT's litert/tools/benchmark_litert_model.h.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from msgspec import structs

from edgekit.parse import fail, lines_of
from edgekit.parse.benchmark_run import (
    BenchmarkRun,
    Coverage,
    Delegation,
    LatencySummary,
    mib_bytes,
    same,
    time_us,
)
from edgekit.parse.litert_block import is_title, parse_block
from edgekit.parse.stat_line import RESOLUTION_US, parse_stat_line

TOOL: Final = "benchmark_model"
_PREFIX: Final = re.compile(r"(?:(?:INFO|VERBOSE|WARNING|WARN): )?(?:\[[^\]\s]{1,200}:\d{1,6}\] )?", re.ASCII)
_TIMINGS: Final = re.compile(r"(?:Average inference|Inference) timings in us: (.+)", re.ASCII)
_TIMING: Final = {
    "Init": "init",
    "First inference": "first",
    "Warmup": "warmup",
    "Warmup (avg)": "warmup",
    "Inference": "avg",
    "Inference (avg)": "avg",
    "no stats": "avg",
}
_FOOTPRINT: Final = re.compile(
    r"(?:Memory footprint delta from the start of the tool|Peak memory footprint) \(MB\): init=(\S+) overall=(\S+)",
    re.ASCII,
)
_PEAK: Final = re.compile(r"Overall peak memory footprint \(MB\) via periodic monitoring: (\S+)", re.ASCII)
_SESSION: Final = re.compile(r"Initialized session in (\S+?)ms\.?", re.ASCII)
_APPLIED: Final = re.compile(
    r"Explicitly applied (\S{1,60}) delegate, and the model graph will be "
    r"(completely|partially) executed by the delegate(?: w/ (\d{1,9}) delegate kernels)?\.",
    re.ASCII,
)
_NOT_APPLIED: Final = re.compile(
    r"Though (\S{1,60}) delegate is explicitly applied, the model graph will not be executed by the delegate\.",
    re.ASCII,
)
_REPLACING: Final = re.compile(
    r"Replacing (\d{1,9}) out of (\d{1,9}) node\(s\) with delegate \(\S{1,80}\) node, .*", re.ASCII
)
_REQUESTED: Final = re.compile(r"Use (\S{1,40}) ?: \[(?:1|true)\]", re.ASCII | re.IGNORECASE)
_THREADS: Final = re.compile(r"(?:#threads used for CPU inference|Num threads): \[(\d{1,6})\]", re.ASCII)
_UNKNOWN: Final = re.compile(r"Unconsumed cmdline flags: (.{1,1000})")


@dataclass
class _Seen:
    """What the lines said so far."""

    announced: int = 0
    blocks: list[tuple[int, LatencySummary | None]] = field(default_factory=list)
    timings: dict[str, float | None] | None = None
    block: BenchmarkRun | None = None
    facts: dict[str, object] = field(default_factory=dict)
    requested: list[str] = field(default_factory=list)
    delegates: list[Delegation] = field(default_factory=list)


def parse_benchmark_model(text: str) -> BenchmarkRun:
    """Raises ParseError where there is no measurement: cut short, several runs in one text, numbers that disagree."""
    lines = [(number, _stripped(line)) for number, line in enumerate(lines_of(TOOL, text), start=1)]
    seen = _Seen()
    for index, (number, line) in enumerate(lines):
        if line.startswith("Running benchmark for "):
            seen.announced += 1
        elif line.startswith("count="):
            _statistics(seen, number, line)
        elif match := _TIMINGS.fullmatch(line):
            _timings(seen, number, match[1])
        elif is_title(line):
            if seen.block is not None:
                fail(TOOL, "results twice", number)
            seen.block = parse_block(TOOL, lines[index + 1 : index + 60])
        else:
            _fact(seen, number, line)
    return _result(seen)


def _stripped(line: str) -> str:
    """Without the log's prefix; the blank that C++ streams leave at the end goes too."""
    match = _PREFIX.match(line)
    return line[match.end() if match else 0 :].rstrip()


def _statistics(seen: _Seen, number: int, line: str) -> None:
    if len(seen.blocks) >= seen.announced:
        fail(TOOL, "statistics without the line that announces a benchmark", number)
    if len(seen.blocks) == 2 or seen.timings is not None:
        fail(TOOL, "more than one run", number)
    seen.blocks.append((number, parse_stat_line(TOOL, line, number)))


def _timings(seen: _Seen, number: int, text: str) -> None:
    if seen.timings is not None:
        fail(TOOL, "more than one run", number)
    timings: dict[str, float | None] = {}
    for part in text.split(", "):
        key, _, value = part.partition(": ")
        if name := _TIMING.get(key):
            if name in timings:
                fail(TOOL, f"{key[:40]} twice", number)
            timings[name] = time_us(TOOL, value, 1.0, number)
    if "avg" not in timings:
        fail(TOOL, "timings without the average of the inferences", number)
    seen.timings = timings


def _fact(seen: _Seen, number: int, line: str) -> None:
    if match := _FOOTPRINT.fullmatch(line):
        seen.facts["init_footprint_bytes"] = mib_bytes(TOOL, match[1], number)
        seen.facts["overall_footprint_bytes"] = mib_bytes(TOOL, match[2], number)
    elif match := _PEAK.fullmatch(line):
        seen.facts["peak_rss_bytes"] = mib_bytes(TOOL, match[1], number) or None
    elif match := _SESSION.fullmatch(line):
        seen.facts["session_us"] = time_us(TOOL, match[1], 1000.0, number)
    elif match := _APPLIED.fullmatch(line):
        kernels = int(match[3]) if match[3] else None
        coverage: Coverage = "complete" if match[2] == "completely" else "partial"
        seen.delegates.append(Delegation(name=match[1], coverage=coverage, kernels=kernels))
    elif match := _NOT_APPLIED.fullmatch(line):
        seen.delegates.append(Delegation(name=match[1], coverage="none"))
    elif match := _REPLACING.fullmatch(line):
        _replaced(seen, number, int(match[1]), int(match[2]))
    elif match := _REQUESTED.fullmatch(line):
        seen.requested.append(match[1].lower())
    elif match := _THREADS.fullmatch(line):
        seen.facts["threads"] = int(match[1]) or None
    elif match := _UNKNOWN.fullmatch(line):
        seen.facts["unknown_flags"] = match[1].strip()


def _replaced(seen: _Seen, number: int, replaced: int, total: int) -> None:
    if replaced > total:
        fail(TOOL, f"{replaced} of {total} nodes", number)
    before = seen.facts.get("replaced_nodes")
    if not isinstance(before, int) or replaced > before:
        seen.facts["replaced_nodes"], seen.facts["total_nodes"] = replaced, total


def _result(seen: _Seen) -> BenchmarkRun:
    timings = seen.timings or {}
    run = seen.block
    if seen.blocks:
        run = _measured(seen, timings)
    elif seen.announced:
        fail(TOOL, "it ends before anything was measured")
    elif run is None and seen.timings is not None:
        run = BenchmarkRun(
            inference=LatencySummary(count=None, resolution_us=RESOLUTION_US, avg_us=timings.get("avg"))
        )
    if run is None:
        fail(TOOL, "it has no results")
    session_us = seen.facts.pop("session_us", None)
    if seen.block is None:  # TFLite says it again, in whole microseconds
        session_us = None
    facts = {
        **seen.facts,
        "requested": tuple(dict.fromkeys(seen.requested)),
        "delegates": tuple(seen.delegates),
        "init_us": timings.get("init") or session_us or run.init_us,
        "first_inference_us": timings.get("first") or run.first_inference_us,
    }
    return structs.replace(run, **facts)


def _measured(seen: _Seen, timings: dict[str, float | None]) -> BenchmarkRun:
    """Of the two lines of statistics; whatever else the output says of them must agree."""
    if len(seen.blocks) < 2:
        fail(TOOL, "it ends between the warm-up and the measurement")
    (_, warmup), (line, inference) = seen.blocks
    if inference is None:
        fail(TOOL, "no inference was run", line)
    block = seen.block
    said = [
        (timings.get("avg"), inference.avg_us, 0.0),
        (timings.get("warmup"), warmup.avg_us if warmup else None, 0.0),
        (timings.get("first"), warmup.first_us if warmup else None, 0.0),
    ]
    if block is not None:
        said += [(block.inference.avg_us, inference.avg_us, block.inference.resolution_us / 2)]
        said += [(block.inference.count, inference.count, 0.0)]
    for stated, measured, resolution_us in said:
        if not same(stated, measured, resolution_us):
            fail(TOOL, f"statistics say {measured:g} and the summary {stated:g}", line)
    first_us = warmup.first_us if warmup else None
    run = block if block is not None else BenchmarkRun(inference=inference)
    return structs.replace(run, inference=inference, warmup=warmup, first_inference_us=first_us)
