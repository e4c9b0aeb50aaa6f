"""trtexec's summary and its raw times, with the warm-up that some versions leave in them (D1.1)."""

from __future__ import annotations

import pytest

from edgekit.parse import ParseError, trtexec_json
from edgekit.parse.trtexec import parse_trtexec
from edgekit.parse.trtexec_json import Query, parse_trtexec_profile, parse_trtexec_times, timed_queries
from tests.parse.outputs import output

pytestmark = pytest.mark.base


def test_summary_of_8_4() -> None:
    run = parse_trtexec(output("trtexec_84"))
    assert run.version == "8.4.0"
    # "Latency", not the H2D or D2H one
    assert (run.latency.min_us, run.latency.median_us, run.latency.p99_us) == (387.207, 401.947, 420.288)
    assert (run.latency.p90_us, run.queries, run.warmups) == (None, None, None)
    assert run.compute is not None
    assert run.compute.avg_us == 388.221
    assert (run.dla_core, run.gpu_fallback, run.selected_device) == (None, None, None)


def test_summary_of_10() -> None:
    run = parse_trtexec(output("trtexec_10"))
    assert (run.version, run.queries, run.warmups, run.latency.count) == ("10.9.0", 391, 3, 391)
    assert (run.latency.p90_us, run.latency.p95_us, run.latency.p99_us) == (10299.6, 10869.8, 12967.5)
    assert (run.selected_device, run.dla_core, run.gpu_fallback, run.streams) == ("Orin", 0, False, 1)
    assert run.throughput_qps == 130.298
    assert run.warnings[0].startswith("Throughput may be bound by Enqueue Time")


def test_dla_with_fallback_as_older_versions_say_it() -> None:
    run = parse_trtexec(output("trtexec_84").replace("DLACore: ", "DLACore: 1(With GPU fallback)"))
    assert (run.dla_core, run.gpu_fallback) == (1, True)


def test_no_transfers_are_unknown_not_zero() -> None:
    text = output("trtexec_10")
    line = next(line for line in text.splitlines() if "] H2D Latency" in line)
    zeros = "H2D Latency: min = 0 ms, max = 0 ms, mean = 0 ms, median = 0 ms, percentile(99%) = 0 ms"
    run = parse_trtexec(text.replace(line, zeros))
    assert run.h2d is not None
    assert run.h2d.avg_us is None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("&&&& PASSED", "&&&& FAILED"),
        ("&&&& PASSED", "PASSED"),
        ("] Latency: min", "] latency: min"),
        ("median = 7.16092 ms, ", ""),
        ("median = 7.16092 ms", "median = 7.16092 s"),
        ("median = 7.16092 ms", "median = 14 ms"),
        ("median = 7.16092 ms", "median = -1 ms"),
        ("max = 13.3664 ms", "max = 1.3664 ms"),
        ("Throughput: 130.298 qps", "Throughput: many qps"),
        ("DLACore: 0", "DLACore: zero"),
        ("fallback for DLA: Disabled", "fallback for DLA: perhaps"),
        ("] Throughput:", "] Latency: min = 1 ms\n[10/03/2024-10:47:59] [I] Throughput:"),
    ],
)
def test_a_summary_that_is_not_whole(old: str, new: str) -> None:
    text = output("trtexec_10")
    assert old in text
    with pytest.raises(ParseError):
        parse_trtexec(text.replace(old, new, 1))


def test_times_are_every_query() -> None:
    queries = parse_trtexec_times(output("trtexec_times").encode())
    assert [query.latency_us for query in queries] == [7153.84, 10204.3, 7204.71]
    assert queries[0].compute_us == 7141.39


def test_times_with_the_warm_up_of_older_versions_in_them() -> None:
    queries = parse_trtexec_times(output("trtexec_times").encode())
    assert timed_queries(queries, 3, 7) == queries
    assert timed_queries(queries, 1, 2) == queries[2:]
    for timed, warmups in ((2, 2), (2, None), (None, 1), (4, 0), (0, 3), (-1, 4), (5, -2)):
        with pytest.raises(ParseError):
            timed_queries(queries, timed, warmups)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"[{}]",
        b'[{"latencyMs": "1"}]',
        b'[{"latencyMs": -1}]',
        b'[{"latencyMs": inf}]',
        b'[{"latencyMs": 1e200}]',
        b'[{"latencyMs": 1, "startComputeMs": 2}, {"latencyMs": 1, "startComputeMs": 1}]',
        output("trtexec_times").encode()[:-3],
        b"[" * 100_000,
    ],
)
def test_times_that_cannot_be(data: bytes) -> None:
    with pytest.raises(ParseError):
        parse_trtexec_times(data)


def test_times_that_a_query_does_not_have_are_unknown() -> None:
    """D1.1: not 0. Several streams may begin to compute at one moment; a ns of a double is rounded away."""
    data = b"""[{"latencyMs": 1.0000000004, "computeMs": 0.9000000004, "startComputeMs": 7.1234000004},
        {"latencyMs": 2}, {"latencyMs": 3, "startComputeMs": 7.1234000004}]"""
    assert parse_trtexec_times(data) == (
        Query(latency_us=1000.0, compute_us=900.0, started_us=7123.4),
        Query(latency_us=2000.0, compute_us=None, started_us=None),
        Query(latency_us=3000.0, compute_us=None, started_us=7123.4),
    )


def test_files_as_large_as_they_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """D2-b1: one byte or one layer more is refused, with the tool and the number."""
    times, profile = (output(name).encode() for name in ("trtexec_times", "trtexec_profile"))
    for parse, data, tool in (
        (parse_trtexec_times, times, "trtexec --exportTimes"),
        (parse_trtexec_profile, profile, "trtexec --exportProfile"),
    ):
        monkeypatch.setattr(trtexec_json, "MAX_JSON_BYTES", len(data))
        assert parse(data)
        with pytest.raises(ParseError) as caught:
            parse(data + b" ")
        assert (caught.value.tool, caught.value.problem) == (tool, f"it has {len(data) + 1} bytes")
    # what counts the inferences is in the list, too
    monkeypatch.setattr(trtexec_json, "MAX_LAYERS", 4)
    assert len(parse_trtexec_profile(profile).rows) == 3
    monkeypatch.setattr(trtexec_json, "MAX_LAYERS", 3)
    with pytest.raises(ParseError) as caught:
        parse_trtexec_profile(profile)
    assert (caught.value.tool, caught.value.problem) == ("trtexec --exportProfile", "4 layers")
