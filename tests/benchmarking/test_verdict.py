"""The decision by tables: each reason alone turns the verdict, and unknown is never a reason (A8)."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from edgekit.benchmarking.verdict import Evidence, judge

pytestmark = pytest.mark.base

GOOD = Evidence(
    launches_planned=5,
    launches_done=5,
    samples=500,
    median_us=1000.0,
    between_launch_cv=0.01,
    interval_width=0.02,
    drift=0.01,
    clock_resolution_us=0.001,
    throttled=False,
    thermal_status=0,
    max_temperature_mc=50_000,
    temperature_limit_mc=80_000,
    frequency_drop=0.0,
    other_load=0.02,
    golden="passed",
    actual_accelerator="cpu",
    fully_accelerated=True,
)


def test_nothing_against_it_is_valid_without_notes() -> None:
    verdict = judge(GOOD)
    assert (verdict.state, verdict.reasons, verdict.notes) == ("valid", (), ())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"launches_done": 4}, "4 of 5"),
        ({"samples": 0}, "no latency"),
        ({"median_us": None}, "no latency"),
        ({"golden": "failed"}, "outputs"),
        ({"throttled": True}, "throttled"),
        ({"thermal_status": 2}, "thermal status 2"),
        ({"actual_accelerator": "gpu"}, "gpu"),
    ],
)
def test_fatal(change: dict[str, Any], words: str) -> None:
    verdict = judge(dataclasses.replace(GOOD, **change))
    assert verdict.state == "invalid"
    assert words in verdict.reasons[0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"launches_planned": 2, "launches_done": 2}, "2 launches"),
        ({"samples": 29}, "29 samples"),
        ({"between_launch_cv": 0.0501}, "launches differ"),
        ({"interval_width": 0.21}, "interval"),
        ({"drift": 0.11}, "drifted"),
        ({"frequency_drop": 0.11}, "frequency fell"),
        ({"other_load": 0.26}, "other processes"),
        ({"max_temperature_mc": 80_001}, "80 C"),
        ({"cooled": False}, "cool"),
        ({"fewest_iterations": 49, "planned_iterations": 50}, "49 of 50"),
        ({"fully_accelerated": False}, "part of the model"),
        ({"clock_resolution_us": 10.1}, "clock"),
    ],
)
def test_doubt(change: dict[str, Any], words: str) -> None:
    verdict = judge(dataclasses.replace(GOOD, **change))
    assert verdict.state == "suspect"
    assert len(verdict.reasons) == 1
    assert words in verdict.reasons[0]


@pytest.mark.parametrize(
    "change",
    [
        {"between_launch_cv": 0.05},
        {"interval_width": 0.20},
        {"drift": 0.10},
        {"other_load": 0.25},
        {"max_temperature_mc": 80_000},
        {"thermal_status": 1},
    ],
)
def test_the_threshold_itself_is_still_valid(change: dict[str, Any]) -> None:
    assert judge(dataclasses.replace(GOOD, **change)).state == "valid"


def test_unknown_is_a_note_and_never_a_reason() -> None:
    blind = Evidence(
        launches_planned=5, launches_done=5, samples=500, median_us=10.0, not_set=("governor: needs root",)
    )
    verdict = judge(blind)
    assert verdict.state == "valid"
    assert verdict.reasons == ()
    assert "governor: needs root" in verdict.notes
    assert len(verdict.notes) == 5


def test_fatal_beats_doubt_and_both_are_told() -> None:
    verdict = judge(dataclasses.replace(GOOD, golden="failed", drift=0.5))
    assert verdict.state == "invalid"
    assert len(verdict.reasons) == 2
