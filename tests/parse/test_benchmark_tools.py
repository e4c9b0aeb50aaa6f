"""What benchmark tools print, read right: every generation, and the traps of each (D1.1)."""

from __future__ import annotations

import struct

import pytest

from edgekit.parse import ParseError
from edgekit.parse.benchmark_logcat import parse_benchmark_logcat
from edgekit.parse.benchmark_model import parse_benchmark_model
from edgekit.parse.benchmark_result import parse_benchmark_result
from edgekit.parse.benchmark_run import Delegation, LatencySummary
from edgekit.parse.litert_benchmark import parse_litert_benchmark, parse_litert_benchmark_json
from edgekit.parse.stat_line import parse_stat_line
from tests.parse.outputs import output
from tests.parse.results import result_file

pytestmark = pytest.mark.base


def test_litert_benchmark() -> None:
    run = parse_litert_benchmark(output("litert_benchmark"))
    assert run.inference == LatencySummary(
        count=50,
        resolution_us=10.0,
        min_us=400.0,
        max_us=4670.0,
        avg_us=940.0,
        std_us=1330.0,
        median_us=440.0,
        p5_us=410.0,
        p95_us=4620.0,
    )
    assert run.warmup is not None
    assert (run.warmup.count, run.warmup.first_us, run.warmup.avg_us) == (5, 640.0, 500.0)
    assert (run.init_us, run.first_inference_us, run.fully_accelerated) == (11570.0, 640.0, True)


def test_litert_benchmark_of_a_model_too_fast_for_it_says_unknown_not_zero() -> None:
    run = parse_litert_benchmark(output("litert_benchmark_small"))
    assert run.inference.std_us is None
    assert run.inference.median_us == 20.0
    nothing = output("litert_benchmark_small").replace("0.02 ms", "0.00 ms").replace("0.03 ms", "0.00 ms")
    assert parse_litert_benchmark(nothing).inference.avg_us is None


def test_litert_benchmark_json_says_the_same_as_its_text() -> None:
    text = parse_litert_benchmark(output("litert_benchmark"))
    json = parse_litert_benchmark_json(output("litert_benchmark_json").encode())
    assert json.inference == text.inference
    assert json.warmup == text.warmup
    assert (json.init_us, json.fully_accelerated) == (text.init_us, text.fully_accelerated)
    assert (json.requested, json.threads) == (("cpu",), 1)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"{}",
        b"[" * 100_000,
        b'{"latency": {"avg_ms": NaN, "num_runs": 1}}',
        b'{"latency": {"avg_ms": 1e999, "num_runs": 1}}',
        b'{"latency": {"avg_ms": -1, "num_runs": 1}}',
        b'{"latency": {"avg_ms": 1, "num_runs": 0}}',
        b'{"latency": {"avg_ms": 1, "num_runs": 99999999999999999999}}',
        b'{"latency": {"avg_ms": 1, "num_runs": 2, "min_ms": 3, "max_ms": 2}}',
        b'{"latency": {"avg_ms": 5, "num_runs": 2, "min_ms": 1, "max_ms": 2}}',
        b'{"latency": {"avg_ms": "1", "num_runs": 2}}',
        b"\xff\xfe",
        b" " * (1 << 21),
    ],
)
def test_litert_benchmark_json_that_cannot_be(data: bytes) -> None:
    with pytest.raises(ParseError):
        parse_litert_benchmark_json(data)


@pytest.mark.parametrize(
    ("name", "count", "avg_us", "min_us", "warmups", "first_us", "init_us"),
    [
        ("benchmark_model_2019", 50, 66767.6, 66104, 7, 79215, 9933),
        ("benchmark_model_2020", 50, 33209.4, 32641, 15, 49060, 855),
        ("benchmark_model_2024", 74, 13520.2, 13105, 37, 14744, 12750),
        ("benchmark_model_percentiles", 50, 115246, 111842, 5, 125113, 1361236),
        ("benchmark_model_nnapi", 260, 3756.87, 3700, 1, 11403859, 13386),
        ("benchmark_model_gpu_peak", 1694, 35134.9, 30394, 13, 115098, 842225),
        ("benchmark_model_litert", 1000, 1379.64, 1362, 358, 1927, 4488),
        ("benchmark_model_litert_readme", 252, 3980, 3100, 121, 8530, 12610),
    ],
)
def test_benchmark_model_takes_the_second_block_as_the_measurement(
    name: str, count: int, avg_us: float, min_us: float, warmups: int, first_us: float, init_us: float
) -> None:
    run = parse_benchmark_model(output(name))
    assert (run.inference.count, run.inference.avg_us, run.inference.min_us) == (count, avg_us, min_us)
    assert run.warmup is not None
    assert (run.warmup.count, run.first_inference_us, run.init_us) == (warmups, first_us, init_us)


