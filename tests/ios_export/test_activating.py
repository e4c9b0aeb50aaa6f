"""B2.1: int8 activations of Core ML, calibrated here by the evaluator, written into the program and read back (B2-b3)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("coremltools")
pytest.importorskip("torch")

import coremltools as ct
from coremltools.converters.mil import Builder as mb  # noqa: N813
from edgekit_ios import activating
from edgekit_ios.activating import activated, plan, steps
from edgekit_ios.activating_edit import insert
from edgekit_ios.mil.evaluate import fold, run_program
from edgekit_ios.mil.package import Package
from edgekit_ios.mil.program import Program, read_program

from edgekit import events
from edgekit.conversion.ranges import Range
from edgekit.conversion.recipes import Recipe, load_recipe
from edgekit.errors import InputError, VerificationError
from tests.conversion.convert import convert
from tests.conversion.recipes.data import net_and_data

pytestmark = pytest.mark.heavy
HEAD = "schema: edgekit.recipe/1\nname: mine\nweights: {type: int, bits: 8}\n"
STATIC = "activations: {mode: static, bits: 8}\n"
SYMMETRIC = "activations: {mode: static, bits: 8, symmetric: true}\n"
RNG = np.random.default_rng(5)
FIRST, SECOND = (RNG.normal(size=(4, 4, 3, 3)).astype(np.float32) for _ in range(2))
SAMPLES = [(RNG.normal(size=(1, 4, 6, 6)).astype(np.float32),) for _ in range(6)]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A residual block: conv, relu, conv, add, pooling, softmax."""

    @mb.program(input_specs=[mb.TensorSpec((1, 4, 6, 6))], opset_version=ct.target.iOS17)
    def program(x: Any) -> Any:
        one = mb.relu(x=mb.conv(x=x, weight=FIRST, pad_type="same", name="one"), name="one_relu")
        two = mb.conv(x=one, weight=SECOND, pad_type="same", name="two")
        both = mb.add(x=two, y=one, name="both")
        pooled = mb.max_pool(x=both, kernel_sizes=[2, 2], strides=[2, 2], pad_type="valid", name="pooled")
        return mb.softmax(x=pooled, axis=1, name="scores")

    folder = tmp_path_factory.mktemp("mil") / "float.mlpackage"
    made = ct.convert(
        program,
        convert_to="mlprogram",
        skip_model_load=True,
        minimum_deployment_target=ct.target.iOS17,
        compute_precision=ct.precision.FLOAT32,
    )
    made.save(str(folder))
    return folder


def read(package: Path) -> Program:
    opened = Package(package)
    return read_program(opened.model, opened.blob_file, fold)


def recipe(tmp_path: Path, text: str) -> Recipe:
    file = tmp_path / "mine.yaml"
    file.write_text(HEAD + text)
    return load_recipe(str(file))


def act(package: Path, asked: Recipe) -> tuple[Program, Any, tuple[str, ...]]:
    """The program with int8 activations, how ranges were found, notes."""
    opened = Package(package)
    notes, found = activated(opened.model, package, package, ["x"], asked, SAMPLES, events.ignore)
    return read_program(opened.model, opened.blob_file, fold), found, notes


def test_every_tensor_between_is_int8_and_the_output_is_not(package: Path, tmp_path: Path) -> None:
    after, found, notes = act(package, recipe(tmp_path, STATIC))
    stored = [one.inputs["input"][0].name for one in after.block.operations if one.type == "quantize"]
    assert stored == ["x", "one_relu", "two", "both", "pooled"]
    assert (found.tensors, found.samples, found.method, found.clipped, notes) == (5, 6, "min-max", (), ())
    before = read(package)
    (real,), (made,) = (run_program(p, [SAMPLES[0][0]]) for p in (before, after))
    assert 1e-4 < np.abs(real - made).max() < 0.15


def test_rules_leave_their_operations_float(package: Path, tmp_path: Path) -> None:
    after, _, _ = act(package, recipe(tmp_path, STATIC + "rules: [{layer: ^one$, scheme: float}]\n"))
    readers = {one.name: one.inputs["x"][0].name for one in after.block.operations if one.type == "conv"}
    assert readers == {"one": "x", "two": "one_relu_held"}, "the first reads float, the second int8"


