"""What a comparison concludes (D1.5)."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from edgekit.benchmarking import BenchOptions
from edgekit.benchmarking.compare import check_wishes
from edgekit.benchmarking.comparison import MAX_PAIRS, compare_pairs, conclude, pair_order, planned_pairs
from edgekit.errors import InputError
from tests.benchmarking.records import record

pytestmark = pytest.mark.base

A = [100.0, 101.0, 99.5, 100.2, 100.4]
SLOWER = [103.0, 104.2, 102.4, 103.3, 103.1]
FINE = record(A)


def test_each_goes_first_in_one_of_two_neighbouring_pairs_at_random() -> None:
    orders = [pair_order(3, pair) for pair in range(400)]
    assert all(set(orders[i : i + 2]) == {("a", "b"), ("b", "a")} for i in range(0, 400, 2))
    assert 60 < Counter(orders[::2])["a", "b"] < 140
    assert orders == [pair_order(3, pair) for pair in range(400)]


@pytest.mark.parametrize(
    ("a", "b", "verdict"),
    [(A, SLOWER, "slower"), (SLOWER, A, "faster"), (A, [99.0, 102.0, 99.4, 100.9, 100.1], "no_difference")],
)
def test_verdicts(a: list[float], b: list[float], verdict: str) -> None:
    assert conclude(compare_pairs(a, b), FINE, FINE, None, None) == (verdict, (), ())


@pytest.mark.parametrize(
    "wish",
    [
        {"sustained_minutes": 1.0},
        {"op_profile": True},
        {"evaluation": "x.npz"},
        {"meter": "odpm"},
        {"gates": ("p50<1",)},
    ],
)
def test_what_is_told_of_one_model_is_refused(wish: dict[str, Any]) -> None:
    """Not passed over in silence. A comparison may be told to measure no energy."""
    with pytest.raises(InputError, match="cannot be had with a comparison") as caught:
        check_wishes(BenchOptions(**wish))
    assert caught.value.code == "E_PLAN"
    check_wishes(BenchOptions(meter="none"))


def test_a_run_that_is_invalid_makes_the_comparison_so_and_a_suspect_one_is_a_note() -> None:
    found = compare_pairs(A, SLOWER)
    verdict, reasons, _ = conclude(found, FINE, record(A, "invalid"), None, None)
    assert (verdict, reasons) == ("invalid", ("b: it swapped",))
    verdict, reasons, notes = conclude(found, record(A, "suspect"), FINE, None, None)
    assert (verdict, reasons, notes) == ("slower", (), ("a suspect: it swapped",))


def test_what_disturbed_both_is_told_once() -> None:
    both = record(A, "suspect")
    assert conclude(compare_pairs(A, SLOWER), both, both, None, None)[2] == ("a and b suspect: it swapped",)


def test_pairs_that_lost_a_launch_do_not_count_and_too_few_are_invalid() -> None:
    found = compare_pairs([100.0, None, 101.0], [100.0, 99.0, 102.0])
    assert found is not None
    assert found.pairs == 2
    verdict, reasons, _ = conclude(found, FINE, FINE, None, None)
    assert (verdict, reasons) == ("invalid", ("2 pairs are too few; at least 3 are needed",))
    assert compare_pairs([None], [1.0]) is None
    assert conclude(None, FINE, FINE, None, None)[0] == "invalid"


def test_a_resolution_that_was_not_reached_is_said() -> None:
    noisy = [95.0, 108.0, 99.0, 104.0, 97.0]
    wanted = planned_pairs(A, noisy, 0.01)
    assert wanted > MAX_PAIRS
    _, _, notes = conclude(compare_pairs(A, noisy), FINE, FINE, 0.01, wanted)
    assert notes[0] == f"1.00% would have taken {wanted} pairs; 50 is the most that is run"
    assert notes[1].startswith("differences below")
    assert planned_pairs(A, A, 0.01) == 5


def test_steps_of_what_a_tool_prints_are_no_resolution() -> None:
    """D1.4, D1.5: 20 us in steps of 10 may be 15 or 25. Pairs that print alike tell nothing smaller, however many they are."""
    alike = compare_pairs([20.0] * 8, [20.0] * 8, step_us=10.0)
    assert alike is not None
    assert (alike.ratio, alike.p_value) == (1.0, 1.0)
    assert alike.ci95_low == pytest.approx(0.75 * 0.75)
    assert alike.ci95_high == pytest.approx(1 / 0.75**2)
    assert alike.smallest_effect is not None
    assert alike.smallest_effect > 0.7


def test_one_step_is_no_difference() -> None:
    """24.9 and 25.1 us print as 20 and 30."""
    one_step = compare_pairs([20.0] * 8, [30.0] * 8, step_us=10.0)
    assert one_step is not None
    assert one_step.ratio == pytest.approx(1.5)
    assert one_step.p_value == 1.0
    assert conclude(one_step, FINE, FINE, None, None)[0] == "no_difference"
    far = compare_pairs([20.0] * 8, [70.0] * 8, step_us=10.0)
    assert far is not None
    assert conclude(far, FINE, FINE, None, None)[0] == "slower"