@pytest.mark.parametrize("label", ["Inference", "no stats"])
def test_benchmark_model_of_2019_with_either_label(label: str) -> None:
    text = output("benchmark_model_2019").replace("no stats: ", f"{label}: ")
    assert parse_benchmark_model(text).inference.avg_us == 66767.6
    with pytest.raises(ParseError):  # another label says nothing of what was measured
        parse_benchmark_model(text.replace(f"{label}: ", "with stats: "))


def test_benchmark_model_percentiles_where_the_build_has_them() -> None:
    with_them = parse_benchmark_model(output("benchmark_model_percentiles")).inference
    assert (with_them.p5_us, with_them.median_us, with_them.p95_us) == (112107, 115350, 116620)
    assert parse_benchmark_model(output("benchmark_model_2024")).inference.median_us is None


def test_benchmark_model_delegates_and_what_became_of_them() -> None:
    gpu = parse_benchmark_model(output("benchmark_model_percentiles"))
    assert gpu.requested == ("gpu",)
    assert gpu.delegates == (Delegation(name="GPU", coverage="complete"),)
    text = output("benchmark_model_percentiles")
    completely = (
        "Explicitly applied GPU delegate, and the model graph will be completely executed by the delegate."
    )
    refused = (
        "Though GPU delegate is explicitly applied, the model graph will not be executed by the delegate."
    )
    assert parse_benchmark_model(text.replace(completely, refused)).delegates == (
        Delegation(name="GPU", coverage="none"),
    )
    peak = parse_benchmark_model(output("benchmark_model_gpu_peak"))
    assert (peak.replaced_nodes, peak.total_nodes) == (58, 58)


def test_benchmark_model_memory() -> None:
    assert parse_benchmark_model(output("benchmark_model_2024")).overall_footprint_bytes == round(
        18.7227 * 2**20
    )
    assert parse_benchmark_model(output("benchmark_model_gpu_peak")).peak_rss_bytes == round(74.6641 * 2**20)
    litert = parse_benchmark_model(output("benchmark_model_litert"))
    assert (litert.init_footprint_bytes, litert.peak_rss_bytes) == (round(9.07 * 2**20), None)
    assert parse_benchmark_model(output("benchmark_model_2019")).overall_footprint_bytes is None


def test_benchmark_model_says_which_flags_it_did_not_know() -> None:
    text = "WARN: Unconsumed cmdline flags: --use_gpu2=true\n" + output("benchmark_model_2024")
    assert parse_benchmark_model(text).unknown_flags == "--use_gpu2=true"


def test_benchmark_model_killed_between_warm_up_and_measurement_has_no_result() -> None:
    text = output("benchmark_model_2024")
    for end in ("INFO: Running benchmark for at least 50", "INFO: count=74"):
        with pytest.raises(ParseError, match="between the warm-up and the measurement"):
            parse_benchmark_model(text[: text.index(end)])


def test_benchmark_model_killed_after_the_measurement_has_it() -> None:
    text = output("benchmark_model_2024")
    run = parse_benchmark_model(text[: text.index("\nINFO: Inference timings")])
    assert (run.inference.avg_us, run.init_us) == (13520.2, None)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Inference (avg): 13520.2", "Inference (avg): 13764.3"),
        ("Warmup (avg): 13764.3", "Warmup (avg): 13520.2"),
        ("Inference (avg): 13520.2", "Inference (avg): 13520.7"),
        ("First inference: 14744", "First inference: 14745"),
        ("count=74", "count=0"),
        ("count=74", "count=1e3"),
        ("count=74", "count=-74"),
        ("min=13105", "min=15800"),
        ("avg=13520.2", "avg=13520.2 avg=13520.2"),
        ("avg=13520.2", "avg=99999999999999999999"),
        ("std=470", "std=-470"),
        ("std=470", "sd=470"),
        ("INFO: Running benchmark for at least 50", "INFO: running benchmark for at least 50"),
        ("\nINFO: Inference timings", "\nINFO: count=74 curr=1\nINFO: Inference timings"),
    ],
)
def test_benchmark_model_with_numbers_that_disagree_or_in_the_wrong_order(old: str, new: str) -> None:
    text = output("benchmark_model_2024")
    assert old in text
    with pytest.raises(ParseError):
        parse_benchmark_model(text.replace(old, new))


