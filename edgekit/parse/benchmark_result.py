"""The file of `benchmark_model --result_file_path`: one BenchmarkResult, protobuf. Builds since 2025 write it.

Field numbers: tensorflow/lite/tools/benchmark/proto/benchmark_result.proto. Milliseconds as float32 (seven digits),
footprints in KiB, peak and model size in MB of 1024 KiB. Averages have more digits here than in the tool's text.
"""

from __future__ import annotations

from typing import Final

from edgekit.parse import fail
from edgekit.parse.benchmark_run import MAX_COUNT, MAX_VALUE, BenchmarkRun, LatencySummary, checked
from edgekit.parse.protobuf import Fields, float32_of, int64_of, message_of, read_fields

TOOL: Final = "benchmark_model's result file"
RESOLUTION_US: Final = 1.0
_LATENCY, _MEMORY, _MISC = 2, 3, 4
_MAX_KIB: Final = 1 << 40


def parse_benchmark_result(data: bytes) -> BenchmarkRun:
    """Raises ParseError where it is cut in a field, no such message, has no average, or its numbers cannot be."""
    if not data:
        fail(TOOL, "it is empty")
    fields = read_fields(TOOL, data)
    latency, memory, misc = (message_of(TOOL, fields, number) for number in (_LATENCY, _MEMORY, _MISC))
    if latency is None or 1 not in latency:
        fail(TOOL, "it has no average of the inferences")
    runs = _count(misc, 2)
    warmups = _count(misc, 3)
    first_us = _us(latency, 9)
    inference = LatencySummary(
        count=runs,
        resolution_us=RESOLUTION_US,
        avg_us=_us(latency, 1),
        min_us=_us(latency, 2),
        max_us=_us(latency, 3),
        std_us=_us(latency, 4),
        median_us=_us(latency, 5),
        p5_us=_us(latency, 6),
        p95_us=_us(latency, 7),
    )
    warmup = LatencySummary(
        count=warmups, resolution_us=RESOLUTION_US, first_us=first_us, avg_us=_us(latency, 10)
    )
    return BenchmarkRun(
        inference=checked(TOOL, inference),
        warmup=warmup if warmups else None,
        init_us=_us(latency, 8),
        first_inference_us=first_us,
        init_footprint_bytes=_kib(memory, 1),
        overall_footprint_bytes=_kib(memory, 2),
        peak_rss_bytes=_mib(memory, 3),
    )


def _us(fields: Fields, number: int) -> float | None:
    """Milliseconds to microseconds; 0 is "not told"."""
    value = float32_of(TOOL, fields, number)
    if value is not None and not 0 <= value <= MAX_VALUE:
        fail(TOOL, f"field {number} is {value:g} ms")
    # seven digits are what a float32 has; the others would be noise of the conversion
    return float(f"{value * 1000:.7g}") or None if value is not None else None


def _count(fields: Fields | None, number: int) -> int | None:
    value = int64_of(TOOL, fields, number)
    if value is not None and not 0 <= value <= MAX_COUNT:
        fail(TOOL, f"a count of {value}")
    return value or None


def _kib(fields: Fields | None, number: int) -> int | None:
    value = int64_of(TOOL, fields, number)
    if value is not None and not -1 <= value <= _MAX_KIB:
        fail(TOOL, f"a footprint of {value} KiB")
    # the tool's own word for "not supported here" is -1 (tflite/profiling/memory_info.h)
    return None if value is None or value < 0 else value * 1024


def _mib(fields: Fields | None, number: int) -> int | None:
    value = float32_of(TOOL, fields, number)
    return round(value * (1 << 20)) if value is not None and 0 < value <= _MAX_KIB else None
