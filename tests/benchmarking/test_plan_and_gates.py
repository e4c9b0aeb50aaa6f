"""Flags over profile over defaults; gates with units."""

from __future__ import annotations

import pytest

from edgekit.benchmarking.gates import check_gate, parse_gate
from edgekit.benchmarking.plan import BenchOptions, make_plan, parse_cpus
from edgekit.errors import InputError
from tests.benchmarking.records import record

pytestmark = pytest.mark.base


@pytest.mark.parametrize(
    ("text", "cpus"),
    [
        ("0", (0,)),
        ("0-3", (0, 1, 2, 3)),
        ("4-5,0", (0, 4, 5)),
        ("1,1", (1,)),
        (" 0 - 1".replace(" ", ""), (0, 1)),
    ],
)
def test_cpus(text: str, cpus: tuple[int, ...]) -> None:
    assert parse_cpus(text) == cpus


@pytest.mark.parametrize("text", ["", "a", "3-1", "0-", "-1", "0,,1", "99999"])
def test_cpus_refused(text: str) -> None:
    with pytest.raises(InputError) as error:
        parse_cpus(text)
    assert error.value.code == "E_CPUS"


def test_plan_without_profile_has_the_documented_defaults() -> None:
    plan = make_plan(None, BenchOptions())
    assert (plan.launches, plan.threads, plan.governor, plan.cool_to_mc) == (5, 1, None, None)


def test_flag_beats_default_and_seed_is_kept() -> None:
    plan = make_plan(None, BenchOptions(launches=2, threads=4, cpus="0-1", seed=7))
    assert (plan.launches, plan.threads, plan.cpus, plan.seed) == (2, 4, (0, 1), 7)


@pytest.mark.parametrize(
    "options", [BenchOptions(launches=0), BenchOptions(threads=0), BenchOptions(iterations=0)]
)
def test_impossible_plans(options: BenchOptions) -> None:
    with pytest.raises(InputError) as error:
        make_plan(None, options)
    assert error.value.code == "E_PLAN"


@pytest.mark.parametrize(
    ("text", "metric", "op", "value"),
    [
        ("median_latency<=12ms", "median_latency", "<=", 12_000.0),
        ("p99_latency < 20 ms", "p99_latency", "<", 20_000.0),
        ("peak_rss<=64MiB", "peak_rss", "<=", float(64 << 20)),
        ("accuracy>=0.95", "accuracy", ">=", 0.95),
        ("energy_per_inference<3mJ", "energy_per_inference", "<", 3000.0),
    ],
)
def test_gate(text: str, metric: str, op: str, value: float) -> None:
    gate = parse_gate(text)
    assert (gate.metric, gate.op) == (metric, op)
    assert gate.value == pytest.approx(value)


@pytest.mark.parametrize(
    ("text", "code"),
    [("median_latency", "E_GATE_SYNTAX"), ("median<=1ms", "E_METRIC"), ("", "E_GATE_SYNTAX")],
)
def test_gate_refused(text: str, code: str) -> None:
    with pytest.raises(InputError) as error:
        parse_gate(text)
    assert error.value.code == code


@pytest.mark.parametrize("text", ["median_latency<=12", "peak_rss<=12ms", "accuracy>=good"])
def test_gate_needs_the_right_unit(text: str) -> None:
    with pytest.raises(InputError):
        parse_gate(text)


@pytest.mark.parametrize(
    ("gate", "why"),
    [
        ("throughput>=10/s", "--streams"),
        ("energy_per_inference<3mJ", "no meter was used"),
        ("mean_power<3W", "no meter was used"),
        ("sustained_slowdown<=1.1", "--sustained"),
        ("accuracy>=0.9", "--evaluation"),
        ("temperature<80C", "sensor"),
        ("model_delta<1GiB", "does not tell"),
    ],
)
def test_a_gate_on_what_was_not_measured_fails_and_says_why(gate: str, why: str) -> None:
    """D1.10: silence is no pass, and the reader is told what would give the number."""
    found = check_gate(parse_gate(gate), record([1.0, 2.0]))
    assert (found.passed, found.measured) == (False, None)
    assert found.note is not None
    assert why in found.note
