"""What `trtexec --exportTimes` and `--exportProfile` write: every query's times, and every layer's.

Form: NVIDIA/TensorRT samples/common/sampleReporting.cpp, exportJSONTrace and exportJSONProfile. Milliseconds. In
releases of 2022 the times begin with the warm-up's queries, in newer ones they do not: the text of the same run tells
how many there should be (`timed_queries`). A file cut anywhere is no JSON, so no part of one is ever taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from edgekit.parse import fail
from edgekit.parse.benchmark_run import MAX_VALUE
from edgekit.parse.op_profile import OpProfile, OpRow, op_profile

TIMES: Final = "trtexec --exportTimes"
PROFILE: Final = "trtexec --exportProfile"
MAX_JSON_BYTES: Final = 1 << 28
MAX_LAYERS: Final = 100_000

_Ms = Annotated[float, Meta(ge=0, le=MAX_VALUE)]


class _Query(Struct):
    latency_ms: _Ms = msgspec.field(name="latencyMs")
    compute_ms: _Ms | None = msgspec.field(name="computeMs", default=None)
    start_ms: _Ms | None = msgspec.field(name="startComputeMs", default=None)


class _Layer(Struct):
    """The first one has nothing but `count`, the number of inferences."""

    count: Annotated[int, Meta(ge=0, le=1 << 40)] | None = None
    name: str | None = None
    average_ms: _Ms | None = msgspec.field(name="averageMs", default=None)
    median_ms: _Ms | None = msgspec.field(name="medianMs", default=None)


class Query(Struct, frozen=True, kw_only=True):
    """One query: way in, computation and way out (`latency_us`); the computation alone; when it began to compute."""

    latency_us: float
    compute_us: float | None
    started_us: float | None


def parse_trtexec_times(data: bytes) -> tuple[Query, ...]:
    """All queries in the file, in order. Raises ParseError where it is cut, not JSON, empty, or out of order."""
    try:
        queries = msgspec.json.decode(_whole(TIMES, data), type=list[_Query])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        fail(TIMES, str(error)[:200])
    if not queries:
        fail(TIMES, "it has no queries")
    starts = [query.start_ms for query in queries if query.start_ms is not None]
    if any(later < earlier for earlier, later in pairwise(starts)):
        fail(TIMES, "its queries are not in the order in which they ran")
    return tuple(
        Query(
            latency_us=round(query.latency_ms * 1000, 6),
            compute_us=None if query.compute_ms is None else round(query.compute_ms * 1000, 6),
            started_us=None if query.start_ms is None else round(query.start_ms * 1000, 6),
        )
        for query in queries
    )


def timed_queries(queries: Sequence[Query], timed: int | None, warmups: int | None) -> tuple[Query, ...]:
    """Those after the warm-up, by the counts in the text of the same run.

    Raises ParseError where none were timed, and where the file has another number of queries than the text tells:
    then nobody knows which are the warm-up's.
    """
    if timed is None:
        fail(TIMES, "the text of the run does not tell how many queries were timed")
    if timed < 1 or (warmups or 0) < 0:
        fail(TIMES, f"no queries were timed: the text tells of {timed} after {warmups} of warm-up")
    if len(queries) == timed:
        return tuple(queries)
    if warmups is not None and len(queries) == timed + warmups:
        return tuple(queries[warmups:])
    fail(TIMES, f"{len(queries)} queries, where the text tells of {timed} after {warmups} of warm-up")


def parse_trtexec_profile(data: bytes) -> OpProfile:
    """The layers of the engine as it was built, many of them several of the model's operators fused into one.

    Older versions give no medians. What a layer ran on (GPU, DLA) is not told. Raises ParseError.
    """
    try:
        layers = msgspec.json.decode(_whole(PROFILE, data), type=list[_Layer])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        fail(PROFILE, str(error)[:200])
    if not layers or layers[0].count is None or layers[0].name is not None:
        fail(PROFILE, "it does not begin with the number of inferences")
    if len(layers) > MAX_LAYERS:
        fail(PROFILE, f"{len(layers)} layers")
    rows = []
    for index, layer in enumerate(layers[1:]):
        if layer.name is None or layer.average_ms is None:
            fail(PROFILE, f"layer {index} has no name or no average")
        # a reformatting that turned out to be needless is listed with 0 everywhere: it took no time
        rows.append(
            OpRow(
                op="layer",
                node=layer.name,
                index=index,
                avg_us=round(layer.average_ms * 1000, 6),
                median_us=None if layer.median_ms is None else round(layer.median_ms * 1000, 6),
            )
        )
    return op_profile(rows, runs=layers[0].count or None)


def _whole(tool: str, data: bytes) -> bytes:
    if len(data) > MAX_JSON_BYTES:
        fail(tool, f"it has {len(data)} bytes")
    return data
