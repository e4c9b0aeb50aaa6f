"""B1.3: task metrics: classification (elsewhere), regression; the user's own function is in test_trust.py."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgekit import events
from edgekit.conversion.datasets import load_dataset
from edgekit.conversion.samples import Samples, samples_for_verification
from edgekit.conversion.verify import compare, judge
from edgekit.errors import InputError
from edgekit.models.info import TensorSpec

pytestmark = pytest.mark.base
RNG = np.random.default_rng(8)


def _samples(count: int = 40) -> tuple[Samples, np.ndarray]:  # type: ignore[type-arg]
    inputs = RNG.normal(size=(count, 1, 3)).astype(np.float32)
    targets = inputs.sum(axis=(1, 2)) + RNG.normal(0, 0.1, count)
    return Samples("evaluation", tuple((x,) for x in inputs), None, targets), targets


def test_r2_is_what_the_definition_says() -> None:
    samples, targets = _samples()
    found = compare(
        lambda s: [s[0].sum(keepdims=True)],
        lambda s: [s[0].sum(keepdims=True) * 1.1],
        samples,
        ["y"],
        0.01,
        events.ignore,
    ).accuracy
    sums = np.array([s[0].sum() for s in samples.inputs], dtype=np.float64)
    spread = ((targets - targets.mean()) ** 2).sum()
    assert found is not None
    assert found.metric == "r2"
    assert found.source_value == pytest.approx(1 - ((sums - targets) ** 2).sum() / spread, rel=1e-5)
    assert found.value == pytest.approx(1 - ((sums * 1.1 - targets) ** 2).sum() / spread, rel=1e-4)
    assert found.flips is None


@pytest.mark.parametrize(("scale", "state"), [(1.0, "passed"), (1.5, "failed")])
def test_a_drop_past_the_limit_fails(scale: float, state: str) -> None:
    samples, _ = _samples()
    compared = compare(
        lambda s: [s[0].sum(keepdims=True)],
        lambda s: [s[0].sum(keepdims=True) * scale],
        samples,
        ["y"],
        0.01,
        events.ignore,
    )
    found = judge(compared, "int8-static", samples)
    assert found.state == state
    assert all("r2 fell from" in reason for reason in found.reasons)


def test_a_source_that_explains_nothing_is_inconclusive() -> None:
    samples, _ = _samples()
    run = lambda s: [-s[0].sum(keepdims=True)]  # noqa: E731
    found = judge(compare(run, run, samples, ["y"], 0.01, events.ignore), "int8-static", samples)
    assert found.state == "inconclusive"


def test_targets_are_read_and_checked(tmp_path: Path) -> None:
    specs = [TensorSpec(name="x", dtype="float32", shape=(1, 3))]
    x, y = RNG.normal(size=(9, 3)).astype(np.float32), RNG.normal(size=9)
    np.savez(tmp_path / "good.npz", x=x, targets=y)
    data = load_dataset(tmp_path / "good.npz", specs, role="evaluation")
    samples = samples_for_verification(specs, data, None)
    assert samples.targets is not None
    np.testing.assert_array_equal(samples.targets, y)
    for name, wrong in {
        "count": y[:5], "text": np.array(["a"] * 9), "nan": np.full(9, np.nan), "constant": np.ones(9),
    }.items():  # fmt: skip
        np.savez(tmp_path / f"{name}.npz", x=x, targets=wrong)
        with pytest.raises(InputError):
            load_dataset(tmp_path / f"{name}.npz", specs, role="evaluation")
    wrong_size = Samples("evaluation", samples.inputs, None, RNG.normal(size=(9, 2)))
    with pytest.raises(InputError) as caught:
        compare(lambda s: [s[0][:, :1]], lambda s: [s[0][:, :1]], wrong_size, ["y"], None, events.ignore)
    assert caught.value.code == "E_DATA_LABELS"
