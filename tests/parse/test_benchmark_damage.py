"""Damaged outputs of benchmark tools: cut anywhere or with bytes changed, they are a ParseError or part of the truth.

D1.1: hostile input never raises anything else and never gives a number that the tool did not print.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.parse import ParseError
from edgekit.parse.benchmark_logcat import parse_benchmark_logcat
from edgekit.parse.benchmark_model import parse_benchmark_model
from edgekit.parse.benchmark_ops import parse_op_profile
from edgekit.parse.benchmark_result import parse_benchmark_result
from edgekit.parse.litert_benchmark import parse_litert_benchmark, parse_litert_benchmark_json
from edgekit.parse.litert_profile import parse_litert_profile
from edgekit.parse.onnxruntime_profile import parse_onnxruntime_profile
from edgekit.parse.trtexec import parse_trtexec
from edgekit.parse.trtexec_json import parse_trtexec_profile, parse_trtexec_times
from tests.parse.outputs import output
from tests.parse.results import result_file
from tests.parse.test_parse_damage import leaves

pytestmark = pytest.mark.base

Sample = tuple[str, Callable[[bytes], Any], bytes]


def _text(parser: Callable[[str], Any]) -> Callable[[bytes], Any]:
    return lambda data: parser(data.decode("utf-8", "replace"))


def _of(parser: Callable[[str], Any], *names: str) -> list[Sample]:
    return [(name, _text(parser), output(name).encode()) for name in names]


SAMPLES: list[Sample] = [
    *_of(
        parse_benchmark_model,
        "benchmark_model_2019",
        "benchmark_model_2020",
        "benchmark_model_2024",
        "benchmark_model_percentiles",
        "benchmark_model_nnapi",
        "benchmark_model_gpu_peak",
        "benchmark_model_litert",
        "benchmark_model_litert_readme",
    ),
    *_of(parse_benchmark_logcat, "benchmark_logcat"),
    *_of(parse_litert_benchmark, "litert_benchmark", "litert_benchmark_small"),
    ("litert_benchmark_json", parse_litert_benchmark_json, output("litert_benchmark_json").encode()),
    ("benchmark_result", parse_benchmark_result, result_file()),
    *_of(parse_op_profile, "op_profile_2018", "op_profile_litert", "op_profile_csv"),
    *_of(parse_trtexec, "trtexec_84", "trtexec_10"),
    ("trtexec_times", parse_trtexec_times, output("trtexec_times").encode()),
    ("trtexec_profile", parse_trtexec_profile, output("trtexec_profile").encode()),
    ("onnxruntime_profile", parse_onnxruntime_profile, output("onnxruntime_profile").encode()),
    ("litert_profile", parse_litert_profile, output("litert_profile").encode()),
]
IDS = [name for name, _, _ in SAMPLES]


@pytest.mark.parametrize(("name", "parser", "data"), SAMPLES, ids=IDS)
def test_cut_anywhere_gives_an_error_or_a_part_of_the_truth(
    name: str, parser: Callable[[bytes], Any], data: bytes
) -> None:
    whole = list(leaves(parser(data)))
    step = max(1, len(data) // 300)
    for cut in sorted({*range(0, len(data), step), *range(max(0, len(data) - 60), len(data))}):
        try:
            part = parser(data[:cut])
        except ParseError:
            continue
        for value in leaves(part):
            assert value in whole, f"{name} cut at {cut}: {value!r}"


@pytest.mark.parametrize(("name", "parser", "data"), SAMPLES, ids=IDS)
def test_crlf_of_an_old_adb_changes_nothing(name: str, parser: Callable[[bytes], Any], data: bytes) -> None:
    if name != "benchmark_result":
        assert parser(data.replace(b"\n", b"\r\n")) == parser(data)


@settings(max_examples=400, deadline=None)
@given(sample=st.sampled_from(SAMPLES), data=st.data())
def test_any_mutation_of_a_sample_is_a_value_or_a_parse_error(sample: Sample, data: st.DataObject) -> None:
    _, parser, good = sample
    damaged = bytearray(good[: data.draw(st.integers(0, len(good)))])
    for _ in range(data.draw(st.integers(0, 6))):
        if not damaged:
            break
        place = data.draw(st.integers(0, len(damaged) - 1))
        new = data.draw(
            st.binary(max_size=3) | st.sampled_from((b"9" * 30, b"nan", b"-", b"1e99", b"\n", b"="))
        )
        damaged[place : place + data.draw(st.integers(0, 4))] = new
    try:
        parser(bytes(damaged))
    except ParseError as error:
        assert error.code == "E_PARSE"  # noqa: PT017


@settings(max_examples=300, deadline=None)
@given(sample=st.sampled_from(SAMPLES), data=st.data())
def test_lines_in_any_order_are_a_value_or_a_parse_error(sample: Sample, data: st.DataObject) -> None:
    _, parser, good = sample
    lines = good.splitlines(keepends=True)
    order = data.draw(st.lists(st.integers(0, len(lines) - 1), max_size=2 * len(lines)))
    try:
        parser(b"".join(lines[index] for index in order))
    except ParseError as error:
        assert error.code == "E_PARSE"  # noqa: PT017


@settings(max_examples=200, deadline=None)
@given(sample=st.sampled_from(SAMPLES), data=st.binary(max_size=400))
def test_garbage_is_a_value_or_a_parse_error(sample: Sample, data: bytes) -> None:
    try:
        sample[1](data)
    except ParseError as error:
        assert error.code == "E_PARSE"  # noqa: PT017
