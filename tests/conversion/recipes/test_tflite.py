"""B2.1, B2.2: recipes made by the real quantizer on the test nets, read back from the file."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.conversion.targets.tflite_graph import MOVES, Graph, Operator, Tensor, read_graphs
from edgekit.errors import InputError, ModelError, VerificationError
from edgekit.events import Event
from edgekit.models import Artifact
from tests.conversion.build import adder
from tests.conversion.convert import convert
from tests.conversion.models import DIGITS
from tests.conversion.recipes.data import net_and_data

pytest.importorskip("ai_edge_quantizer.quantizer")
pytestmark = pytest.mark.heavy
HEAD = "schema: edgekit.recipe/1\nname: mine\n"
STATIC = "weights: {type: int, bits: 8}\nactivations: {mode: static, bits: 8}\n"


def made(tmp_path: Path, net: str, recipe: str, **wishes: Any) -> tuple[Artifact, Graph]:
    """`recipe`: a name, or the text of a file below its first two lines."""
    model, data = net_and_data(net, "tflite", tmp_path)
    if "\n" in recipe:
        (tmp_path / "mine.yaml").write_text(HEAD + recipe)
        recipe = str(tmp_path / "mine.yaml")
    artifact = convert(model, recipe=recipe, calibration=data, output=tmp_path / "o.ekm", **wishes)
    return artifact, read_graphs(artifact.model_path.read_bytes())[0]


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.999])
def test_a_file_that_ends_too_early_is_a_damaged_model(share: float) -> None:
    data = (DIGITS / "digits.tflite").read_bytes()
    with pytest.raises(ModelError) as caught:
        read_graphs(data[: int(share * len(data))])
    assert caught.value.code == "E_MODEL_CORRUPT"


def weights(graph: Graph, name: str) -> list[tuple[Operator, Tensor]]:
    found = [(op, graph.weight(op)) for op in graph.operators if op.name == name]
    return [(op, weight) for op, weight in found if weight is not None]


@pytest.mark.parametrize(
    ("recipe", "kind", "activation"),
    [
        ("float16", "float16", "float32"),
        ("int8-dynamic", "int8", "float32"),
        ("int8-weight-only", "int8", "float32"),
        ("int8-static", "int8", "int8"),
        ("int16x8", "int8", "int16"),
        ("int4-weight-only", "int4", "float32"),
        ("int4-blockwise", "int4", "float32"),
        ("mixed", "int8", "float32"),
    ],
)
@pytest.mark.parametrize("net", ["cnn", "encoder"])
def test_types_and_granularity_in_the_file(
    tmp_path: Path, net: str, recipe: str, kind: str, activation: str
) -> None:
    artifact, graph = made(tmp_path, net, recipe)
    assert artifact.manifest.recipe == recipe
    dense = [(op, weight) for op, weight in weights(graph, "FULLY_CONNECTED") if weight.kind != "float32"]
    assert dense
    for op, weight in dense:
        small = prod(weight.shape) < 1024
        assert weight.kind == ("int8" if small and recipe == "int4-weight-only" else kind)
        assert not (small and recipe == "int8-dynamic")
        assert graph.tensors[op.outputs[0]].kind == activation
        if recipe == "int4-blockwise":
            assert int(weight.blocks.blockSize) == 32
        elif kind.startswith("int"):
            assert len(weight.scale) == weight.shape[0]
    for number in (*graph.inputs, *graph.outputs):
        assert graph.tensors[number].kind in ("float32", "int32", "int64")


def test_dynamic_leaves_depthwise_in_float(tmp_path: Path) -> None:
    """A10's lesson 4: LiteRT's dynamic kernel for it is slower than the float one."""
    _, graph = made(tmp_path, "cnn", "int8-dynamic")
    assert [weight.kind for _, weight in weights(graph, "DEPTHWISE_CONV_2D")] == ["float32"]
    assert [weight.kind for _, weight in weights(graph, "CONV_2D")] == ["int8"]


def test_rules_by_operator_and_by_layer(tmp_path: Path) -> None:
    """Three schemes in one file: the first rule that fits decides, the rest is the recipe's own."""
    text = """weights: {type: int, bits: 8}
activations: {mode: dynamic, bits: 8}
schemes: {small: {weights: {type: int, bits: 4, ranges: octav}}}
rules:
  - {layer: 'Linear_classifier|serving_default_output', scheme: float}
  - {op: FULLY_CONNECTED, scheme: small}
"""
    artifact, graph = made(tmp_path, "cnn", text)
    kinds = [weight.kind for _, weight in weights(graph, "FULLY_CONNECTED")]
    assert kinds == ["int4", "float32"]
    assert [weight.kind for _, weight in weights(graph, "CONV_2D")] == ["int8"]
    assert artifact.manifest.recipe == "mine"


def test_the_example_for_processors_keeps_what_is_slow_in_float(tmp_path: Path) -> None:
    """examples/recipes; where a network has nothing of that, it says so."""
    path = str(Path(__file__).parents[3] / "examples" / "recipes" / "int8-static-cpu.yaml")
    artifact, graph = made(tmp_path, "encoder", path)
    slow = {"SQUARED_DIFFERENCE", "RSQRT", "BATCH_MATMUL", "SOFTMAX"}
    kept = [op for op in graph.operators if op.name in slow]
    assert {op.name for op in kept} == slow
    assert {graph.tensors[op.outputs[0]].kind for op in kept} == {"float32"}
    dense = [op for op, _ in weights(graph, "FULLY_CONNECTED")]
    assert {graph.tensors[op.outputs[0]].kind for op in dense} == {"int8"}
    assert artifact.manifest.recipe == "int8-static-cpu"
    with pytest.raises(InputError) as caught:
        made(tmp_path / "cnn", "cnn", path)
    assert caught.value.code == "E_RECIPE_RULE"


