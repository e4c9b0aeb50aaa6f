"""B2.4: which recipe is taken, and why. Tables of candidates whose answer is known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from edgekit.conversion.auto import SLACK, Candidate, Limits, pick, reasons_against

pytestmark = pytest.mark.base

FLOAT = Candidate("float32", size_bytes=400, drop=0.0, error=0.0, latency_us=100.0, peak_rss_bytes=1000)
HALF = Candidate("float16", size_bytes=200, drop=0.0, error=1e-4, latency_us=100.0, peak_rss_bytes=1000)
DYNAMIC = Candidate(
    "int8-dynamic", size_bytes=110, drop=0.002, error=2e-3, latency_us=60.0, peak_rss_bytes=900
)
STATIC = Candidate("int8-static", size_bytes=105, drop=0.004, error=5e-3, latency_us=50.0, peak_rss_bytes=900)
ALL = (FLOAT, HALF, DYNAMIC, STATIC)


def picked(*candidates: Candidate, prefer: tuple[str, ...] = (), **limits: Any) -> str:
    found = pick(candidates, Limits(**limits), prefer)
    assert found is not None
    assert {found.recipe, *(one.recipe for one in found.rejected)} == {one.recipe for one in candidates}
    assert found.front[0] == found.recipe
    return found.recipe


def test_the_fastest_that_loses_little_enough_is_taken() -> None:
    assert picked(*ALL, drop=0.01) == "int8-static"
    assert picked(*ALL, drop=0.003) == "int8-dynamic"
    assert picked(*ALL, drop=0.0) == "float16", "as fast as float32, and half the size"


def test_as_fast_is_within_the_slack_and_then_the_smaller_wins() -> None:
    near = replace(DYNAMIC, latency_us=50.0 * (1 + 0.9 * SLACK), size_bytes=90)
    assert picked(FLOAT, near, STATIC, drop=0.01) == "int8-dynamic"
    far = replace(near, latency_us=50.0 * (1 + 1.1 * SLACK))
    assert picked(FLOAT, far, STATIC, drop=0.01) == "int8-static"


def test_what_is_smaller_but_slower_than_float_is_not_taken() -> None:
    """Lesson 4: a smaller model can be slower."""
    slow = replace(STATIC, latency_us=200.0)
    assert picked(FLOAT, slow, drop=0.01) == "float32"
    found = pick((FLOAT, slow), Limits(drop=0.01))
    assert found is not None
    assert "2.00 times as long" in found.rejected[0].reason
    assert found.front == ("float32", "int8-static"), "it is smaller: not beaten, not taken"


def test_what_is_as_fast_is_told_so() -> None:
    """Within the slack nothing is called faster or slower, and larger is a number."""
    near = replace(DYNAMIC, latency_us=100.0 * (1 + 0.5 * SLACK))
    found = pick((FLOAT, near), Limits())
    assert found is not None
    assert (found.recipe, found.rejected[0].reason) == (
        "int8-dynamic", "it is as fast, but 3.64 times the size (more accurate)",
    )  # fmt: skip
    assert ", as fast as float32 and 0.28 of its size" in found.why


@pytest.mark.parametrize(
    ("limits", "recipe", "words"),
    [
        ({"drop": 0.003}, "int8-static", "0.40% of accuracy"),
        ({"size_bytes": 150}, "float32", "more than the limit of 150 B"),
        ({"latency_us": 55.0}, "int8-dynamic", "the limit is 55 us"),
        ({"peak_rss_bytes": 950}, "float16", "of memory, the limit is 950 B"),
    ],
)
def test_what_is_past_a_limit_is_out_and_told_so(limits: dict[str, Any], recipe: str, words: str) -> None:
    assert words in reasons_against(ALL, Limits(**limits))[recipe]


def test_nothing_is_picked_where_everything_is_past_a_limit() -> None:
    assert pick(ALL, Limits(size_bytes=10)) is None
    assert len(reasons_against(ALL, Limits(size_bytes=10))) == 4


def test_one_that_failed_is_told_with_its_reason() -> None:
    failed = Candidate("int8-static", failed="needs calibration data")
    found = pick((FLOAT, failed), Limits())
    assert found is not None
    assert [(one.recipe, one.reason) for one in found.rejected] == [("int8-static", "needs calibration data")]


def test_what_proved_nothing_stands_back_behind_what_did() -> None:
    blurred = replace(STATIC, state="inconclusive")
    assert picked(FLOAT, blurred) == "float32"
    assert picked(blurred) == "int8-static", "there is nothing better"


def test_unmeasured_the_profile_decides() -> None:
    plain = [replace(one, latency_us=None, peak_rss_bytes=None) for one in ALL]
    assert picked(*plain, prefer=("int8-dynamic", "float32"), drop=0.01) == "int8-dynamic"
    assert picked(*plain, drop=0.01) == "int8-static", "the smallest"
    found = pick(plain, Limits(drop=0.01), ("int8-dynamic",))
    assert found is not None
    assert "not measured" in found.why
    assert not found.measured
    reasons = {one.recipe: one.reason for one in found.rejected}
    assert reasons["float32"] == "the profile prefers int8-dynamic; with -d they are measured"


def test_a_preference_that_no_profile_has_is_not_told() -> None:
    """The smallest was taken: then that is the reason."""
    plain = [replace(one, latency_us=None, peak_rss_bytes=None) for one in ALL]
    found = pick(plain, Limits(drop=0.01), ("mixed",))
    assert found is not None
    assert found.recipe == "int8-static"
    reasons = {one.recipe: one.reason for one in found.rejected}
    assert not any("prefers" in reason for reason in reasons.values()), reasons
    assert "int8-static is smaller (3.81 times the size)" in reasons["float32"]


def test_unmeasured_kernels_known_to_be_slow_are_not_trusted() -> None:
    wide = Candidate("int16x8", size_bytes=90, drop=0.0, error=1e-5)
    plain = replace(STATIC, latency_us=None)
    assert picked(plain, wide, prefer=("int16x8",)) == "int8-static"
    measured = replace(wide, latency_us=40.0)
    assert picked(STATIC, measured) == "int16x8", "measured to be fast is fast"


def test_without_evaluation_the_error_of_the_outputs_stands_for_the_loss() -> None:
    exact = replace(FLOAT, drop=None)
    twin = replace(DYNAMIC, drop=None, latency_us=100.0, size_bytes=400)
    found = pick((exact, twin), Limits())
    assert found is not None
    assert found.recipe == "float32"
    assert found.rejected[0].reason == "float32 is as fast and more exact"


def test_the_answer_does_not_hang_on_the_order() -> None:
    for limits in (Limits(), Limits(drop=0.003), Limits(size_bytes=300)):
        forward, backward = pick(ALL, limits), pick(ALL[::-1], limits)
        assert forward is not None
        assert backward is not None
        assert (forward.recipe, set(forward.front)) == (backward.recipe, set(backward.front))