def test_benchmark_model_runs_twice_in_one_text_are_not_one_run() -> None:
    with pytest.raises(ParseError):
        parse_benchmark_model(output("benchmark_model_2024") * 2)


def test_nan_is_unknown() -> None:
    text = output("benchmark_model_2024").replace("std=470", "std=-nan")
    assert parse_benchmark_model(text).inference.std_us is None


@pytest.mark.parametrize(
    ("text", "summary"),
    [
        ("count=0", None),
        (
            "count=1 curr=5",
            LatencySummary(count=1, resolution_us=1, first_us=5, min_us=5, max_us=5, avg_us=5),
        ),
        (
            "count=9 curr=5(all same)",
            LatencySummary(count=9, resolution_us=1, first_us=5, min_us=5, max_us=5, avg_us=5),
        ),
        (
            "count=9 curr=5(all same) p5=5 median=5 p95=5",
            LatencySummary(
                count=9,
                resolution_us=1,
                first_us=5,
                min_us=5,
                max_us=5,
                avg_us=5,
                p5_us=5,
                median_us=5,
                p95_us=5,
            ),
        ),
        (
            "count=20 first=1400000 curr=1 min=1 max=1400000 avg=1.38e+06 std=3",
            LatencySummary(
                count=20, resolution_us=1, first_us=1.4e6, min_us=1, max_us=1.4e6, avg_us=1.38e6, std_us=3
            ),
        ),
    ],
)
def test_forms_of_the_line_of_statistics(text: str, summary: LatencySummary | None) -> None:
    assert parse_stat_line("t", text) == summary


def test_logcat_of_the_app() -> None:
    run = parse_benchmark_logcat(output("benchmark_logcat"))
    assert (run.init_us, run.first_inference_us, run.inference.avg_us) == (5685, 18535, 14575.2)
    assert run.inference.count == 69  # another app's "count=3" is not the tool's
    assert run.delegates == (Delegation(name="NNAPI", coverage="partial", kernels=44),)


def test_logcat_with_nothing_but_the_documented_line() -> None:
    line = "I/tflite  ( 812): Inference timings in us: Init: 5685, First inference: 18535, Warmup (avg): 14462.3, "
    run = parse_benchmark_logcat(line + "Inference (avg): 14575.2\n")
    assert (run.inference.count, run.inference.avg_us, run.inference.min_us) == (None, 14575.2, None)


def test_logcat_of_two_runs_wants_the_process_named() -> None:
    first = output("benchmark_logcat")
    second = first.replace(" 3380  3380 ", " 4711  4711 ").replace("14575.2", "15000")
    with pytest.raises(ParseError, match="2 processes"):
        parse_benchmark_logcat(first + second)
    assert parse_benchmark_logcat(first + second, pid=4711).inference.avg_us == 15000
    with pytest.raises(ParseError, match="no finished run"):
        parse_benchmark_logcat(first, pid=1)


def test_result_file() -> None:
    run = parse_benchmark_result(result_file())
    assert run.inference == LatencySummary(
        count=74,
        resolution_us=1.0,
        avg_us=13520.2,
        min_us=13105.0,
        max_us=15765.0,
        std_us=470.0,
        median_us=13480.0,
        p5_us=13120.0,
        p95_us=14900.0,
    )
    assert run.warmup is not None
    assert (run.warmup.count, run.first_inference_us, run.init_us) == (37, 14744.0, 12750.0)
    assert (run.overall_footprint_bytes, run.peak_rss_bytes) == (19172 * 1024, 30 << 20)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x08",
        b"\x00\x00",
        b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x12\x05\x0d",  # a message longer than the file
        b"\x0b\x0c",  # a group
        b"\x12\x00",  # latency without an average
        b"\x12\x02\x08\x01",  # an average that is no float
        b"\x12\x05\x0d" + struct.pack("<f", -1.0),
        b"\x12\x05\x0d" + struct.pack("<f", 3e38),
        result_file() + result_file(),
        b"\x12\x0a\x0d" + struct.pack("<f", 5.0) + b"\x15" + struct.pack("<f", 9.0) + b"\x0a",
        b"\x0a" + b"\x80" * 20,
        b"\0" * 70_000,
    ],
)
def test_result_file_that_cannot_be(data: bytes) -> None:
    with pytest.raises(ParseError):
        parse_benchmark_result(data)


def test_result_file_with_a_nan_is_unknown_there() -> None:
    data = b"\x12\x05\x0d" + struct.pack("<f", float("nan"))
    assert parse_benchmark_result(data).inference.avg_us is None