def test_a_float_island_between_integers(tmp_path: Path) -> None:
    artifact, graph = made(tmp_path, "cnn", STATIC + "rules: [{op: CONV_2D, scheme: float}]\n")
    (conv,) = [op for op in graph.operators if op.name == "CONV_2D"]
    assert graph.tensors[conv.outputs[0]].kind == "float32"
    assert {op.name for op in graph.operators} >= set(MOVES)
    assert artifact.manifest.verification.state == "passed"


def test_per_tensor_where_it_is_asked_for(tmp_path: Path) -> None:
    _, graph = made(tmp_path, "cnn", STATIC.replace("bits: 8}\na", "bits: 8, granularity: tensor}\na"))
    assert {len(weight.scale) for _, weight in weights(graph, "FULLY_CONNECTED")} == {1}


def test_boundary_quantized(tmp_path: Path) -> None:
    """Not float at its ends: the application has to give integers."""
    with pytest.raises(VerificationError) as caught:
        made(tmp_path, "cnn", STATIC + "boundary: quantized\n")
    assert caught.value.code == "E_SIGNATURE"


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        (STATIC + "rules: [{op: CONV_3D, scheme: float}]\n", "E_RECIPE_RULE", "did you mean 'CONV_2D'?"),
        (STATIC + "rules: [{layer: nowhere, scheme: float}]\n", "E_RECIPE_RULE", "fits no operator"),
        (STATIC + "rules: [{op: SOFTMAX, scheme: float}]\n", "E_RECIPE_RULE", "rule 1 (op SOFTMAX)"),
        (
            STATIC + "rules: [{op: DEPTHWISE_CONV_2D, scheme: int4-weight-only}]\n",
            "E_RECIPE_RULE",
            "DEPTHWISE_CONV_2D is not made int4-weight-only",
        ),
        ("weights: {type: palette, bits: 4}\n", "E_RECIPE", "which is palette4"),
        ("weights: {type: int, bits: 8, sparsity: 0.5}\n", "E_RECIPE", "sparse-int8-weight-only"),
    ],
)
def test_refused(tmp_path: Path, text: str, code: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        made(tmp_path, "cnn", text)
    assert (caught.value.code, caught.value.exit_code) == (code, 1)
    assert said in caught.value.message


def test_nothing_to_quantize(tmp_path: Path) -> None:
    (tmp_path / "adder.tflite").write_bytes(adder())
    for recipe in ("int8-dynamic", "int4-blockwise", "float16"):
        with pytest.raises(VerificationError) as caught:
            convert(tmp_path / "adder.tflite", recipe=recipe, output=tmp_path / "o.ekm")
        assert caught.value.code == "E_NOTHING_QUANTIZED"


def test_what_stays_float_is_told(tmp_path: Path) -> None:
    artifact, _ = made(tmp_path, "cnn", "int4-blockwise")
    notes = "\n".join(artifact.manifest.notes)
    assert "its 784 columns are no multiple of 32: FULLY_CONNECTED" in notes
    assert "the quantizer makes no int4-blockwise of it: CONV_2D" in notes


@pytest.mark.parametrize("method", [None, "percentile:99.9", "entropy", "mse"])
def test_b2_b3_same_inputs_same_bytes(tmp_path: Path, method: str | None) -> None:
    first, _ = made(tmp_path, "cnn", "int8-static", calibration_method=method)
    one = (first.path / "manifest.json").read_bytes(), first.model_path.read_bytes()
    second, _ = made(tmp_path, "cnn", "int8-static", calibration_method=method)
    assert ((second.path / "manifest.json").read_bytes(), second.model_path.read_bytes()) == one


def test_all_samples_are_used_and_progress_is_told(tmp_path: Path) -> None:
    """One large value in the last of 700 samples, which a choice of 500 would leave out, is in the range."""
    model, data = net_and_data("cnn", "tflite", tmp_path, count=700)
    with np.load(data) as arrays:
        name, values = next(iter(arrays.items()))
        values = values.copy()
    values[698].flat[99] = 50.0
    np.savez(data, **{name: values})
    told: list[Event] = []
    artifact = convert(
        model, recipe="int8-static", calibration=data, output=tmp_path / "o.ekm", sink=told.append
    )
    found = artifact.manifest.ranges
    assert found is not None
    assert (found.method, found.samples, found.clipped) == ("min-max", 700, ())
    calibrating = [event for event in told if event.task == "calibrate"]
    assert calibrating[-1].done == calibrating[-1].total == 700
    graph = read_graphs(artifact.model_path.read_bytes())[0]
    (quantize,) = [op for op in graph.operators if op.inputs[0] in graph.inputs]
    tensor = graph.tensors[quantize.outputs[0]]
    assert tensor.scale[0] * 255 == pytest.approx(50.0, rel=0.02)


def test_the_cost_of_clipping_is_in_the_manifest(tmp_path: Path) -> None:
    artifact, _ = made(tmp_path, "cnn", "int8-static", calibration_method="percentile:99")
    found = artifact.manifest.ranges
    assert found is not None
    assert (found.method, found.samples) == ("percentile 99", 24)
    assert found.clipped
    assert all(0 < one.share < 0.2 and one.saturation > 0 for one in found.clipped)
    assert any("clips" in note for note in artifact.manifest.notes)
    assert Artifact.load(artifact.path).manifest == artifact.manifest
