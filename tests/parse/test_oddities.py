"""Outputs as no sample has them, one oddity each: another order, a title too many, blanks at the end, foreign digits
(D2-b1). Each is a change of the code that no sample shows."""

from __future__ import annotations

import json

import pytest

from edgekit.parse.benchmark_model import parse_benchmark_model
from edgekit.parse.benchmark_ops import parse_op_profile
from edgekit.parse.benchmark_result import parse_benchmark_result
from edgekit.parse.benchmark_run import LatencySummary, checked, mib_bytes, whole_count
from edgekit.parse.dumpsys_meminfo import parse_dumpsys_meminfo
from edgekit.parse.dumpsys_thermalservice import parse_dumpsys_thermalservice
from edgekit.parse.jetson_clocks import parse_jetson_clocks
from edgekit.parse.litert_benchmark import parse_litert_benchmark
from edgekit.parse.litert_block import is_title
from edgekit.parse.litert_profile import parse_litert_profile
from edgekit.parse.meter_stream import layout_of, read_line
from edgekit.parse.op_profile import OpRow, timed_rows
from edgekit.parse.sysfs_cpufreq import parse_word, parse_words
from edgekit.parse.sysfs_thermal import parse_temp, plausible_mc
from edgekit.parse.tegrastats import parse_tegrastats
from edgekit.parse.trtexec import parse_trtexec
from edgekit.parse.trtexec_json import parse_trtexec_profile
from edgekit.parse.uname import parse_uname
from edgekit.parse.vcgencmd import parse_measure_clock
from tests.parse.outputs import output
from tests.parse.results import _float, _varint
from tests.parse.test_bounds import refusal, result

pytestmark = pytest.mark.base


def replaced(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new, 1)


def test_counts_and_statistics_exactly_at_their_bounds() -> None:
    assert whole_count("t", "9" * 12) == 10**12 - 1
    assert mib_bytes("t", "nan") is None
    at_the_low_end = LatencySummary(count=1, resolution_us=1.0, min_us=1.0, max_us=2.0, avg_us=0.0)
    assert checked("t", at_the_low_end) is at_the_low_end
    # 100000 us have a slack of a millionth of ten: 1 us, and 1 us of resolution
    at_the_high_end = LatencySummary(count=1, resolution_us=1.0, max_us=99_998.0, avg_us=100_000.0)
    assert checked("t", at_the_high_end) is at_the_high_end


def test_benchmark_model_of_two_delegates_that_took_as_many_nodes() -> None:
    text = output("benchmark_model_2024")
    line = "INFO: Replacing 3 out of {} node(s) with delegate (X) node, yielding 1 partitions.\n"
    run = parse_benchmark_model(line.format(9) + line.format(5) + text)
    assert (run.replaced_nodes, run.total_nodes) == (3, 9)


def test_benchmark_model_with_a_blank_at_the_end_of_each_line() -> None:
    text = output("benchmark_model_2024")
    assert parse_benchmark_model(text.replace("\n", " \n")) == parse_benchmark_model(text)


def test_benchmark_model_with_a_colon_in_a_time() -> None:
    text = output("benchmark_model_2024")
    assert refusal(parse_benchmark_model, replaced(text, "Inference (avg): ", "Inference (avg): x: ")) == (
        "benchmark_model",
        15,
        "'x: 13520.2' is not a number",
    )


def test_result_files_whose_fields_are_of_another_kind() -> None:
    tool = "benchmark_model's result file"
    assert refusal(parse_benchmark_result, _varint(2, 7)) == (tool, None, "field 2 has the wrong type")
    assert refusal(parse_benchmark_result, result(_float(1, 1.0), b"", _float(2, 1.0))) == (
        tool,
        None,
        "field 2 has the wrong type",
    )
    assert parse_benchmark_result(result(_float(1, 1.0), _float(3, 2.0**40))).peak_rss_bytes == 1 << 60


REGULAR = "Operator-wise Profiling Info for Regular Benchmark Runs:"
RULE = "============================== Run Order =============================="


