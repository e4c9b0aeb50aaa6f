"""B2.1, B2.2, B2-b3: recipes made by onnxruntime's real quantizers, read back from the file, and damage that has to be
seen."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from edgekit.conversion.recipes import load_recipe
from edgekit.conversion.targets.onnx_plan import Plan, plan_for
from edgekit.errors import InputError, VerificationError
from edgekit.models import Artifact
from tests.conversion.convert import convert
from tests.conversion.recipes.data import net_and_data

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime.quantization")
pytestmark = pytest.mark.heavy
TARGET = import_module("edgekit.conversion.targets.onnx")
REAL = TARGET.quantize
HEAD = "schema: edgekit.recipe/1\nname: mine\n"
STATIC = "weights: {type: int, bits: 8}\nactivations: {mode: static, bits: 8}\n"


def made(tmp_path: Path, net: str, recipe: str, **wishes: Any) -> tuple[Artifact, Any]:
    model, data = net_and_data(net, "onnx", tmp_path, outlier=9.0 if net == "cnn" else 0.0)
    if "\n" in recipe:
        (tmp_path / "mine.yaml").write_text(HEAD + recipe)
        recipe = str(tmp_path / "mine.yaml")
    wishes = {"to": "onnx", "calibration": data, "output": tmp_path / "o.ekm", **wishes}
    artifact = convert(model, recipe=recipe, **wishes)
    return artifact, onnx.load(str(artifact.model_path))


def types(model: Any) -> dict[str, int]:
    found: dict[str, int] = {}
    for node in model.graph.node:
        found[node.op_type] = found.get(node.op_type, 0) + 1
    return found


def constants(model: Any) -> dict[str, Any]:
    return {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


@pytest.mark.parametrize("net", ["cnn", "mobilenet", "encoder", "lstm"])
@pytest.mark.parametrize(
    ("recipe", "node"),
    [
        ("int8-dynamic", "MatMulInteger"),
        ("int8-weight-only", "DequantizeLinear"),
        ("int8-static", "QuantizeLinear"),
        ("int16x8", "QuantizeLinear"),
        ("int4-blockwise", "MatMulNBits"),
        ("mixed", "MatMulInteger"),
    ],
)
def test_made_and_verified(tmp_path: Path, net: str, recipe: str, node: str) -> None:
    artifact, model = made(tmp_path, net, recipe)
    assert (artifact.manifest.recipe, artifact.manifest.verification.state) == (recipe, "passed")
    assert types(model)[node] >= 1


def test_per_channel_and_per_tensor(tmp_path: Path) -> None:
    _, model = made(tmp_path, "cnn", "int8-static")
    by_channel = constants(model)
    scales = [name for name in by_channel if name.endswith("weight_scale")]
    assert len(scales) == 4
    assert all(by_channel[name].size > 1 for name in scales)
    _, model = made(tmp_path, "cnn", STATIC.replace("bits: 8}\na", "bits: 8, granularity: tensor}\na"))
    assert all(constants(model)[name].size == 1 for name in scales)


def test_a_convolution_is_not_made_dynamic(tmp_path: Path) -> None:
    _, model = made(tmp_path, "cnn", "int8-dynamic")
    assert "ConvInteger" not in types(model)
    assert types(model)["Conv"] == 2
    text = "weights: {type: int, bits: 8, granularity: tensor}\nactivations: {mode: dynamic, bits: 8}\n"
    _, model = made(tmp_path, "cnn", text)
    assert types(model)["ConvInteger"] == 2


def test_rules_by_operator_and_by_layer(tmp_path: Path) -> None:
    """Four ways in one file: static, weights alone, blocks, float."""
    text = STATIC + (
        "rules:\n  - {layer: conv2d_1, scheme: float}\n  - {op: Conv, scheme: int8-weight-only}\n"
        "  - {op: Gemm, layer: scores, scheme: int4-blockwise}\n"
    )
    _, model = made(tmp_path, "cnn", text)
    found = constants(model)
    floats = {name for name in found if found[name].ndim > 1 and found[name].dtype == np.float32}
    assert {name for name in floats if not name.endswith("_scales")} == {"conv2.weight"}
    assert types(model)["MatMulNBits"] == 1
    assert "conv1.weight_quantized" in found


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        (STATIC + "rules: [{op: Convv, scheme: float}]\n", "E_RECIPE_RULE", "did you mean 'Conv'?"),
        (STATIC + "rules: [{op: Conv, scheme: int4-blockwise}]\n", "E_RECIPE_RULE", "Conv is not made int4-blockwise"),
        (STATIC + "rules: [{op: Conv, scheme: int4-weight-only}]\n", "E_RECIPE", "only float32, float16, int8-dynamic"),
    ],
)  # fmt: skip
def test_refused(tmp_path: Path, text: str, code: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        made(tmp_path, "cnn", text)
    assert caught.value.code == code
    assert said in caught.value.message


@pytest.mark.parametrize("method", [None, "percentile:99.9", "entropy", "mse"])
def test_b2_b3_same_inputs_same_bytes(tmp_path: Path, method: str | None) -> None:
    first, _ = made(tmp_path, "cnn", "int8-static", calibration_method=method)
    one = (first.path / "manifest.json").read_bytes(), first.model_path.read_bytes()
    second, _ = made(tmp_path, "cnn", "int8-static", calibration_method=method)
    assert ((second.path / "manifest.json").read_bytes(), second.model_path.read_bytes()) == one
    found = second.manifest.ranges
    assert found is not None
    assert found.samples == 24
    assert bool(found.clipped) == (method is not None)


@pytest.mark.parametrize("recipe", ["int8-dynamic", "int8-weight-only", "int4-blockwise"])
def test_the_same_bytes_without_data(tmp_path: Path, recipe: str) -> None:
    one = made(tmp_path, "encoder", recipe)[0].model_path.read_bytes()
    assert made(tmp_path, "encoder", recipe)[0].model_path.read_bytes() == one


def test_an_old_opset_is_raised(tmp_path: Path) -> None:
    """Opset 11 has no scale for each channel: the quantizer wrote a file that onnxruntime does not load."""
    path, rng = tmp_path / "old.onnx", np.random.default_rng(0)
    kernel = onnx.numpy_helper.from_array(rng.standard_normal((8, 3, 3, 3)).astype(np.float32), "kernel")
    places = [
        onnx.helper.make_tensor_value_info(name, 1, shape)
        for name, shape in (("x", [1, 3, 12, 12]), ("y", [1, 8, 10, 10]))
    ]
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Conv", ["x", "kernel"], ["y"])], "old", places[:1], places[1:], [kernel]
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 11)], ir_version=7)
    path.write_bytes(model.SerializeToString())
    np.savez(tmp_path / "d.npz", x=rng.standard_normal((8, 3, 12, 12)).astype(np.float32))
    for recipe in ("int8-static", "int8-weight-only"):
        artifact = convert(
            path, recipe=recipe, to="onnx", calibration=tmp_path / "d.npz", output=tmp_path / "o.ekm"
        )
        assert any("opset 11 became 13" in note for note in artifact.manifest.notes)
        assert artifact.manifest.verification.state == "passed"


def test_weights_in_constant_nodes_are_weights(tmp_path: Path) -> None:
    """Models of PaddlePaddle have them there: the quantizer took them for activations, and the file grew."""
    model, data = net_and_data("cnn", "onnx", tmp_path, outlier=9.0)
    proto = onnx.load(str(model))
    nodes = [
        onnx.helper.make_node("Constant", [], [tensor.name], value=tensor)
        for tensor in proto.graph.initializer
    ]
    del proto.graph.initializer[:]
    for at, node in enumerate(nodes):
        proto.graph.node.insert(at, node)
    (tmp_path / "constants.onnx").write_bytes(proto.SerializeToString())
    for recipe in ("int8-static", "int8-weight-only", "int4-blockwise"):
        wishes = {"recipe": recipe, "to": "onnx", "calibration": data, "output": tmp_path / "o.ekm"}
        usual = convert(model, **wishes).manifest.model.size_bytes
        found = convert(tmp_path / "constants.onnx", **wishes).manifest.model.size_bytes
        assert found == pytest.approx(usual, rel=0.01)


def test_both_targets_find_the_same_ranges(tmp_path: Path) -> None:
    """One implementation: the same net on the same data, once as TFLite and once as ONNX."""
    model, data = net_and_data("cnn", "torch", tmp_path, outlier=9.0)
    made = [
        convert(
            model,
            to=to,
            recipe="int8-static",
            calibration=data,
            calibration_method="mse",
            output=tmp_path / to,
        )
        for to in ("tflite", "onnx")
    ]
    from edgekit.conversion.targets.tflite_graph import read_graphs

    graph = read_graphs(made[0].model_path.read_bytes())[0]
    (first,) = [op for op in graph.operators if op.inputs[0] in graph.inputs and op.name == "QUANTIZE"]
    scales = constants(onnx.load(str(made[1].model_path)))
    assert scales["image_scale"] == pytest.approx(float(graph.tensors[first.outputs[0]].scale[0]), rel=1e-5)


Edit = Callable[[dict[str, Any]], None]


def edited(edit: Edit) -> Callable[..., Any]:
    """The real quantizer's model with changed constants."""

    def change(model: Any, plan: Plan, ranges: Any) -> Any:
        after = REAL(model, plan, ranges)
        arrays = {name: array.copy() for name, array in constants(after).items()}
        edit(arrays)
        for tensor in after.graph.initializer:
            tensor.CopyFrom(onnx.numpy_helper.from_array(arrays[tensor.name], tensor.name))
        return after

    return change


