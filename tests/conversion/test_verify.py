"""The figures of a comparison, against numbers worked out apart, and the verdict on them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from edgekit import events
from edgekit.conversion.metrics import OutputGatherer
from edgekit.conversion.samples import Samples, generate, raw, spread
from edgekit.conversion.verify import compare, judge
from edgekit.errors import InputError
from edgekit.models import TensorSpec

pytestmark = pytest.mark.base
RNG = np.random.default_rng(11)


def test_figures_against_whole_array_formulas() -> None:
    source = RNG.normal(3, 2, size=(40, 1, 7))
    result = source + RNG.normal(0, 0.1, size=source.shape)
    gatherer = OutputGatherer("y")
    for a, b in zip(source, result, strict=True):
        gatherer.add(a, b)
    found, error = gatherer.result(), result - source
    assert found.max_abs_error == pytest.approx(np.abs(error).max())
    assert found.rms_error == pytest.approx(np.sqrt(np.mean(error**2)))
    assert found.relative_error == pytest.approx(np.abs(error).max() / np.abs(source).max())
    assert found.snr_db == pytest.approx(10 * np.log10((source**2).sum() / (error**2).sum()))
    assert found.cosine == pytest.approx(
        (source * result).sum() / np.sqrt((source**2).sum() * (result**2).sum())
    )
    assert found.flips == int((source.argmax(-1) != result.argmax(-1)).sum())
    assert found.degenerate is None
    assert math.sqrt(gatherer._spread / gatherer.elements) == pytest.approx(source.std())


def _judged(
    before: Callable[[Any], Any], after: Callable[[Any], Any], recipe: str, *, labels: Any = None, drop: float | None = None,
    count: int = 30,
) -> Any:  # fmt: skip
    inputs = tuple((RNG.normal(size=(1, 5)).astype(np.float32),) for _ in range(count))
    given = None if labels is None else tuple(int(labels(x)) for (x,) in inputs)
    samples = Samples("evaluation", inputs, given)
    compared = compare(lambda s: [before(s[0])], lambda s: [after(s[0])], samples, ["y"], drop, events.ignore)
    return judge(compared, recipe, samples)


def _same(x: Any) -> Any:
    return x


@pytest.mark.parametrize(
    ("after", "recipe", "state"),
    [
        (_same, "float32", "passed"),
        (lambda x: x * (1 + 1e-6), "float32", "passed"),
        (lambda x: x * (1 + 1e-4), "float32", "failed"),
        (lambda x: x * (1 + 1e-3), "float16", "passed"),
        (lambda x: x * (1 + 1e-2), "float16", "failed"),
        (lambda x: x * 1.1, "int8-dynamic", "passed"),  # 20 dB
        (lambda x: x * 1.4, "int8-static", "failed"),  # 8 dB
        (lambda x: -x, "int8-static", "failed"),
        (lambda x: x * np.nan, "int8-static", "failed"),
        (lambda x: x[:, :4], "int8-static", "failed"),
    ],
)
def test_without_labels(after: Callable[[Any], Any], recipe: str, state: str) -> None:
    found = _judged(_same, after, recipe)
    assert found.state == state
    assert bool(found.reasons) == (state != "passed")


@pytest.mark.parametrize(
    "poor",
    [
        lambda x: np.zeros_like(x),
        lambda x: np.full_like(x, 7.0),
        lambda x: x * 1e-5,
        lambda x: x * np.nan,
        lambda x: x[:, :0],
    ],
)
@pytest.mark.parametrize("recipe", ["float32", "int8-static"])
def test_an_output_that_says_nothing_is_inconclusive_never_passed(
    poor: Callable[[Any], Any], recipe: str
) -> None:
    found = _judged(poor, poor, recipe)
    assert found.state == "inconclusive"
    assert found.reasons


def _argmax(x: Any) -> int:
    return int(x.argmax())


def test_accuracy_decides_where_there_are_labels() -> None:
    def noisy(x: Any) -> Any:
        return x * 1.5  # far off in numbers, the same answers

    found = _judged(_same, noisy, "int8-static", labels=_argmax, drop=0.01)
    assert found.state == "passed"
    assert (found.accuracy.source_value, found.accuracy.value, found.accuracy.flips) == (1.0, 1.0, 0)


@pytest.mark.parametrize(
    ("drop", "state"), [(0.0, "failed"), (0.3, "failed"), (1.0, "passed"), (None, "failed")]
)
def test_the_profile_says_how_far_accuracy_may_fall(drop: float | None, state: str) -> None:
    found = _judged(_same, lambda x: np.roll(x, 1, axis=-1), "int8-static", labels=_argmax, drop=drop)
    assert found.accuracy.value == 0.0
    assert found.state == state
    if state == "failed":
        assert "accuracy fell from 1.0000 to 0.0000" in found.reasons[0]


def test_labels_of_other_data_are_noticed() -> None:
    found = _judged(_same, _same, "int8-static", labels=lambda x: int(x.argmin()), drop=0.01)
    assert found.state == "inconclusive"
    assert "do the labels belong" in found.reasons[0]


def test_labels_need_a_classifier() -> None:
    for labels in (lambda x: 5, lambda x: -1):
        with pytest.raises(InputError) as caught:
            _judged(_same, _same, "int8-static", labels=labels)
        assert caught.value.code == "E_DATA_LABELS"


def test_one_poor_output_of_two_is_enough_to_doubt() -> None:
    inputs = tuple((RNG.normal(size=(1, 5)),) for _ in range(5))
    samples = Samples("generated", inputs)

    def run(sample: Any) -> Any:
        return [sample[0], np.zeros((1, 3))]

    found = judge(compare(run, run, samples, ["good", "poor"], None, events.ignore), "float32", samples)
    assert found.state == "inconclusive"
    assert found.reasons == ("output 'poor': every value is 0",)


def test_made_up_inputs_repeat_and_stay_in_range() -> None:
    specs = [
        TensorSpec(name="f", dtype="float32", shape=(-1, 3, 3, 1)),
        TensorSpec(name="u", dtype="uint8", shape=(1, 50)),
        TensorSpec(name="t", dtype="int64", shape=(1, 9)),
    ]
    first, second = generate(specs, 6), generate(specs, 6)
    (tokens,) = generate([TensorSpec(name="t", dtype="int32", shape=(1, 500))], 1, token_limits={"t": 70})
    assert 60 < int(tokens[0].max()) < 70
    (signal,) = generate([TensorSpec(name="s", dtype="float32", shape=(1, 500))], 1)
    assert -1 <= signal[0].min() < -0.9
    assert 0.9 < signal[0].max() <= 1
    assert raw(first) == raw(second)
    assert len(raw(first)) == 6 * (9 * 4 + 50 + 9 * 8)
    assert all(f.shape == (1, 3, 3, 1) and f.min() >= 0 and f.max() <= 1 for f, _, _ in first)
    assert max(int(u.max()) for _, u, _ in first) > 127
    assert {int(v) for _, _, t in first for v in t.ravel()} == {0, 1}


@pytest.mark.parametrize(("count", "wanted"), [(3, 5), (5, 5), (200, 4), (7, 3)])
def test_spread(count: int, wanted: int) -> None:
    found = spread(count, wanted)
    assert found[0] == 0
    assert len(set(found)) == min(count, wanted)
    assert max(found) < count


def test_a_result_that_remembers_is_wrong_though_every_difference_is_small() -> None:
    """B1-b2: a converter's fused LSTM went on from the state that the inference before had left."""
    state = [0.0]

    def remembering(sample: Sequence[np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
        state[0] = 0.5 * state[0] + 1e-5
        return [sample[0] * 2 + np.float32(state[0])]

    inputs = tuple((RNG.normal(size=(1, 6)).astype(np.float32),) for _ in range(6))
    samples = Samples("generated", inputs)
    found = judge(
        compare(lambda s: [s[0] * 2], remembering, samples, ["y"], None, events.ignore), "float16", samples
    )
    assert found.state == "failed"
    assert "keeps a state" in found.reasons[0]
    assert (found.relative_error or 1) < 2e-3


def test_a_source_with_a_state_of_its_own_is_no_fault() -> None:
    states = [0.0, 0.0]

    def running_sum(which: int) -> Callable[[Sequence[np.ndarray[Any, Any]]], list[np.ndarray[Any, Any]]]:
        def run(sample: Sequence[np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
            states[which] += float(sample[0].sum())
            return [sample[0] + np.float32(states[which])]

        return run

    samples = Samples("generated", tuple((RNG.normal(size=(1, 6)).astype(np.float32),) for _ in range(6)))
    compared = compare(running_sum(0), running_sum(1), samples, ["y"], None, events.ignore)
    assert judge(compared, "float32", samples).state == "passed"


@pytest.mark.parametrize(
    ("source", "result", "state"),
    [
        (0.0, 7.0, "failed"),  # constant in the source, and something else in the result
        (0.0, 0.0, "inconclusive"),
        (0.0, 1e-6, "inconclusive"),
        (5.0, 5.00001, "inconclusive"),
        (5.0, 5.2, "failed"),
    ],
)
def test_too_poor_to_pass_is_not_too_poor_to_be_wrong(source: float, result: float, state: str) -> None:
    samples = Samples("generated", tuple((RNG.normal(size=(1, 6)).astype(np.float32),) for _ in range(4)))
    compared = compare(
        lambda s: [np.full((1, 3), source)],
        lambda s: [np.full((1, 3), result)],
        samples,
        ["y"],
        None,
        events.ignore,
    )
    assert judge(compared, "float32", samples).state == state


def test_nan_in_one_sample_of_the_source_hides_nothing_in_the_others() -> None:
    calls = [0]

    def source(sample: Sequence[np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
        calls[0] += 1
        return [sample[0] * (np.nan if calls[0] == 3 else 1)]

    samples = Samples("generated", tuple((RNG.normal(size=(1, 6)).astype(np.float32),) for _ in range(5)))
    good = compare(source, lambda s: [s[0]], samples, ["y"], None, events.ignore)
    assert judge(good, "float32", samples).state == "inconclusive"
    calls[0] = 0
    bad = compare(source, lambda s: [s[0] * np.nan], samples, ["y"], None, events.ignore)
    assert judge(bad, "float32", samples).state == "failed"


def test_an_output_that_no_input_changes_proves_nothing() -> None:
    samples = Samples("generated", tuple((RNG.normal(size=(1, 6)).astype(np.float32),) for _ in range(5)))
    run = lambda s: [np.arange(4.0)]  # noqa: E731
    found = judge(compare(run, run, samples, ["y"], None, events.ignore), "float32", samples)
    assert found.state == "inconclusive"
    assert "the same for every input" in found.reasons[0]
