"""Text of TensorRT's `trtexec`: its performance summary, and what it says that it ran on.

Form: NVIDIA/TensorRT samples/common/sampleReporting.cpp, sampleOptions.cpp. Each line has a prefix with time and
severity. Its times are in milliseconds, per query. "Latency" is the way in, the computation and the way out together;
older versions have an "End-to-End Host Latency" too, with waiting in it, which is left out here. Percentiles are
those asked for: by default 99 in older versions, 90, 95 and 99 in newer ones. The output is whole when it ends with `&&&& PASSED`.
"""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

from edgekit.parse import fail, lines_of, whole_number
from edgekit.parse.benchmark_run import LatencySummary, checked, decimal, time_us

TOOL: Final = "trtexec"
RESOLUTION_US: Final = 0.001
_PREFIX: Final = re.compile(r"\[\d\d/\d\d/\d{4}-\d\d:\d\d:\d\d\] \[[VIWEF]\] ?", re.ASCII)
_BANNER: Final = re.compile(
    r"&&&& (RUNNING|PASSED|FAILED|WAIVED) TensorRT\.trtexec \[TensorRT v(\d{4,6})\].*", re.ASCII
)
_PROLOG: Final = re.compile(r"(Warmup completed|Timing trace has) (\d{1,9}) queries over \S+ m?s", re.ASCII)
_STAGES: Final = {
    "Latency": "latency",
    "Enqueue Time": "enqueue",
    "H2D Latency": "h2d",
    "GPU Compute Time": "compute",
    "D2H Latency": "d2h",
}
_PART: Final = re.compile(
    r"(min|max|mean|median|percentile\((\d{1,3}(?:\.\d{1,6})?)%\)) = (\S{1,40}) ms", re.ASCII
)
_PERCENTILES: Final = {90.0: "p90_us", 95.0: "p95_us", 99.0: "p99_us"}


class Trtexec(Struct, frozen=True, kw_only=True):
    """One run. `queries` were timed, after `warmups` that were not; None where the output does not tell.

    `selected_device` is the name of the GPU; `dla_core` the DLA that was asked for, `gpu_fallback` whether layers
    that it cannot run were allowed to go to the GPU.
    """

    version: str
    latency: LatencySummary
    compute: LatencySummary | None = None
    enqueue: LatencySummary | None = None
    h2d: LatencySummary | None = None
    d2h: LatencySummary | None = None
    queries: int | None = None
    warmups: int | None = None
    throughput_qps: float | None = None
    selected_device: str | None = None
    dla_core: int | None = None
    gpu_fallback: bool | None = None
    streams: int | None = None
    warnings: tuple[str, ...] = ()


def parse_trtexec(text: str) -> Trtexec:
    """Raises ParseError where the run failed, was cut short, or its summary is not whole."""
    facts: dict[str, tuple[int, str]] = {}
    stages: dict[str, tuple[int, str]] = {}
    counts: dict[str, int] = {}
    warnings: list[str] = []
    versions: dict[str, str] = {}
    for number, raw in enumerate(lines_of(TOOL, text), start=1):
        match = _PREFIX.match(raw)
        line = (raw[match.end() :] if match else raw).strip()
        if banner := _BANNER.fullmatch(line):
            if banner[1] in versions:
                fail(TOOL, "more than one run", number)
            versions[banner[1]] = banner[2]
        elif prolog := _PROLOG.fullmatch(line):
            counts[prolog[1]] = int(prolog[2])
        elif line.startswith("* ") and match:
            warnings.append(line[2:300])
        else:
            key, colon, value = line.partition(": ")
            place = stages if key in _STAGES and value.startswith("min = ") else facts
            if colon and (place is stages or key in _FACTS):
                if key in place:
                    fail(TOOL, f"{key} twice", number)
                place[key] = (number, value.strip())
    version = _version(versions)
    if "Latency" not in stages:
        fail(TOOL, "it has no performance summary")
    queries = counts.get("Timing trace has")
    dla_core, fallback = _dla(facts)
    read = {_STAGES[key]: _stage(key, line, value, queries) for key, (line, value) in stages.items()}
    return Trtexec(
        version=version,
        latency=read["latency"],
        compute=read.get("compute"),
        enqueue=read.get("enqueue"),
        h2d=read.get("h2d"),
        d2h=read.get("d2h"),
        queries=queries,
        warmups=counts.get("Warmup completed"),
        throughput_qps=_throughput(facts),
        selected_device=facts["Selected Device"][1][:100] if "Selected Device" in facts else None,
        dla_core=dla_core,
        gpu_fallback=_enabled(facts, "Allow GPU fallback for DLA") if fallback is None else fallback,
        streams=_integer(facts, "Inference Streams"),
        warnings=tuple(warnings),
    )