def test_operator_tables_with_blank_lines_and_words_around_them() -> None:
    text = output("op_profile_csv")
    whole = parse_op_profile(text)
    assert parse_op_profile(replaced(text, f"{RULE}\n", f"{RULE}\n\n")) == whole
    first = text.index(REGULAR)
    end = text.index("\n\n", first)
    assert parse_op_profile(f"{text[:end]}\n\nsomething, else{text[end:]}") == whole


def test_operators_of_another_graph_right_behind_the_first() -> None:
    text = output("op_profile_csv")
    graph = text[text.index(REGULAR) : text.index("Delegate internal")]
    both = parse_op_profile(graph + replaced(graph, REGULAR, "Subgraph (index: 1, name: body)"))
    assert len(both.rows) == 3
    assert [row.op for row in both.inner] == [row.op for row in both.rows]


def test_titles_of_operator_tables() -> None:
    text = output("op_profile_csv")
    graph = text[text.index(REGULAR) : text.index("Delegate internal")]
    titles = "node type, first, avg_ms, %, cdf%, mem KB, times called, name"
    unknown = ("benchmark_model's operator profile", 3, "the table's titles are not known")
    assert refusal(parse_op_profile, replaced(graph, titles, titles.replace("first", "last"))) == unknown
    needed = parse_op_profile(
        f"{RULE}\nnode type, avg_ms, times called, name\nADD, 2, 1, [a]:7\n\nNumber of nodes executed: 1\n"
    )
    assert [(row.op, row.node, row.index, row.avg_us) for row in needed.rows] == [("ADD", "a", 7, 2000.0)]
    tabbed = output("op_profile_2018")
    assert refusal(parse_op_profile, replaced(tabbed, "[Name]\n", "[Name]X\n"))[2] == unknown[2]


def test_the_last_digit_of_an_operators_time() -> None:
    runs = [[("a", 1.0)], [("a", 1.0)], [("a", 0.12345678)], [("a", 0.12345678)], [("a", 0.12345678)]]
    (row,) = timed_rows(runs, lambda key: OpRow(op=key))
    assert (row.calls, row.avg_us, row.median_us) == (1.0, 0.474074, 0.123457)
    data = b'[{"count": 1}, {"name": "a", "averageMs": 1.00000000044, "medianMs": 1.00000000044}]'
    layer = parse_trtexec_profile(data).rows[0]
    assert (layer.avg_us, layer.median_us) == (1000.0, 1000.0)


def test_litert_results_with_blanks_colons_and_lines_of_others() -> None:
    text = output("litert_benchmark")
    whole = parse_litert_benchmark(text)
    assert parse_litert_benchmark(text.replace("\n", "  \n")) == whole
    average = "Inference (avg):"
    assert parse_litert_benchmark(replaced(text, average, f"Inference (p5)\n{average}")) == whole
    assert refusal(parse_litert_benchmark, replaced(text, "accelerated:     True", "accelerated: a: b"))[
        2
    ] == ("'a: b' as Fully accelerated")
    assert refusal(parse_litert_benchmark, replaced(text, average, f"Peak memory: x MB\n{average}")) == (
        "litert-benchmark",
        8,
        "'x' is not a number",
    )
    assert is_title("=== BENCHMARK RESULTS ===")
    assert not is_title("BENCHMARK RESULTS X")


def test_litert_operators_that_an_inference_passed_over() -> None:
    """A row is an operator, in whatever place of an inference it came."""
    begin, end = [1, 0, 0, 1, "LiteRT::Run[buffer registration]"], [1, 0, 0, 1, "LiteRT::Run[Buffer sync]"]
    add, mul = [2, 0, 0, 4, "ADD"], [2, 0, 1, 6, "MUL"]
    events = [begin, end, begin, add, mul, end, begin, mul, end]
    data = json.dumps({"schema": "edgekit.litert-profile/1", "events": events}).encode()
    assert [(row.op, row.calls, row.avg_us) for row in parse_litert_profile(data).rows] == [
        ("ADD", 0.5, 2.0),
        ("MUL", 1.0, 6.0),
    ]