def scaled(suffix: str, factor: float) -> Edit:
    def edit(arrays: dict[str, Any]) -> None:
        name = next(name for name in sorted(arrays) if name.endswith(suffix))
        arrays[name] = (arrays[name] * factor).astype(arrays[name].dtype)

    return edit


def flipped(arrays: dict[str, Any]) -> None:
    name = max((n for n in arrays if n.endswith("_quantized")), key=lambda n: arrays[n].size)
    arrays[name].flat[3] ^= 0x40


def saturated(arrays: dict[str, Any]) -> None:
    name = next(name for name in sorted(arrays) if name.endswith("bias_quantized"))
    arrays[name].flat[0] = np.iinfo(np.int32).max


def unchanged(model: Any, plan: Plan, ranges: Any) -> Any:
    return model


def by_moving_average(model: Any, plan: Plan, ranges: Any) -> Any:
    """Ranges as a moving average would leave them: an outlier hardly counts."""
    narrower = {name: shrunk(found, 0.6) for name, found in ranges.items()}
    return REAL(model, plan, narrower)


def shrunk(found: Any, factor: float) -> Any:
    from dataclasses import replace

    return replace(found, low=found.low * factor, high=found.high * factor)


def per_tensor(model: Any, plan: Plan, ranges: Any) -> Any:
    base = plan.recipe.base
    other = msgspec.structs.replace(base, weights=msgspec.structs.replace(base.weights, granularity="tensor"))
    return REAL(model, plan_for(msgspec.structs.replace(plan.recipe, base=other), model), ranges)


