"""Parsers at their bounds, where a change of one digit or one comparison would show (D2-b1)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from edgekit.parse import (
    ParseError,
    benchmark_ops,
    key_values,
    litert_benchmark,
    litert_profile,
    onnxruntime_profile,
    protobuf,
)
from edgekit.parse.benchmark_model import parse_benchmark_model
from edgekit.parse.benchmark_ops import parse_op_profile
from edgekit.parse.benchmark_result import parse_benchmark_result
from edgekit.parse.benchmark_run import LatencySummary, checked, decimal, time_us
from edgekit.parse.dumpsys_battery import parse_dumpsys_battery
from edgekit.parse.dumpsys_power import parse_dumpsys_power
from edgekit.parse.dumpsys_thermalservice import parse_dumpsys_thermalservice
from edgekit.parse.litert_benchmark import parse_litert_benchmark, parse_litert_benchmark_json
from edgekit.parse.litert_profile import parse_litert_profile
from edgekit.parse.meter_stream import layout_of, read_line
from edgekit.parse.onnxruntime_profile import parse_onnxruntime_profile
from edgekit.parse.os_release import parse_os_release
from edgekit.parse.power_stats import parse_power_stats
from edgekit.parse.proc_stat import parse_proc_stat
from edgekit.parse.stat_line import parse_stat_line
from edgekit.parse.sysfs_cpufreq import parse_word
from edgekit.parse.sysfs_power import parse_reading
from edgekit.parse.sysfs_thermal import parse_temp
from edgekit.parse.trtexec_json import Query, timed_queries
from edgekit.parse.uname import abi_of
from edgekit.parse.vcgencmd import parse_get_throttled, parse_measure_temp, parse_measure_volts
from edgekit.parse.vmstat import parse_swapped_pages
from tests.parse.outputs import output
from tests.parse.results import _float, _message, _varint

pytestmark = pytest.mark.base


def refusal(parse: Any, *arguments: Any) -> tuple[str, int | None, str]:
    with pytest.raises(ParseError) as caught:
        parse(*arguments)
    return caught.value.tool, caught.value.line, caught.value.problem


def test_numbers_and_lines() -> None:
    assert parse_reading("1" * 18 + "\n") == int("1" * 18)
    assert list(key_values("t", "a: b: c\nno\n")) == [(1, "a", "b: c")]
    assert ParseError("t", "p", hint="try again").hint == "try again"
    assert decimal("t", "1e+15") == 1e15
    assert time_us("t", "0.00000041", 1000.0) == 0.00041
    assert time_us("t", "0.00012345678", 1000.0) == 0.123457


def test_statistics_that_are_just_possible() -> None:
    edge = {"count": 2, "resolution_us": 1.0, "min_us": 100.0, "max_us": 99.0}
    assert checked("t", LatencySummary(**edge)).max_us == 99.0
    near = {"count": 2, "resolution_us": 0.0, "min_us": 100.0, "max_us": 200.0}
    for value, fine in ((99.9990001, True), (99.998, False), (200.00200002, True), (200.0021, False)):
        if fine:
            assert checked("t", LatencySummary(**near, avg_us=value)).avg_us == value
        else:
            assert "avg of" in refusal(checked, "t", LatencySummary(**near, avg_us=value))[2]


def test_benchmark_model_more() -> None:
    text = output("benchmark_model_2024")
    replacing = "INFO: Replacing {} out of 9 node(s) with delegate (X) node, yielding 1 partitions.\n"
    many = parse_benchmark_model("".join(replacing.format(n) for n in (5, 3, 5)) + text)
    assert (many.replaced_nodes, many.total_nodes) == (5, 9)
    assert parse_benchmark_model("".join(replacing.format(n) for n in (3, 5)) + text).replaced_nodes == 5
    idle = text.replace("count=37 first=14744 curr=15520 min=13164 max=18295 avg=13764.3 std=967", "count=0")
    run = parse_benchmark_model(idle)
    assert (run.warmup, run.first_inference_us, run.inference.count) == (None, 14744.0, 74)
    alone = parse_benchmark_model("Inference timings in us: Init: 7, First inference: 9, Inference: 5\n")
    assert (alone.inference.resolution_us, alone.inference.avg_us, alone.init_us) == (1.0, 5.0, 7.0)
    assert (alone.first_inference_us, alone.inference.count) == (9.0, None)
    third = "INFO: Running benchmark for at least 1\nINFO: count=1 curr=2\n"
    place = text.index("INFO: Inference timings")
    assert refusal(parse_benchmark_model, text[:place] + third + text[place:]) == (
        "benchmark_model",
        16,
        "more than one run",
    )
    assert refusal(parse_benchmark_model, text.replace("init=8.97656", "init=x")) == (
        "benchmark_model",
        17,
        "'x' is not a number",
    )
    peak = "INFO: Overall peak memory footprint (MB) via periodic monitoring: {}\n"
    assert parse_benchmark_model(peak.format("2") + text).peak_rss_bytes == 2 << 20
    assert refusal(parse_benchmark_model, peak.format("x") + text) == (
        "benchmark_model",
        1,
        "'x' is not a number",
    )
    assert (
        parse_benchmark_model(
            text.replace("INFO: count=74", "  \nINFO: count=74").replace("std=470", "std=470  ")
        ).inference.count
        == 74
    )


def test_both_forms_of_results_have_to_agree() -> None:
    text = output("benchmark_model_litert")
    average = "Inference (avg):      {} ms"
    assert (
        parse_benchmark_model(text.replace(average.format("1.38"), average.format("1.384"))).inference.avg_us
        == 1379.64
    )
    wrong = "statistics say 1379.64 and the summary {}"
    assert refusal(parse_benchmark_model, text.replace(average.format("1.38"), average.format("1.39")))[
        2
    ] == wrong.format(1390)
    timings = "INFO: Inference timings in us: Init: 1, Inference (avg): 1400\n"
    assert refusal(parse_benchmark_model, text + timings)[2] == wrong.format(1400)


def test_op_profiles_more(monkeypatch: pytest.MonkeyPatch) -> None:
    text = output("op_profile_csv")
    whole = parse_op_profile(text)
    for prefix in ("INFO: ", "INFO: [./x/y.h:12] "):
        assert parse_op_profile("".join(f"{prefix}{line}\n" for line in text.splitlines())) == whole
    regular = "Operator-wise Profiling Info for Regular Benchmark Runs:"
    assert regular in text
    assert parse_op_profile(text.replace(regular, "Primary graph (name: main)")) == whole
    section = text[text.index(regular) :]
    for title in ("Subgraph (index: 1, name: body)", "Delegate internal: "):
        both = parse_op_profile(text + section.replace(regular, title))
        assert (both.rows, len(both.inner)) == (whole.rows, 2 * len(whole.inner) + len(whole.rows))
    assert (
        parse_op_profile(text.replace(regular, f"{regular}\nSubgraph (index: 1) 3 nodes observed")) == whole
    )
    unknown = parse_op_profile(text.replace("0.052, 0.058", "0.052, nan"))
    assert unknown.rows[1].avg_us is None
    assert parse_op_profile(text.replace("0.052, 0.058", "0.052, 0.0581234567")).rows[1].avg_us == 58.123457
    # the table ends at its blank line; what comes behind is no row
    assert (
        parse_op_profile(
            text.replace("\nNumber of nodes executed: 3", "\nsomething else\n\nNumber of nodes executed: 3")
        )
        == whole
    )
    tabbed = output("op_profile_2018")
    assert parse_op_profile(tabbed.replace("Conv2d_0/Relu6]", "Conv2d_0,Relu6]")).rows[0].node == (
        "MobilenetV1/MobilenetV1/Conv2d_0,Relu6"
    )
    monkeypatch.setattr(benchmark_ops, "MAX_ROWS", 3)
    assert parse_op_profile(text) == whole
    monkeypatch.setattr(benchmark_ops, "MAX_ROWS", 2)
    assert refusal(parse_op_profile, section) == (
        "benchmark_model's operator profile",
        6,
        "more operators than any graph has",
    )
    twice = tabbed.replace("[first]", "[avg ms]", 1)
    assert refusal(parse_op_profile, twice)[2] == "the table's titles are not known"


def result(latency: bytes, memory: bytes = b"", misc: bytes = b"") -> bytes:
    return _message(2, latency) + _message(3, memory) + _message(4, misc)


def signed(number: int, value: int) -> bytes:
    return _varint(number, value & (1 << 64) - 1)


def test_result_files_more() -> None:
    tool = "benchmark_model's result file"
    assert refusal(parse_benchmark_result, b"") == (tool, None, "it is empty")
    none = (tool, None, "it has no average of the inferences")
    assert refusal(parse_benchmark_result, _message(1, b"name")) == none
    assert refusal(parse_benchmark_result, result(_float(2, 1.0))) == none
    assert refusal(parse_benchmark_result, result(_float(1, -1.0))) == (tool, None, "field 1 is -1 ms")
    assert refusal(parse_benchmark_result, result(_float(1, 2e15))) == (tool, None, "field 1 is 2e+15 ms")
    assert refusal(parse_benchmark_result, result(_varint(1, 7))) == (
        tool,
        None,
        "field 1 has the wrong type",
    )
    assert refusal(parse_benchmark_result, result(_float(1, 5.0) + _float(3, 1.0)))[0] == tool
    run = parse_benchmark_result(result(_float(1, 0.0)))
    assert (run.inference.avg_us, run.inference.count, run.warmup, run.peak_rss_bytes) == (
        None,
        None,
        None,
        None,
    )
    small = parse_benchmark_result(
        result(_float(1, 1.23456789), signed(1, -1) + signed(2, 0) + _float(3, 0.5), signed(2, 1))
    )
    assert (small.inference.avg_us, small.inference.count) == (1234.568, 1)
    assert (small.init_footprint_bytes, small.overall_footprint_bytes, small.peak_rss_bytes) == (
        None,
        0,
        1 << 19,
    )
    largest = parse_benchmark_result(
        result(_float(1, 1.0), signed(1, 1 << 40), signed(2, 10**12) + signed(3, 0))
    )
    assert (largest.init_footprint_bytes, largest.inference.count, largest.warmup) == (1 << 50, 10**12, None)
    for memory, misc, problem in (
        (signed(1, -2), b"", "a footprint of -2 KiB"),
        (signed(2, (1 << 40) + 1), b"", "a footprint of 1099511627777 KiB"),
        (b"", signed(2, -1), "a count of -1"),
        (b"", signed(3, 10**12 + 1), "a count of 1000000000001"),
    ):
        assert refusal(parse_benchmark_result, result(_float(1, 1.0), memory, misc)) == (tool, None, problem)
    assert refusal(parse_benchmark_result, result(_float(1, 1.0), _float(1, 1.0))) == (
        tool,
        None,
        "field 1 has the wrong type",
    )
    assert refusal(parse_benchmark_result, result(_float(1, 1.0), _varint(3, 1))) == (
        tool,
        None,
        "field 3 has the wrong type",
    )
    assert parse_benchmark_result(result(_float(1, 1.0), _float(3, 0.0))).peak_rss_bytes is None
    assert parse_benchmark_result(result(_float(1, 1.0), _float(3, 2.0**41))).peak_rss_bytes is None


@pytest.mark.parametrize(
    ("level", "scale", "percent"),
    [
        (0, 100, 0.0),
        (100, 100, 100.0),
        (1, 1, 100.0),
        (101, 100, None),
        (-1, 100, None),
        (0, 0, None),
        (5, -5, None),
    ],
)
def test_battery_levels(level: int, scale: int, percent: float | None) -> None:
    text = (
        output("dumpsys_battery_phone")
        .replace("level: 54", f"level: {level}")
        .replace("scale: 100", f"scale: {scale}")
    )
    assert parse_dumpsys_battery(text).percent == percent


def test_battery_more() -> None:
    text = output("dumpsys_battery_phone")
    for volts, expected in ((1, 1), (100_000, 100_000), (100_001, None), (-3, None)):
        assert (
            parse_dumpsys_battery(text.replace("voltage: 3906", f"voltage: {volts}")).voltage_mv == expected
        )
    for charge, expected in ((1, 1), (0, None), (-1, None)):
        assert parse_dumpsys_battery(text.replace("2848000", str(charge))).charge_counter_uah == expected
    bare = "Current Battery Service state:\n  level: 1\n  scale: 2\n  status: 2\n"
    battery = parse_dumpsys_battery(bare)
    assert (battery.powered, battery.present, battery.voltage_mv, battery.temperature_mc) == (
        None,
        None,
        None,
        None,
    )
    assert battery.charge_counter_uah is None


def test_heat_and_screen_more() -> None:
    text = output("dumpsys_thermalservice_13t")
    odd = text.replace("mValue=57.9, mType=0", "mValue=57.9, mType=99")
    assert parse_dumpsys_thermalservice(odd).temperatures[0].type == "unknown"
    assert parse_dumpsys_thermalservice(text.replace("HAL Ready: true\n", "")).hal_ready is None
    hot = output("dumpsys_thermalservice_hal1").replace("Thermal Status: 0", "Thermal Status: 3")
    assert parse_dumpsys_thermalservice(hot).severity == "severe"
    awake = output("dumpsys_power_awake")
    assert parse_dumpsys_power(awake + "Display Power: state=OFF\n").screen_on is True
    assert parse_dumpsys_power(awake.replace("state=ON", "state=")).screen_on is True
    assert refusal(parse_dumpsys_power, awake.replace("=Awake", "=Awake=x")) == (
        "dumpsys power",
        7,
        "'Awake=x' as mWakefulness",
    )


def test_litert_more() -> None:
    said = json.loads(output("litert_benchmark_json"))

    def run(**latency: Any) -> Any:
        return parse_litert_benchmark_json(
            json.dumps({**said, "latency": {**said["latency"], **latency}}).encode()
        )

    assert run(std_ms=0.94055555).inference.std_us == 940.556
    assert run(std_ms=0).inference.std_us is None
    assert run(init_ms=1e15).init_us == 1e18
    assert run(num_runs=10**12).inference.count == 10**12
    names = [f"X{n}" + "a" * 60 for n in range(12)]
    many = parse_litert_benchmark_json(json.dumps({**said, "accelerators": names}).encode()).requested
    assert many == tuple(name.lower()[:40] for name in names[:10])
    data = output("litert_benchmark_json").encode()
    assert parse_litert_benchmark_json(data + b" " * (litert_benchmark.MAX_JSON_BYTES - len(data)))
    assert refusal(parse_litert_benchmark_json, b" " * (litert_benchmark.MAX_JSON_BYTES + 1)) == (
        "litert-benchmark",
        None,
        "its JSON has 1048577 bytes",
    )
    text = output("litert_benchmark")
    for word, expected in (("False", False), ("1", True), ("0", False), ("TRUE", True)):
        assert (
            parse_litert_benchmark(
                text.replace("accelerated:     True", f"accelerated:     {word}")
            ).fully_accelerated
            is expected
        )
    cold = text.replace("Warmup (avg):          0.50 ms (5 runs)\n", "")
    assert parse_litert_benchmark(cold).warmup is None
    assert (
        refusal(
            parse_litert_benchmark,
            text.replace("Inference (min):       0.40 ms", "Inference (min):       4.90 ms"),
        )[0]
        == "litert-benchmark"
    )
    for name in ("Overall footprint:    11.25 MB", "Init footprint:       9.07 MB"):
        bad = output("benchmark_model_litert").replace(name, name.rsplit(" ", 2)[0] + " x MB")
        tool, line, problem = refusal(parse_benchmark_model, bad)
        assert (tool, line is not None, problem) == ("benchmark_model", True, "'x' is not a number")


def test_litert_profile_more(monkeypatch: pytest.MonkeyPatch) -> None:
    begin, end = [1, 0, 0, 1, "LiteRT::Run[buffer registration]"], [1, 0, 0, 1, "LiteRT::Run[Buffer sync]"]

    def profile(*events: list[Any]) -> bytes:
        run = [begin, *events, end]
        return json.dumps({"schema": "edgekit.litert-profile/1", "events": run + run}).encode()

    found = parse_litert_profile(
        profile(
            [2, 0, 0, 5, "ADD"],
            [8, 0, 0, 3, "Copy"],
            [8, 0, 0, 4, "Copy"],
            [2, 1, 0, 2, "MUL"],
            [2, 1, 0, 2, "MUL"],
        )
    )
    assert [(row.op, row.calls, row.avg_us, row.unit) for row in found.rows] == [
        ("ADD", 1.0, 5.0, "cpu"),
        ("Copy", 1.0, 3.0, "cpu"),
        ("Copy", 1.0, 4.0, "cpu"),
    ]
    assert [(row.op, row.calls, row.avg_us) for row in found.inner] == [("MUL", 2.0, 4.0)]
    assert parse_litert_profile(profile([2, 0, 0, 5, "TfLiteMystery Delegate"])).rows[0].unit is None
    assert parse_litert_profile(profile([8, 0, 0, 5, "some delegate step"])).rows[0].unit == "cpu"
    assert parse_litert_profile(profile([2, 0, 0, 10**15, "ADD"])).rows[0].avg_us == 1e15
    data = profile([2, 0, 0, 5, "ADD"])
    monkeypatch.setattr(litert_profile, "MAX_PROFILE_BYTES", len(data))
    assert parse_litert_profile(data).runs == 1
    assert refusal(parse_litert_profile, data + b" ") == (
        "LiteRT's profile",
        None,
        f"it has {len(data) + 1} bytes",
    )


def test_streams_of_meters_more() -> None:
    meter = "the meter"
    assert refusal(layout_of, "x" * 30 + "yz,b,c,d,e,f,g,h,i,j,k", {}) == (
        meter,
        None,
        "no column of time (t_s, t_ms, ...) among: " + ", ".join(["x" * 30, *"bcdefghij"]),
    )
    assert refusal(layout_of, "t_s,x", {}) == (
        meter,
        None,
        "neither energy nor power, nor current with voltage (energy_j, power_mw, ...) among: t_s, x",
    )
    assert refusal(layout_of, "t_s,t_ms,power_mw", {}) == (meter, None, "two columns of time")
    assert refusal(layout_of, ",".join(["t_s", "power_mw", *["x"] * 199]), {}) == (meter, None, "201 columns")
    layout = layout_of(",".join(["x", '"t_s"', "power_mw", *["x"] * 197]), {})
    assert read_line("0,2,3" + ",0" * 197, layout) == (2e6, 3.0)
    assert refusal(read_line, "0,nan,3" + ",0" * 197, layout) == (meter, None, "a time that is none")
    assert refusal(layout_of, "t_s", {}) == (
        meter,
        None,
        "neither energy nor power, nor current with voltage (energy_j, power_mw, ...) among: t_s",
    )


def test_the_rest() -> None:
    assert parse_proc_stat("cpu 1 2 3 4\n").busy == 6
    assert parse_proc_stat("cpu 1 2 3 4 5\n").busy == 6
    assert (
        refusal(parse_proc_stat, "cpus " + "1 " * 60 + "\n")[2]
        == f"no line of all CPUs: {('cpus ' + '1 ' * 60)[:60]!r}"
    )
    assert parse_word("<unknown>\n") is None
    assert parse_temp("200\n") == 200
    assert parse_temp("199\n") == 199_000
    assert parse_get_throttled("throttled=0xAbCdEf\n").bits == 0xABCDEF
    assert refusal(parse_measure_temp, "temp=٣٩.٥'C\n")[0] == "vcgencmd"
    assert refusal(parse_measure_volts, "volt=٠.٧٢٠٠V\n")[0] == "vcgencmd"
    assert parse_measure_volts("volt=12.0001V\n") == 12_000_100
    assert parse_swapped_pages(f"pswpin {10**19}\npswpout 1\n") == 10**19 + 1
    assert (abi_of("arm64"), abi_of("x86_64", bits=32), abi_of("x86_64", bits=64)) == (
        "arm64-v8a",
        "x86",
        "x86_64",
    )


def test_queries_of_a_run() -> None:
    queries = tuple(Query(latency_us=float(n), compute_us=None, started_us=None) for n in range(5))
    tool = "trtexec --exportTimes"
    assert timed_queries(queries, 5, None) == queries
    assert timed_queries(queries, 5, 0) == queries
    assert timed_queries(queries, 4, 1) == queries[1:]
    assert timed_queries(queries[:1], 1, 0) == queries[:1]
    assert refusal(timed_queries, queries, None, 1) == (
        tool,
        None,
        "the text of the run does not tell how many queries were timed",
    )
    nothing = "no queries were timed: the text tells of {} after {} of warm-up"
    assert refusal(timed_queries, queries, 0, 5) == (tool, None, nothing.format(0, 5))
    assert refusal(timed_queries, queries, 5, -1) == (tool, None, nothing.format(5, -1))
    assert refusal(timed_queries, queries, 3, 1) == (
        tool,
        None,
        "5 queries, where the text tells of 3 after 1 of warm-up",
    )


def test_streams_of_meters_to_the_letter() -> None:
    meter = "the meter"
    comma, semicolon = layout_of("t_s,power_mw,x", {}), layout_of("t_s;power_mw", {})
    assert read_line('"1","2.5",7\r\n', comma) == (1e6, 2.5)
    assert read_line("\t1;2,5\n", semicolon) == (1e6, 2.5)
    assert read_line("1;2.5", semicolon) == (1e6, 2.5)
    long = "9" * 30 + "x"
    for line, layout, problem in (
        ("1", comma, "a line with 1 columns"),
        ("1,2x,3", comma, "'2x' is no number"),
        (f"1,{long},3", comma, f"{long[:20]!r} is no number"),
        ("1,٢,3", comma, "'٢' is no number"),
        (f"1,{'1_' * 20}1,3", comma, f"{('1_' * 20)[:20]!r} is no number"),
        ("1;1.234,5", semicolon, "'1.234,5' is no number"),
    ):
        assert refusal(read_line, line, layout) == (meter, None, problem)
    objects = layout_of('{"t_s": 1, "power_mw": 2}', {})
    assert read_line('{"t_s": 1, "power_mw": "2.5"}', objects) == (1e6, 2.5)
    for text in ('{"t_s": ' + "x" * 60, "[1, 2, 3]" + " " * 60):
        assert refusal(read_line, text, objects) == (meter, None, f"{text.strip()[:40]!r} is no JSON object")
    for value, shown in (
        ("true", "'True'"),
        ("[1, 2, 3, 4, 5, 6, 7, 8, 9]", "'[1, 2, 3, 4, 5, 6, 7'"),
        ('"1,5"', "'1,5'"),
    ):
        found = refusal(read_line, f'{{"t_s": 1, "power_mw": {value}}}', objects)
        assert found == (meter, None, f"{shown} is no number")


def test_wire_format_to_the_byte() -> None:
    assert protobuf.int64_of("t", protobuf.read_fields("t", signed(1, -5)), 1) == -5
    assert protobuf.int64_of("t", protobuf.read_fields("t", signed(1, 2**63 - 1)), 1) == 2**63 - 1
    assert protobuf.int64_of("t", protobuf.read_fields("t", signed(1, -(2**63))), 1) == -(2**63)
    assert protobuf.read_fields("t", b"\x08\x80\x01") == {1: (protobuf.VARINT, 128)}
    assert protobuf.read_fields("t", b"\x08\x81\x01") == {1: (protobuf.VARINT, 129)}
    padding = bytes([1 << 3 | 2]) + b"\xfd\xff\x03" + bytes(65_533)
    whole = padding[: protobuf.MAX_BYTES]
    assert refusal(protobuf.read_fields, "t", padding) == ("t", None, f"a message of {len(padding)} bytes")
    assert (
        refusal(protobuf.read_fields, "t", whole)[2]
        == f"field 1 needs 65533 bytes and {len(whole) - 4} are left"
    )
    fits = bytes([1 << 3 | 2]) + b"\xfc\xff\x03" + bytes(65_532)
    assert len(fits) == protobuf.MAX_BYTES
    assert len(protobuf.read_fields("t", fits)) == 1
    for data, problem in (
        (b"\x0a\x05ab", "field 1 needs 5 bytes and 2 are left"),
        (b"\x0d\x01", "field 1 needs 4 bytes and 1 are left"),
        (b"\x0b", "byte 1 begins no field of a message"),
        (b"\x00\x01", "field 0 out of place"),
        (b"\x08\x01\x08\x02", "field 1 out of place"),
        (b"\x08\x80", "it is cut short in the middle of a number"),
        (b"\x08", "it is cut short in the middle of a number"),
        (b"\x80", "it is cut short in the middle of a number"),
        (b"\x08" + b"\xff" * 9 + b"\x02", "the number at byte 1 has no end"),
        (b"\x08" + b"\xff" * 10 + b"\x01", "the number at byte 1 has no end"),
    ):
        assert refusal(protobuf.read_fields, "t", data) == ("t", None, problem)
    many = b"".join(_varint_key(number) + b"\x01" for number in range(1, 1002))
    assert refusal(protobuf.read_fields, "t", many) == ("t", None, "field 1001 out of place")
    fields = protobuf.read_fields("t", b"\x08\x01")
    for read in (protobuf.message_of, protobuf.float32_of):
        assert refusal(read, "t", fields, 1) == ("t", None, "field 1 has the wrong type")
    inner = protobuf.read_fields("t", b"\x0a\x01\x08")
    assert refusal(protobuf.message_of, "t", inner, 1) == (
        "t",
        None,
        "it is cut short in the middle of a number",
    )
    assert refusal(protobuf.int64_of, "t", inner, 1) == ("t", None, "field 1 has the wrong type")


def _varint_key(number: int) -> bytes:
    key = number << 3
    return bytes([key]) if key < 0x80 else bytes([key & 0x7F | 0x80, key >> 7])


def test_lines_of_statistics_to_the_letter() -> None:
    assert refusal(parse_stat_line, "t", "counts " + "x" * 60, 7) == (
        "t",
        7,
        f"'{('counts ' + 'x' * 60)[:40]}' is no line of statistics",
    )
    same = parse_stat_line("t", "count=5 curr=7(all same)")
    assert same is not None
    assert (same.count, same.first_us, same.min_us, same.max_us, same.avg_us) == (5, 7.0, 7.0, 7.0, 7.0)
    some = parse_stat_line("t", "count=5 curr=7")
    assert some is not None
    assert (some.min_us, some.avg_us) == (None, None)
    assert parse_stat_line("t", "count=0") is None


def test_onnxruntime_profiles_more(monkeypatch: pytest.MonkeyPatch) -> None:
    tool = "ONNX Runtime's profile"
    text = output("onnxruntime_profile")
    assert (
        parse_onnxruntime_profile(text.replace('"node_index" : "0"', '"node_index" : "123456789"').encode())
        .rows[0]
        .index
        == 123456789
    )
    unnumbered = parse_onnxruntime_profile(text.replace('"node_index"', '"number"').encode())
    assert {row.index for row in unnumbered.rows} == {None}
    assert (
        parse_onnxruntime_profile(text.replace('"CPUExecutionProvider"', '"Other"').encode()).rows[0].unit
        is None
    )
    event = '{{"cat":"{}","name":"{}","ts":{},"dur":1,"args":{{"op_name":"A"}}}}'
    stray = f"[{event.format('Node', 'a_kernel_time', 5)},{event.format('Session', 'model_run', 1)}]"
    assert refusal(parse_onnxruntime_profile, stray.encode()) == (
        tool,
        None,
        "an inference ends in which no graph ended",
    )
    graph = event.format("Session", "SequentialExecutor::Execute", 3)
    left = f"[{graph},{event.format('Node', 'a_kernel_time', 5)},{event.format('Session', 'model_run', 1)}]"
    assert refusal(parse_onnxruntime_profile, left.encode()) == (
        tool,
        None,
        "an inference ends in which no graph ended",
    )
    name = "a" * 80
    bare = f'[{{"cat":"Node","name":"{name}_kernel_time","ts":1,"dur":1}}]'
    assert refusal(parse_onnxruntime_profile, bare.encode()) == (
        tool,
        None,
        f"the node '{name[:60]}' has no operator",
    )
    data = text.encode()
    monkeypatch.setattr(onnxruntime_profile, "MAX_PROFILE_BYTES", len(data))
    assert parse_onnxruntime_profile(data).runs == 2
    assert refusal(parse_onnxruntime_profile, data + b" ") == (tool, None, f"it has {len(data) + 1} bytes")


def test_more_of_power_stats_and_os_release() -> None:
    text = output("power_stats_delta")
    assert parse_power_stats(text.replace("\n", "  \n")) == parse_power_stats(text)
    uid_first = text.replace("GPU          :       2345.25 mWs\n       10123", "\n       10123").replace(
        "========== End of PowerStats HAL 2.0 energy consumers",
        "GPU          :       2345.25 mWs\n========== End of PowerStats HAL 2.0 energy consumers",
    )
    assert parse_power_stats(uid_first) == parse_power_stats(text)
    assert parse_os_release("ID=a\r\nNAME=b\r\n").id == "a"
