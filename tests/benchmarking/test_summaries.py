"""Records of tools that keep their samples: what is told, what is not, and what may be concluded (D1.1, D1.4, D1.6)."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import msgspec
import numpy as np
import pytest

from edgekit.benchmarking.abilities import require_abilities, require_comparable
from edgekit.benchmarking.evidence import fully_accelerated
from edgekit.benchmarking.gates import check_gate, parse_gate
from edgekit.benchmarking.plan import BenchOptions
from edgekit.benchmarking.regression import values_by_launch
from edgekit.benchmarking.summaries import centre_us, hidden_drift, latency_of_summaries, only_summaries
from edgekit.benchmarking.verdict import Evidence, judge
from edgekit.deployment.runtime_there import Chosen
from edgekit.errors import InputError
from edgekit.parse.benchmark_run import LatencySummary
from edgekit.records import Launch, Told, decode, encode, to_builtins, value_of
from edgekit.runtimes.base import make_bundle
from edgekit.runtimes.named import runtime_named
from edgekit.stats.latency import median_interval
from tests.benchmarking.records import record
from tests.benchmarking.test_verdict import GOOD

pytestmark = pytest.mark.base


def launch(index: int, **told: Any) -> Launch:
    """A launch of a tool that keeps its samples."""
    values: dict[str, Any] = {"count": 100, "resolution_us": 10.0, **told}
    summary = LatencySummary(**values)
    return Launch(
        index=index,
        median_us=summary.median_us,
        mean_us=summary.avg_us,
        count=summary.count or 0,
        load_us=500.0 + index,
        first_inference_us=None,
        sampled=False,
        told=Told(latency=summary),
    )


MEDIANS = (1000.0, 1010.0, 1030.0)
RICH = [
    launch(
        i, median_us=m, avg_us=m + 5, min_us=m - 90, max_us=m + 400, std_us=9.0, p90_us=m + 20, p95_us=m + 60
    )
    for i, m in enumerate(MEDIANS)
]
POOR = [launch(i, count=50 * (i + 1), avg_us=value, std_us=7.0) for i, value in enumerate(MEDIANS)]


def test_what_every_launch_tells_is_put_together_and_nothing_else() -> None:
    found = latency_of_summaries(RICH)
    assert (found.source, found.resolution_us, found.ci95_of) == ("summaries", 10.0, "median")
    assert (found.count, found.launches) == (300, 3)
    assert (found.median, found.p50, found.p90, found.min, found.max) == (1010, 1010, 1030, 910, 1430)
    assert found.mean == pytest.approx(sum(MEDIANS) / 3 + 5)
    low, high = median_interval(MEDIANS)
    assert low is not None
    assert high is not None
    assert (found.ci95_low, found.ci95_high) == (low - 5, high + 5)  # half a step of what it prints
    assert found.between_launch_cv == pytest.approx(np.std(MEDIANS, ddof=1) / np.mean(MEDIANS))
    assert found.load == 501
    for name in ("stddev", "mad", "outliers", "drift", "autocorrelation"):
        assert getattr(found, name) is None, name
        assert "keeps its samples" in found.unavailable[name]
    assert (found.p99, found.unavailable["p99"]) == (None, "the tool does not tell it")
    # of 100 samples 5 lie beyond the 95th percentile, and 10 are asked of everyone
    assert found.p95 is None
    assert "5 of a launch's 100" in found.unavailable["p95"]
    assert found.stability.run_drift is None
    assert found.stability.launch_spread == pytest.approx(0.03)


def test_of_averages_there_is_no_median() -> None:
    found = latency_of_summaries(POOR)
    assert (found.median, found.p50, found.ci95_of) == (None, None, "mean")
    assert "averages only" in found.unavailable["median"]
    assert found.mean == pytest.approx((1000 * 50 + 1010 * 100 + 1030 * 150) / 300)  # of all inferences
    assert found.ci95_low is not None
    assert [centre_us(one) for one in POOR] == list(MEDIANS)
    assert (found.min, found.unavailable["min"]) == (None, "the tool does not tell it")


def test_a_launch_that_tells_no_median_takes_it_from_the_run() -> None:
    found = latency_of_summaries([*RICH, launch(3, avg_us=1000.0)])
    assert (found.median, found.ci95_of) == (None, "mean")


def test_failed_launches_count_for_nothing_and_one_has_no_interval() -> None:
    one = [RICH[0], Launch(index=1, ok=False, error="E_RUNNER_CRASH: x")]
    assert only_summaries(one)
    found = latency_of_summaries(one)
    assert (found.launches, found.median, found.ci95_low) == (1, 1000.0, None)
    assert "one launch cannot tell" in found.unavailable["ci95"]
    assert not only_summaries([Launch(index=0, median_us=1.0, count=5)])
    assert not only_summaries([])


def test_the_bound_on_a_hidden_drift_holds_for_any_launch_and_is_reached() -> None:
    """D1.6: a launch whose second half is d slower than its first has a standard deviation of at least d / 2."""
    rng = np.random.default_rng(7)
    for shape in range(200):
        samples = rng.lognormal(0, rng.uniform(0.001, 0.4), 400) * 1000
        samples[200:] *= 1 + 0.3 * rng.random()
        samples += np.linspace(0, 100 * rng.random(), 400) * (shape % 2)
        first, second = samples[:200].mean(), samples[200:].mean()
        one = launch(0, avg_us=float(samples.mean()), std_us=float(samples.std()), resolution_us=0.0)
        bound = hidden_drift([one])
        assert bound is not None
        assert abs(second - first) / samples.mean() <= bound * (1 + 1e-9)
    step = np.repeat([1000.0, 1050.0], 50)
    told = launch(0, avg_us=float(step.mean()), std_us=float(step.std()), resolution_us=0.0)
    assert hidden_drift([told]) == pytest.approx(50 / step.mean())


def test_without_a_scatter_nothing_bounds_it() -> None:
    assert hidden_drift([RICH[0], launch(1, avg_us=1000.0)]) is None
    assert hidden_drift([launch(0, avg_us=4.0, std_us=1.0)]) is None  # below half a step
    coarse, fine = (launch(0, avg_us=1000.0, std_us=5.0, resolution_us=r) for r in (10.0, 0.1))
    assert math.isclose(hidden_drift([coarse]) or 0, 2 * 10 / 995)
    assert (hidden_drift([fine]) or 0) < (hidden_drift([coarse]) or 0)


def evidence(**changes: Any) -> Evidence:
    return dataclasses.replace(GOOD, **changes)


SUMMARIES: dict[str, Any] = {
    "summaries": True,
    "hidden_drift": 0.02,
    "effective_samples": None,
    "drift": None,
}


def test_a_run_of_summaries_is_valid_only_where_their_scatter_leaves_no_room() -> None:
    """D1.6: never valid on evidence that was not there."""
    steady = latency_of_summaries(
        [launch(i, median_us=1000.0 + i, avg_us=1000.0, std_us=9.0) for i in range(5)]
    )
    good = judge(evidence(**SUMMARIES, stability=steady.stability))
    assert good.state == "valid", good.reasons
    assert any("no samples" in note for note in good.notes)
    for changes, words in (
        ({"hidden_drift": 0.031}, "room for a drift of 3.1%"),
        ({"hidden_drift": None}, "no standard deviation"),
        (
            {
                "stability": latency_of_summaries(
                    [launch(i, median_us=m) for i, m in enumerate((1000.0, 1018.0, 1036.0))]
                ).stability
            },
            "drift over the run",
        ),
        ({"clock_resolution_us": 20.0}, "told in steps of 20 us"),
        (
            {
                "stability": latency_of_summaries(
                    [launch(i, median_us=m) for i, m in enumerate((1000.0, 1000.0, 1090.0))]
                ).stability
            },
            "launches disagree",
        ),
    ):
        found = judge(evidence(**{**SUMMARIES, "stability": steady.stability, **changes}))
        assert found.state == "suspect"
        assert any(words in reason for reason in found.reasons), (words, found.reasons)
    uncounted = judge(evidence(**SUMMARIES, stability=steady.stability, samples=0))
    assert uncounted.state == "valid"


def test_an_accelerator_that_is_not_proven_is_a_note() -> None:
    found = judge(evidence(requested_accelerator="gpu", actual_accelerator=None, fully_accelerated=None))
    assert found.state == "valid"
    assert any("gpu ran it is not proven" in note for note in found.notes)
    fell_back = judge(
        evidence(requested_accelerator="gpu", actual_accelerator="cpu", fully_accelerated=False)
    )
    assert fell_back.state == "invalid"


@pytest.mark.parametrize(
    ("told", "expected"),
    [([True, True], True), ([True, None], None), ([None], None), ([True, False, None], False), ([], None)],
)
def test_fully_accelerated_is_not_known_where_a_launch_does_not_tell(
    told: list[bool | None], expected: bool | None
) -> None:
    launches = [Launch(index=i, fully_accelerated=one) for i, one in enumerate(told)]
    assert fully_accelerated(launches) is expected


def test_gates_on_what_is_not_told_fail_and_say_why() -> None:
    """Null is never compared: not now, not in the baseline."""
    run = record(MEDIANS, latency=latency_of_summaries(POOR), launches=tuple(POOR))
    gone = check_gate(parse_gate("median_latency<=12s"), run)
    assert (gone.passed, gone.measured) == (False, None)
    assert "averages only" in (gone.note or "")
    assert "mean_latency" in (gone.note or "")
    assert check_gate(parse_gate("mean_latency<=12s"), run).passed
    assert not check_gate(parse_gate("mad_latency>=0us"), run).passed
    runner = record(MEDIANS)
    against = check_gate(parse_gate("median_latency<=baseline*9"), runner, run)
    assert not against.passed
    assert "the baseline does not have it" in (against.note or "")
    assert values_by_launch(run, "mean_latency") == list(MEDIANS)
    assert values_by_launch(run, "median_latency") == []


def test_a_record_keeps_what_the_tool_told_as_it_is() -> None:
    run = record(MEDIANS, latency=latency_of_summaries(RICH), launches=tuple(RICH))
    again = decode(encode(run))
    assert again == run
    assert again.launches[0].told == RICH[0].told
    assert value_of(again, "median_latency") == 1010
    with pytest.raises(InputError, match=r"told.latency"):
        decode(encode(run).replace(b'"std_us":9.0', b'"std_ms":9.0', 1))


def chosen(name: str, accelerator: str = "cpu") -> Chosen:
    return Chosen(runtime_named(name), make_bundle(name, "1", []), accelerator)


def test_what_a_tool_cannot_do_is_refused_with_what_can() -> None:
    """D1.8: a runtime without operators names those that have them."""
    for options, words in (
        (BenchOptions(op_profile=True), "benchmark-model"),
        (BenchOptions(sustained_minutes=1.0), "raw samples"),
        (BenchOptions(evaluation="x.npz"), "outputs"),
    ):
        with pytest.raises(InputError) as caught:
            require_abilities(chosen("litert-benchmark"), options)
        assert caught.value.code == "E_TOOL_OPTION"
        assert words in (caught.value.hint or "")
    with pytest.raises(InputError, match="simulated"):
        require_abilities(chosen("litert"), BenchOptions(op_profile=True), simulated=True)
    require_abilities(chosen("litert"), BenchOptions(sustained_minutes=1.0, evaluation="x.npz"))
    require_abilities(chosen("trtexec", "gpu"), BenchOptions(op_profile=True, sustained_minutes=1.0))


def test_a_tool_is_compared_with_itself_only() -> None:
    require_comparable(chosen("litert-benchmark"), chosen("litert-benchmark"))
    require_comparable(chosen("litert"), chosen("onnxruntime"))
    for a, b in (("litert", "trtexec"), ("litert-benchmark", "benchmark-model")):
        with pytest.raises(InputError) as caught:
            require_comparable(chosen(a), chosen(b))
        assert caught.value.code == "E_COMPARE"


def test_a_record_from_before_these_fields_reads_as_one_of_samples() -> None:
    plain = to_builtins(record(MEDIANS))
    for name in ("source", "resolution_us", "ci95_of"):
        del plain["latency"][name]
    for one in plain["launches"]:
        del one["told"], one["sampled"], one["mean_us"]
    del plain["operators"], plain["runtime"]["measures"]
    old = decode(msgspec.json.encode(plain))
    assert (old.latency.source, old.latency.ci95_of, old.operators) == ("samples", "median", None)
    assert all(one.sampled and one.told is None for one in old.launches)
