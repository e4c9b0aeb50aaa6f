"""Calibration and evaluation files: what is wrong with them is said before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgekit.conversion.datasets import load_dataset
from edgekit.errors import InputError
from edgekit.models import TensorSpec
from tests.conversion.models import DIGITS

pytestmark = pytest.mark.base
IMAGE = TensorSpec(name="image", dtype="float32", shape=(1, 4, 4, 1))
STATE = TensorSpec(name="state", dtype="int32", shape=(-1, 3))
RNG = np.random.default_rng(5)
GOOD = RNG.random((10, 4, 4, 1), dtype=np.float32)


def save(tmp_path: Path, **arrays: Any) -> Path:
    path = tmp_path / "data.npz"
    np.savez_compressed(path, **arrays)
    return path


@pytest.mark.parametrize(
    ("arrays", "first_shape"),
    [
        ({"image": GOOD}, (1, 4, 4, 1)),
        ({"inputs": GOOD}, (1, 4, 4, 1)),
        ({"image": GOOD[:, None]}, (1, 4, 4, 1)),
        ({"image": (GOOD * 255).astype(np.uint8)}, (1, 4, 4, 1)),
        ({"image": GOOD.astype(np.float64), "labels": np.arange(10)}, (1, 4, 4, 1)),
    ],
)
def test_taken(tmp_path: Path, arrays: dict[str, Any], first_shape: tuple[int, ...]) -> None:
    data = load_dataset(save(tmp_path, **arrays), [IMAGE], role="evaluation")
    (first,) = data.sample(0)
    assert (len(data), first.shape, first.dtype) == (10, first_shape, np.float32)
    values = next(iter(arrays.values()))
    np.testing.assert_allclose(first.ravel(), values[0].ravel().astype(np.float32))
    assert (data.labels is not None) == ("labels" in arrays)


def test_several_inputs_in_model_order(tmp_path: Path) -> None:
    path = save(tmp_path, state=np.arange(30, dtype=np.int64).reshape(10, 3), image=GOOD)
    data = load_dataset(path, [IMAGE, STATE], role="calibration")
    image, state = data.sample(9)
    assert (image.shape, state.shape, state.dtype) == ((1, 4, 4, 1), (1, 3), np.int32)
    assert state.tolist() == [[27, 28, 29]]


def with_nan() -> Any:
    bad = GOOD.copy()
    bad[3, 0, 0, 0] = np.nan
    return bad


@pytest.mark.parametrize(
    ("arrays", "code", "said"),
    [
        ({"picture": GOOD}, "E_DATA_NAMES", "image float32 [1, 4, 4, 1]"),
        ({"image": GOOD, "extra": GOOD}, "E_DATA_NAMES", "extra"),
        ({}, "E_DATA_NAMES", "nothing"),
        ({"image": GOOD[:, :3]}, "E_DATA_SHAPE", "expected [N, 4, 4, 1]"),
        ({"image": GOOD[..., 0]}, "E_DATA_SHAPE", "[10, 4, 4]"),
        ({"image": np.float32(3)}, "E_DATA_SHAPE", "expected"),
        ({"image": GOOD[:0]}, "E_DATA_SHAPE", "no samples"),
        ({"image": GOOD.astype(np.complex64)}, "E_DATA_DTYPE", "complex64, expected float32"),
        ({"image": np.full((10, 4, 4, 1), "a")}, "E_DATA_DTYPE", "expected float32"),
        ({"image": with_nan()}, "E_DATA_VALUES", "NaN"),
        ({"image": GOOD.astype(np.float64) * 1e300}, "E_DATA_VALUES", "infinite"),
        ({"image": np.zeros_like(GOOD)}, "E_DATA_VALUES", "every value is 0"),
        ({"image": np.repeat(GOOD[:1], 10, axis=0)}, "E_DATA_VALUES", "all 10 samples are the same"),
        ({"image": GOOD, "labels": np.arange(9)}, "E_DATA_LABELS", "expected 10 class numbers"),
        ({"image": GOOD, "labels": np.linspace(0, 1, 10)}, "E_DATA_LABELS", "float64"),
        ({"image": GOOD, "labels": np.eye(10, dtype=int)}, "E_DATA_LABELS", "[10, 10]"),
    ],
)
def test_refused(tmp_path: Path, arrays: dict[str, Any], code: str, said: str) -> None:
    path = save(tmp_path, **arrays)
    with pytest.raises(InputError) as caught:
        load_dataset(path, [IMAGE], role="calibration")
    assert (caught.value.code, caught.value.exit_code) == (code, 1)
    assert said in caught.value.message
    assert str(path) in caught.value.message


def test_inputs_that_do_not_go_together(tmp_path: Path) -> None:
    path = save(tmp_path, image=GOOD, state=np.arange(27).reshape(9, 3))
    with pytest.raises(InputError, match="9 samples, the other inputs have 10"):
        load_dataset(path, [IMAGE, STATE], role="calibration")


@pytest.mark.parametrize("values", [np.full((10, 3), 2**40), np.linspace(0, 1, 30).reshape(10, 3)])
def test_integers_that_do_not_fit(tmp_path: Path, values: Any) -> None:
    with pytest.raises(InputError) as caught:
        load_dataset(save(tmp_path, state=values), [STATE], role="calibration")
    assert caught.value.code in ("E_DATA_DTYPE", "E_DATA_VALUES")


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 broken"])
def test_no_npz(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.npz"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        load_dataset(path, [IMAGE], role="calibration")
    assert caught.value.code == "E_DATA"
    assert "savez" in str(caught.value.hint)


def test_missing_and_pickled(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        load_dataset(tmp_path / "absent.npz", [IMAGE], role="calibration")
    assert caught.value.code == "E_DATA_MISSING"
    path = save(tmp_path, image=np.array([{"a": 1}], dtype=object))
    with pytest.raises(InputError) as caught:
        load_dataset(path, [IMAGE], role="calibration")
    assert caught.value.code == "E_DATA"


_BYTES = (DIGITS / "calibration.npz").read_bytes()
_DIGITS = TensorSpec(name="image", dtype="float32", shape=(1, 28, 28, 1))


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(at=st.integers(0, len(_BYTES) - 1), value=st.integers(0, 255), keep=st.integers(1, len(_BYTES)))
def test_a_damaged_npz_is_an_error_or_data(tmp_path: Path, at: int, value: int, keep: int) -> None:
    changed = bytearray(_BYTES)
    changed[at] = value
    path = tmp_path / "fuzz.npz"
    for data in (changed, changed[:keep]):
        path.write_bytes(bytes(data))
        try:
            assert len(load_dataset(path, [_DIGITS], role="calibration")) == 200
        except InputError as error:
            assert error.code.startswith("E_DATA")  # noqa: PT017


def test_the_demo_data() -> None:
    """A10: the committed data fits the committed model; evaluation digits are not calibration digits."""
    calibration = load_dataset(DIGITS / "calibration.npz", [_DIGITS], role="calibration")
    evaluation = load_dataset(DIGITS / "evaluation.npz", [_DIGITS], role="evaluation")
    assert (len(calibration), len(evaluation)) == (200, 2000)
    assert evaluation.labels is not None
    assert np.bincount(evaluation.labels, minlength=10).min() > 100
    seen = {calibration.sample(i)[0].tobytes() for i in range(200)}
    assert not any(evaluation.sample(i)[0].tobytes() in seen for i in range(2000))