def one_left_out(model: Any, plan: Plan, ranges: Any) -> Any:
    from dataclasses import replace

    at = next(i for i, p in enumerate(plan.planned) if p.op == "Gemm")
    left = replace(plan.planned[at], scheme=load_recipe("float32").base)
    return REAL(model, Plan(plan.recipe, (*plan.planned[:at], left, *plan.planned[at + 1 :])), ranges)


@pytest.mark.parametrize(
    ("recipe", "damage", "code", "says"),
    [
        ("int8-static", unchanged, "E_NOTHING_QUANTIZED", "nothing was quantized"),
        ("int8-dynamic", unchanged, "E_NOTHING_QUANTIZED", "nothing was quantized"),
        ("int4-blockwise", unchanged, "E_NOTHING_QUANTIZED", "nothing was quantized"),
        ("int8-static", by_moving_average, "E_RECIPE_NOT_MET", "calibration found"),
        ("int8-static", edited(scaled("relu_2_scale", 0.5)), "E_RECIPE_NOT_MET", "calibration found"),
        ("int8-static", edited(scaled("scores_scale", 2.0)), "E_RECIPE_NOT_MET", "is enough for"),
        ("int8-static", edited(scaled("weight_scale", 1.1)), "E_RECIPE_NOT_MET", "weights are off by"),
        ("int8-weight-only", edited(scaled("weight_scale", 1.1)), "E_RECIPE_NOT_MET", "weights are off by"),
        ("int8-dynamic", edited(flipped), "E_RECIPE_NOT_MET", "weights are off by"),
        ("int4-blockwise", edited(scaled("_scales", 1.3)), "E_RECIPE_NOT_MET", "weights are off by"),
        ("int8-static", edited(saturated), "E_RECIPE_NOT_MET", "the bias is off by"),
        ("int8-static", per_tensor, "E_RECIPE_NOT_MET", "one scale, the recipe says per channel"),
        ("int8-weight-only", per_tensor, "E_RECIPE_NOT_MET", "one scale, the recipe says per channel"),
        ("int8-static", one_left_out, "E_RECIPE_NOT_MET", "stayed float"),
        ("int8-dynamic", one_left_out, "E_RECIPE_NOT_MET", "stayed float"),
    ],
)
def test_b2_b3_damage_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recipe: str, damage: Any, code: str, says: str
) -> None:
    monkeypatch.setattr(TARGET, "quantize", damage)
    with pytest.raises(VerificationError) as caught:
        made(tmp_path, "cnn", recipe)
    assert (caught.value.code, caught.value.exit_code) == (code, 7)
    assert says in caught.value.message
    assert not (tmp_path / "o.ekm").exists()


