"""What a push has to do, and when outputs agree: tables over pure functions (A8, A-b2)."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.deployment.golden import compare_outputs
from edgekit.deployment.release import (
    OnDevice,
    OutputSpec,
    Payload,
    ReleaseFile,
    ReleaseGolden,
    ReleaseManifest,
    decide,
    decode_manifest,
)
from edgekit.errors import DeviceError, InputError

pytestmark = pytest.mark.base


def manifest(sha: str = "a" * 64, version: str = "1", **more: Any) -> ReleaseManifest:
    entry = ReleaseFile(file="model.tflite", sha256=sha, size_bytes=10)
    values = {"recipe": None, **more}
    return ReleaseManifest(
        name="det", version=version, model=entry, files=(entry,), format="tflite", **values
    )


PAYLOAD = Payload(manifest(), {"model.tflite": Path("x")})
WHOLE = {"model.tflite": "a" * 64}
SAME = OnDevice(current="1", manifest=manifest(smoke="passed"), hashes=WHOLE)


@pytest.mark.parametrize(
    ("there", "activate", "action"),
    [
        (OnDevice(None, None), True, "send"),
        (OnDevice("1", None, damaged=True), True, "repair"),
        (SAME, True, "unchanged"),
        (dataclasses.replace(SAME, current="0"), True, "activate"),
        (dataclasses.replace(SAME, current=None), True, "activate"),
        (dataclasses.replace(SAME, current="0"), False, "unchanged"),
        (dataclasses.replace(SAME, hashes={"model.tflite": "b" * 64}), True, "repair"),
        (dataclasses.replace(SAME, hashes={"model.tflite": None}), True, "repair"),
        (OnDevice("0", manifest(), WHOLE), True, "check"),
        (OnDevice("1", manifest(), WHOLE), True, "unchanged"),
        (OnDevice("1", manifest(recipe="float32", smoke="passed"), WHOLE), True, "unchanged"),
    ],
)
def test_decide(there: OnDevice, activate: bool, action: str) -> None:
    assert decide(PAYLOAD, there, activate=activate) == action


def test_what_was_never_tried_is_activated_only_where_the_user_says_so() -> None:
    there = OnDevice("0", manifest(), WHOLE)
    assert decide(PAYLOAD, there, activate=True, smoke=False) == "activate"
    assert decide(PAYLOAD, there, activate=False, smoke=True) == "unchanged"


def test_a_push_that_says_more_replaces_what_is_said() -> None:
    """The same model bytes with golden outputs or an accuracy that the release lacks."""
    richer = Payload(manifest(recipe="int8-static"), {"model.tflite": Path("x")})
    assert decide(richer, SAME, activate=True) == "repair"


def test_a_push_that_is_not_tried_takes_nothing_from_a_release_that_was() -> None:
    """A bench of another artifact with the same model bytes had made a tried, active release an untried one."""
    richer = Payload(manifest(recipe="int8-static"), {"model.tflite": Path("x")})
    told = dataclasses.replace(SAME, manifest=manifest(smoke="passed", recipe="float32"))
    bare = dataclasses.replace(SAME, manifest=manifest(smoke="passed"))
    untried = dataclasses.replace(SAME, manifest=manifest(smoke="unchecked", recipe="float32"))
    assert decide(richer, told, activate=False, smoke=False) == "unchanged"
    assert decide(richer, bare, activate=False, smoke=False) == "repair", "it adds what was not said"
    assert decide(richer, untried, activate=False, smoke=False) == "repair"
    assert decide(richer, told, activate=True, smoke=True) == "repair"


def test_a_version_never_gets_other_content() -> None:
    with pytest.raises(InputError) as error:
        decide(PAYLOAD, dataclasses.replace(SAME, manifest=manifest("b" * 64)), activate=True)
    assert error.value.code == "E_RELEASE_EXISTS"


def test_manifest_round_trip_and_damage() -> None:
    data = manifest().encode()
    assert decode_manifest(data, "local:") == manifest()
    for bad in (b"", b"{", data[:-5], b"[]", b"\xff\xfe", data.replace(b'"det"', b"3")):
        with pytest.raises(DeviceError) as error:
            decode_manifest(bad, "local:")
        assert error.value.code == "E_RELEASE_DAMAGED"


def test_a_newer_manifest_is_refused_by_schema_and_read_over_otherwise() -> None:
    data = manifest().encode().replace(b'"recipe"', b'"extra": 1, "recipe"')
    assert decode_manifest(data, "local:").name == "det"
    with pytest.raises(DeviceError) as error:
        decode_manifest(data.replace(b"edgekit.release/1", b"edgekit.release/9"), "local:")
    assert error.value.code == "E_RELEASE_SCHEMA"
    with pytest.raises(DeviceError) as damaged:
        decode_manifest(manifest().encode().replace(b"edgekit.release/1", b"edgekit.selease/1"), "d")
    assert damaged.value.code == "E_RELEASE_DAMAGED"


FLOATS = ReleaseGolden(
    samples=2, tolerance=1e-5, outputs=(OutputSpec(name="y", dtype="float32", shape=(1, 3)),)
)
BYTES = ReleaseGolden(
    samples=2, tolerance=1e-5, outputs=(OutputSpec(name="y", dtype="int8", shape=(1, 300)),)
)
WANT = np.array([[1.0, 2.0, 100.0], [3.0, 2.0, 1.0]], dtype="<f4")


@pytest.mark.parametrize(
    ("delta", "state"),
    [(0.0, "passed"), (9e-4, "passed"), (1.2e-3, "failed"), (np.nan, "failed"), (np.inf, "failed")],
)
def test_float_tolerance_is_a_share_of_the_largest(delta: float, state: str) -> None:
    have = WANT.copy()
    have[1, 1] += delta
    assert compare_outputs(WANT.tobytes(), have.tobytes(), FLOATS).state == state


def test_flips_are_counted() -> None:
    have = WANT.copy()
    have[1, 0], have[1, 1] = 2.0, 3.0

    found = compare_outputs(
        WANT.tobytes(), have.tobytes(), ReleaseGolden(samples=2, tolerance=1.0, outputs=FLOATS.outputs)
    )
    assert (found.state, found.flips) == ("passed", 1)


@pytest.mark.parametrize(("changed", "step", "state"), [(6, 1, "passed"), (7, 1, "failed"), (1, 2, "failed")])
def test_integers_one_step_on_one_percent(changed: int, step: int, state: str) -> None:
    want = np.arange(600, dtype=np.int16).astype(np.int8).reshape(2, 300) // 2
    have = want.copy()
    have.flat[:changed] += step
    assert compare_outputs(want.tobytes(), have.tobytes(), BYTES).state == state


def test_outputs_that_are_all_alike_prove_nothing_and_excuse_nothing() -> None:
    same = np.ones((2, 3), dtype="<f4").tobytes()
    assert compare_outputs(same, same, FLOATS).state == "unchecked"
    assert compare_outputs(same, WANT.tobytes(), FLOATS).state == "failed"


def test_expected_outputs_that_are_no_numbers_pass_nothing() -> None:
    want = WANT.copy()
    want[0, 0] = np.nan
    assert compare_outputs(want.tobytes(), WANT.tobytes(), FLOATS).state == "failed"


def test_dequantized_floats_are_compared_in_steps() -> None:
    golden = ReleaseGolden(
        samples=2, tolerance=1e-5, outputs=(OutputSpec(name="y", dtype="float32", shape=(1, 300), step=0.5),)
    )
    want = (np.arange(600, dtype="<f4") * 0.5).reshape(2, 300)
    near, far = want.copy(), want.copy()
    near.flat[:6] += 0.5
    far.flat[0] += 1.0
    assert compare_outputs(want.tobytes(), near.tobytes(), golden).state == "passed"
    assert compare_outputs(want.tobytes(), far.tobytes(), golden).state == "failed"


@pytest.mark.parametrize("data", [b"", b"\0" * 23, b"\0" * 25])
def test_wrong_size_fails(data: bytes) -> None:
    assert compare_outputs(WANT.tobytes(), data, FLOATS).state == "failed"


def test_several_outputs_of_different_types() -> None:
    golden = ReleaseGolden(
        samples=2,
        tolerance=0.1,
        outputs=(
            OutputSpec(name="a", dtype="float32", shape=(2,)),
            OutputSpec(name="b", dtype="uint8", shape=(3,)),
        ),
    )
    row = np.array([1.5, 2.5], "<f4").tobytes() + bytes([1, 2, 3])
    assert compare_outputs(row * 2, row * 2, golden).state == "passed"
    wrong = row + row[:-1] + bytes([200])
    found = compare_outputs(row * 2, wrong, golden)
    assert found.state == "failed"
    assert "'b'" in found.reason