def test_streams_of_meters_whose_names_are_odd() -> None:
    layout = layout_of('"X t",X P', {"X t": "t_s", "X P": "power_mw"})
    assert read_line("1,2", layout) == (1e6, 2.0)
    assert refusal(read_line, "1,X2", layout) == ("the meter", None, "'X2' is no number")
    assert layout_of('  {"t_s": 1, "power_mw": 2}', {}).delimiter is None
    assert refusal(layout_of, "t_s power_mw", {})[2].endswith("among: t_s power_mw")


def test_heat_with_a_colon_and_a_line_too_many() -> None:
    text = output("dumpsys_thermalservice_13t")
    assert refusal(parse_dumpsys_thermalservice, replaced(text, "HAL Ready: true", "HAL Ready: true: no"))[
        2
    ] == ("'true: no' as HAL Ready")
    title = "Current temperatures from HAL:\n"
    stray = replaced(text, title, f"{title}something else\n")
    assert parse_dumpsys_thermalservice(stray) == parse_dumpsys_thermalservice(text)


def test_memory_of_an_app_behind_the_tables_of_its_processes() -> None:
    text = output("meminfo_app")
    before = "Applications Memory Usage (in Kilobytes):\nTOTAL   1   2   3\n"
    assert parse_dumpsys_meminfo(before + text) == parse_dumpsys_meminfo(text)


def test_digits_of_other_scripts_are_none() -> None:
    clocks = output("jetson_clocks_nano")
    assert parse_jetson_clocks(clocks + "cpu\u0663: who knows\n") == parse_jetson_clocks(clocks)
    assert (
        refusal(parse_uname, "Linux \u0665.\u0661 aarch64\n")[2] == "'\u0665.\u0661' is not a kernel release"
    )
    assert "is no frequency" in refusal(parse_measure_clock, "frequency(\u0664)=1500000000\n")[2]
    assert repr(parse_measure_clock("frequency(48)=1500398464\n")) == "1500398"


def test_temperatures_exactly_at_what_cannot_be() -> None:
    assert [plausible_mc(at) for at in (-60_000, -59_999, 199_999, 200_000)] == [None, -59_999, 199_999, None]
    assert parse_temp("200000\n") is None


def test_lines_of_tegrastats_begin_at_their_beginning() -> None:
    line = output("tegrastats_orin_jp5").splitlines()[0]
    assert parse_tegrastats(f"{line}  \n") == parse_tegrastats(f"{line}\n")
    assert refusal(parse_tegrastats, f" {line}\n")[2].endswith("has no memory or no CPU")


def test_cpufreq_files_with_nothing_in_them() -> None:
    assert (parse_words(" \t\r\n"), parse_words("\n"), parse_word("\t\n")) == ((), (), None)
    assert refusal(parse_words, " ")[2] == "it is empty"
    assert refusal(parse_words, "X\nX\n")[2] == "2 lines instead of one"
    assert parse_words("X\n") == ("X",)


def test_facts_of_trtexec_that_no_sample_has() -> None:
    text = output("trtexec_10")
    assert parse_trtexec(replaced(text, "for DLA: Disabled", "for DLA: Enabled")).gpu_fallback is True
    assert parse_trtexec(replaced(text, "Device: Orin", "Device: Orin: 8 GB")).selected_device == "Orin: 8 GB"
    assert parse_trtexec(replaced(text, "Device: Orin", f"Device: {'x' * 101}")).selected_device == "x" * 100
    (line,) = (row for row in text.splitlines() if "] Latency: min" in row)
    four = line.partition(", percentile")[0]
    assert parse_trtexec(replaced(text, line, four)).latency.p99_us is None
    (warning,) = {row for row in text.splitlines() if "] * Throughput may be bound" in row}
    long = warning.partition("* ")[0] + "* " + "x" * 299
    assert parse_trtexec(replaced(text, warning, long)).warnings[0] == "x" * 298