_FACTS: Final = (
    "Throughput",
    "Selected Device",
    "DLACore",
    "Allow GPU fallback for DLA",
    "Inference Streams",
)


def _version(said: dict[str, str]) -> str:
    """8502 is 8.5.2; from 10 on two digits each: 100900 is 10.9.0."""
    if "FAILED" in said or "WAIVED" in said:
        fail(TOOL, "the run failed")
    if "PASSED" not in said:
        fail(TOOL, "it is cut short: nothing says that the run passed")
    digits = int(said["PASSED"])
    unit = 1000 if digits < 10_000 else 10_000
    return f"{digits // unit}.{digits % unit // 100}.{digits % 100}"


def _stage(key: str, line: int, text: str, queries: int | None) -> LatencySummary:
    values: dict[str, float | None] = {}
    for part in text.split(", "):
        match = _PART.fullmatch(part)
        if match is None:
            fail(TOOL, f"'{part[:40]}' in {key}", line)
        name = _PERCENTILES.get(float(match[2])) if match[2] else f"{match[1]}_us"
        if name is None:
            continue  # a percentile that somebody asked for and nobody here has a field for
        if name in values:
            fail(TOOL, f"{match[1]} twice in {key}", line)
        values[name] = time_us(TOOL, match[3], 1000.0, line)
    if not {"min_us", "max_us", "mean_us", "median_us"} <= values.keys():
        fail(TOOL, f"{key} is cut short", line)
    summary = LatencySummary(
        count=queries,
        resolution_us=RESOLUTION_US,
        min_us=values["min_us"],
        max_us=values["max_us"],
        avg_us=values["mean_us"],
        median_us=values["median_us"],
        p90_us=values.get("p90_us"),
        p95_us=values.get("p95_us"),
        p99_us=values.get("p99_us"),
    )
    return checked(TOOL, summary, line)


def _throughput(facts: dict[str, tuple[int, str]]) -> float | None:
    if "Throughput" not in facts:
        return None
    line, text = facts["Throughput"]
    value, _, unit = text.partition(" ")
    if unit != "qps":
        fail(TOOL, f"'{text[:40]}' as throughput", line)
    return decimal(TOOL, value, line) or None


def _dla(facts: dict[str, tuple[int, str]]) -> tuple[int | None, bool | None]:
    """The core, and True where older versions say behind it that layers may go to the GPU."""
    if "DLACore" not in facts or not facts["DLACore"][1]:
        return None, None
    line, text = facts["DLACore"]
    core, with_fallback, rest = text.partition("(With GPU fallback)")
    if rest:
        fail(TOOL, f"'{text[:40]}' as DLACore", line)
    return whole_number(TOOL, core.strip(), line), True if with_fallback else None


def _integer(facts: dict[str, tuple[int, str]], key: str) -> int | None:
    if key not in facts or not facts[key][1]:
        return None
    line, text = facts[key]
    return whole_number(TOOL, text, line)


def _enabled(facts: dict[str, tuple[int, str]], key: str) -> bool | None:
    if key not in facts:
        return None
    line, text = facts[key]
    if text not in ("Enabled", "Disabled"):
        fail(TOOL, f"'{text[:20]}' as {key}", line)
    return text == "Enabled"