def test_symmetric_ranges_have_no_zero_point(package: Path, tmp_path: Path) -> None:
    after, _, _ = act(package, recipe(tmp_path, SYMMETRIC))
    zeros = {
        int(after.block.constants[one.inputs["zero_point"][0].name])
        for one in after.block.operations
        if one.type == "quantize"
    }
    assert zeros == {0}


def test_clipping_is_told(package: Path, tmp_path: Path) -> None:
    """B2.2: what a percentile costs is read from the file."""
    text = STATIC + "ranges: {method: percentile, percentile: 90}\n"
    _, found, notes = act(package, recipe(tmp_path, text))
    assert len(found.clipped) == 5
    assert "clips 5 of 5 tensors" in notes[-1]


def test_a_rule_for_what_has_no_int8_activations(package: Path, tmp_path: Path) -> None:
    asked = recipe(tmp_path, "rules: [{op: softmax, scheme: int8-static}]\n")
    with pytest.raises(InputError) as caught:
        plan(asked, read(package))
    assert caught.value.code == "E_RECIPE_RULE"
    assert "softmax is not made int8-static" in caught.value.message


@pytest.mark.parametrize("kind", ["float16", "float32"])
@pytest.mark.parametrize("symmetric", [True, False])
def test_steps_hold_the_range_and_zero(kind: str, symmetric: bool) -> None:
    for low, high in ((-3.0, 1.0), (0.0, 7.7), (-1e-3, 0.0), (0.0, 0.0), (-900.0, 2.0)):
        scale, zero = steps(Range(low, high, low, high), symmetric, kind)
        assert scale == float(np.dtype(kind).type(scale)) > 0
        assert scale * (-128.51 - zero) <= low
        assert scale * (127.51 - zero) >= high


def nothing(model: Any, pairs: Any) -> None:
    """No pair is written."""


def wrong_scale(model: Any, pairs: Any) -> None:
    insert(model, [replace(one, scale=2 * one.scale) for one in pairs])


def moving_average(model: Any, pairs: Any) -> None:
    insert(model, [replace(one, scale=0.8 * one.scale) for one in pairs])


def float_ones_too(model: Any, pairs: Any) -> None:
    insert(model, [*pairs, replace(pairs[0], name="x", readers=frozenset({"one"}))])


def other_zero_behind(model: Any, pairs: Any) -> None:
    insert(model, pairs)
    (block,) = model.mlProgram.functions["main"].block_specializations.values()
    back = next(one for one in block.operations if one.type == "dequantize")
    other = next(o.name for one in block.operations for o in one.outputs if o.name == "both_zero_point")
    late = [one for one in block.operations if one.outputs[0].name == other]
    kept = [one for one in block.operations if one.outputs[0].name != other]
    back.inputs["zero_point"].arguments[0].name = other
    copies = [type(one).FromString(one.SerializeToString()) for one in (*late, *kept)]
    del block.operations[:]
    block.operations.extend(copies)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (nothing, "it was to be int8"),
        (wrong_scale, "is enough"),
        (moving_average, "calibration found"),
        (float_ones_too, "it was to stay float"),
        (other_zero_behind, "stored with scale"),
    ],
)
def test_b2_b3_damage_is_seen(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: Any, says: str
) -> None:
    monkeypatch.setattr(activating, "insert", damage)
    with pytest.raises(VerificationError) as caught:
        act(package, recipe(tmp_path, STATIC + "rules: [{layer: ^one$, scheme: float}]\n"))
    assert (caught.value.code, caught.value.exit_code) == ("E_RECIPE_NOT_MET", 7)
    assert says in caught.value.message


def test_a_whole_conversion_has_the_same_bytes_twice(tmp_path: Path) -> None:
    """Float16 arithmetic, weights and activations int8, from PyTorch; images in another layout, which samples follow."""
    model, data = net_and_data("cnn", "torch", tmp_path)
    made = [
        convert(
            model,
            recipe="int8-static",
            to="coreml",
            layout="nhwc",
            calibration=data,
            output=tmp_path / f"{i}.ekm",
        ).manifest
        for i in range(2)
    ]
    found, ranges = made[0].verification, made[0].ranges
    assert found.state == "passed"
    assert found.snr_db is not None
    assert found.snr_db > 30
    assert ranges is not None
    assert ranges.tensors == 7
    assert made[0].model.sha256 == made[1].model.sha256