def test_b2_b2_a_dense_layer_of_matmul_and_add_is_one_gemm(tmp_path: Path) -> None:
    """B2-b2: ONNX Runtime has an integer kernel with a bias for Gemm only. What is between the two nodes is not rounded then;
    what comes out has its name, and the weights are checked as ever."""
    source, _ = net_and_data("encoder", "onnx", tmp_path)
    before = types(onnx.load(str(source)))
    artifact, model = made(tmp_path, "encoder", "int8-static")
    after = types(model)
    layers = after["Gemm"] - before.get("Gemm", 0)
    assert layers >= 6
    assert (before["MatMul"] - after["MatMul"], before["Add"] - after["Add"]) == (layers, layers)
    assert artifact.manifest.verification.state == "passed"
    _, dynamic = made(tmp_path / "again", "encoder", "int8-dynamic")
    assert types(dynamic).get("Gemm", 0) <= before.get("Gemm", 0)


def test_b2_b2_a_rule_that_keeps_the_add_in_float_keeps_the_pair_apart(tmp_path: Path) -> None:
    rules = "rules:\n  - {target: onnx, op: Add, scheme: float}\n"
    _, model = made(tmp_path, "encoder", STATIC + rules)
    assert types(model)["MatMul"] > 0
    assert types(model).get("Gemm", 0) <= 1


def test_b2_b2_what_a_branch_reads_stays_between_its_nodes() -> None:
    """A branch takes what it reads from outside by name alone: the MatMul's own output must not go."""
    from edgekit.conversion.targets.onnx_gemm import with_gemms

    make, values = onnx.helper, onnx.TensorProto
    inner = make.make_graph(
        [make.make_node("Relu", ["m"], ["r"])], "body", [], [make.make_tensor_value_info("r", 1, [2, 4])]
    )
    nodes = [
        make.make_node("MatMul", ["x", "w"], ["m"], name="matmul"),
        make.make_node("Add", ["m", "b"], ["y"], name="add"),
        make.make_node("If", ["c"], ["z"], name="if", then_branch=inner, else_branch=inner),
    ]
    for last, count in ((2, 1), (3, 0)):
        graph = make.make_graph(
            nodes[:last],
            "g",
            [make.make_tensor_value_info("x", 1, [2, 3]), make.make_tensor_value_info("c", values.BOOL, [])],
            [make.make_tensor_value_info(name, 1, [2, 4]) for name in ("y", "z")[: last - 1]],
            [
                onnx.numpy_helper.from_array(np.ones(shape, np.float32), name)
                for name, shape in (("w", (3, 4)), ("b", (4,)))
            ],
        )
        model = make.make_model(graph)
        found, plan = with_gemms(model, plan_for(load_recipe("int8-static"), model))
        assert types(found).get("Gemm", 0) == count
        assert ("Gemm" in {one.op for one in plan.planned}) is bool(count)


def test_b2_b2_new_nodes_take_no_name_that_is_taken() -> None:
    """ONNX Runtime loads no model with two nodes or two tensors of one name."""
    from edgekit.conversion.targets.onnx_gemm import with_gemms

    make = onnx.helper
    nodes = [
        make.make_node("MatMul", ["x", "w"], ["m"], name="q"),
        make.make_node("Add", ["m", "b"], ["a"], name="q_back"),
        make.make_node("Relu", ["a"], ["r"], name="q_rows"),
        make.make_node("Neg", ["r"], ["q_rows_output"], name="last"),
    ]
    arrays = {"w": np.ones((3, 4), np.float32), "b": np.ones(4, np.float32)}
    graph = make.make_graph(
        nodes,
        "g",
        [make.make_tensor_value_info("x", 1, [1, 2, 3])],
        [make.make_tensor_value_info("q_rows_output", 1, [1, 2, 4])],
        [onnx.numpy_helper.from_array(value, name) for name, value in arrays.items()],
    )
    model = onnx.shape_inference.infer_shapes(make.make_model(graph))
    found, plan = with_gemms(model, plan_for(load_recipe("int8-static"), model))
    assert types(found)["Gemm"] == 1
    onnx.checker.check_model(found, full_check=True)
    names = [node.name for node in found.graph.node]
    assert len(set(names)) == len(names)
    assert {one.name for one in plan.planned} == set(names)
