"""The decision by tables: each reason alone turns the verdict, and unknown is never a reason (A8)."""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec
import pytest

from edgekit.benchmarking.verdict import Evidence, judge
from edgekit.stats import Stability

pytestmark = pytest.mark.base

STEADY = Stability(
    run_drift=0.002,
    run_drift_low=-0.005,
    run_drift_high=0.009,
    launch_spread=0.01,
    launch_gap=0.005,
    launches_fast=2,
    launches_slow=3,
    launches_disagree=False,
    judged_launches=5,
)
GOOD = Evidence(
    launches_planned=5,
    launches_done=5,
    samples=500,
    median_us=1000.0,
    effective_samples=400.0,
    interval_width=0.02,
    drift=0.01,
    stability=STEADY,
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
        ({"rebooted": True}, "booted anew"),
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
        ({"effective_samples": 29.0}, "worth only 29"),
        ({"streams": 4, "overlap_share": 0.4}, "4 streams ran all at once for only 40%"),
        ({"swapped_pages": 257}, "swapped 257 pages"),
        ({"battery_percent": 19.0}, "battery was at 19 %"),
        ({"clock_skew_us": 1.3e6, "run_us": 10e6}, "went apart by +1.3 s"),
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
    ("change", "words"),
    [
        (
            {"step": 0.1, "step_launch": 2, "step_iteration": 120},
            "grew by 10.0% at once in launch 3 at iteration 120",
        ),
        (
            {"step": -0.1, "step_launch": 0, "step_iteration": 40},
            "fell by 10.0% in launch 1 at iteration 40: it was still",
        ),
        (
            {"modes_apart": 0.05, "modes_share": 0.2, "modes_switches": 33},
            "5.0% apart, with 20% of the samples",
        ),
        (
            {"launch_spread": 0.05, "launches_disagree": True},
            "up to 5.0%; a gap of 0.5% parts 2 faster from 3 slower",
        ),
        (
            {"run_drift": 0.031, "run_drift_low": 0.02, "run_drift_high": 0.04, "run_drift_certain": True},
            "grew by 3.1% over the run (98.5 % interval",
        ),
        ({"run_drift_high": 0.03}, "a drift of 3% over the run cannot be ruled out"),
        ({"never_steady": 3}, "3 of 5 launches never became steady"),
    ],
)
def test_doubt_about_the_pace_says_how_large_it_was(change: dict[str, Any], words: str) -> None:
    """D1.6: each reason comes with its numbers."""
    stability = msgspec.structs.replace(STEADY, **change)
    verdict = judge(
        dataclasses.replace(
            GOOD, stability=stability, fewest_iterations=60, planned_iterations=50, step_iterations=200
        )
    )
    assert verdict.state == "suspect"
    assert len(verdict.reasons) == 1
    assert words in verdict.reasons[0]


@pytest.mark.parametrize(
    "change",
    [
        {"swapped_pages": 256},
        {"battery_percent": 20.0},
        {"battery_percent": 5.0, "charging": True},
        {"clock_skew_us": -1.2e6, "run_us": 10e6},
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
    assert len(verdict.notes) == 6


def test_fatal_beats_doubt_and_both_are_told() -> None:
    verdict = judge(dataclasses.replace(GOOD, golden="failed", drift=0.5))
    assert verdict.state == "invalid"
    assert len(verdict.reasons) == 2
