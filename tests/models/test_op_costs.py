"""MACs and bytes of operators, from shapes alone (D1.8): against hand counts, published totals, and hostile files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgekit.models.op_costs import OpCost, read_costs, with_costs
from edgekit.models.tflite_costs import read_tflite_costs
from edgekit.parse.op_profile import OpRow, op_profile
from tests.conversion.models import DIGITS, real_models
from tests.models.hostile import outcome

base = pytest.mark.base

MODEL = DIGITS / "digits.tflite"


def by_generated_classes(path: Path) -> list[tuple[str, tuple[str, ...], int | None]]:
    """Kind, outputs and MACs of each operator read by the `tflite` package, for the kinds in the demo's models."""
    import tflite

    names = {v: k for k, v in vars(tflite.BuiltinOperator).items() if isinstance(v, int)}
    model = tflite.Model.GetRootAs(path.read_bytes(), 0)
    graph = model.Subgraphs(0)
    rows = []
    for number in range(graph.OperatorsLength()):
        operator = graph.Operators(number)
        code = model.OperatorCodes(operator.OpcodeIndex())
        op = names[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
        outputs = [graph.Tensors(operator.Outputs(k)) for k in range(operator.OutputsLength())]
        shapes = [
            list(graph.Tensors(operator.Inputs(k)).ShapeAsNumpy())
            for k in range(operator.InputsLength())
            if operator.Inputs(k) >= 0 and graph.Tensors(operator.Inputs(k)).ShapeLength()
        ]
        made = 1
        for dim in outputs[0].ShapeAsNumpy() if outputs[0].ShapeLength() else []:
            made *= int(dim)
        open_dims = any(outputs[0].ShapeSignature(k) < 0 for k in range(outputs[0].ShapeSignatureLength()))
        macs: int | None = None
        if op == "CONV_2D":
            macs = made * int(shapes[1][1]) * int(shapes[1][2]) * int(shapes[1][3])
        elif op == "DEPTHWISE_CONV_2D":
            macs = made * int(shapes[1][1]) * int(shapes[1][2])
        elif op == "FULLY_CONNECTED":
            macs = made * int(shapes[1][1])
        rows.append((op, tuple(o.Name().decode() for o in outputs), None if open_dims else macs))
    return rows


def test_the_demo_model_agrees_with_the_generated_classes() -> None:
    costs = read_costs(MODEL)
    assert [(cost.op, cost.outputs, cost.macs) for cost in costs] == by_generated_classes(MODEL)
    assert [cost.index for cost in costs] == list(range(len(costs)))


def test_real_models_agree_with_the_generated_classes() -> None:
    kinds = {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"}
    compared = 0
    for name, path in real_models().items():
        ours = [(cost.op, cost.macs) for cost in read_costs(path) if cost.op in kinds]
        theirs = [(op, macs) for op, _, macs in by_generated_classes(path) if op in kinds]
        assert ours == theirs, name
        compared += len(ours)
    assert compared > 500


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("name", "published_mega_macs"),
    # arXiv:1704.04861 table 8 (569), arXiv:1801.04381 table 4 (300)
    [("MobileNet", 569), ("MobileNetV2", 300)],
)
def test_totals_are_those_that_the_papers_give(tmp_path: Path, name: str, published_mega_macs: int) -> None:
    tensorflow = pytest.importorskip("tensorflow")
    network = getattr(tensorflow.keras.applications, name)(weights=None)
    function = tensorflow.function(network).get_concrete_function(
        tensorflow.TensorSpec([1, 224, 224, 3], tensorflow.float32)
    )
    converter = tensorflow.lite.TFLiteConverter.from_concrete_functions([function], network)
    path = tmp_path / "model.tflite"
    path.write_bytes(converter.convert())
    total = sum(cost.macs or 0 for cost in read_costs(path))
    assert total / 1e6 == pytest.approx(published_mega_macs, rel=0.004)


def onnx_model(
    path: Path, nodes: list[Any], inputs: dict[str, list[Any]], weights: dict[str, list[int]]
) -> Path:
    """A model of these nodes with inferred shapes; the last node's output is `y`."""
    onnx = pytest.importorskip("onnx")
    numpy = pytest.importorskip("numpy")
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        nodes,
        "g",
        [value(name, 1, shape) for name, shape in inputs.items()],
        [value("y", 1, None)],
        [
            onnx.numpy_helper.from_array(numpy.zeros(shape, "float32"), name)
            for name, shape in weights.items()
        ],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(onnx.shape_inference.infer_shapes(model), path)
    return path


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("op", "attributes", "inputs", "weights", "macs", "total_bytes"),
    [
        (
            "Conv",
            {"pads": [1] * 4},
            {"x": [1, 3, 8, 8]},
            {"w": [16, 3, 3, 3]},
            16 * 64 * 27,
            4 * (192 + 432 + 1024),
        ),
        ("Conv", {"group": 4}, {"x": [2, 4, 6]}, {"w": [8, 1, 3]}, 2 * 8 * 4 * 3, 4 * (48 + 24 + 64)),
        (
            "ConvTranspose",
            {"strides": [2, 2]},
            {"x": [1, 5, 4, 4]},
            {"w": [5, 7, 2, 2]},
            80 * 28,
            4 * (80 + 140 + 448),
        ),
        ("Gemm", {"transA": 1}, {"x": [10, 3]}, {"w": [10, 4]}, 3 * 4 * 10, 4 * (30 + 40 + 12)),
        ("Gemm", {"transB": 1}, {"x": [3, 10]}, {"w": [4, 10]}, 3 * 4 * 10, 4 * (30 + 40 + 12)),
        ("MatMul", {}, {"x": [2, 5, 3, 10]}, {"w": [10, 4]}, 2 * 5 * 3 * 4 * 10, 4 * (300 + 40 + 120)),
        ("MatMul", {}, {"x": [3, 10]}, {"w": [10]}, 30, 4 * (30 + 10 + 3)),
        ("Conv", {}, {"x": ["batch", 3, 8, 8]}, {"w": [16, 3, 1, 1]}, None, None),
        ("Add", {}, {"x": [3, 10]}, {"w": [10]}, None, 4 * (30 + 10 + 30)),
    ],
)
def test_onnx_operators_by_hand(
    tmp_path: Path,
    op: str,
    attributes: dict[str, Any],
    inputs: dict[str, list[Any]],
    weights: dict[str, list[int]],
    macs: int | None,
    total_bytes: int | None,
) -> None:
    onnx = pytest.importorskip("onnx")
    node = onnx.helper.make_node(op, ["x", "w"], ["y"], name="n", **attributes)
    (cost,) = read_costs(onnx_model(tmp_path / "model.onnx", [node], inputs, weights))
    assert (cost.op, cost.name, cost.macs, cost.bytes) == (op, "n", macs, total_bytes)


@pytest.mark.heavy
def test_onnx_without_the_shapes_in_between_does_not_know(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    nodes = [
        onnx.helper.make_node("Conv", ["x", "w"], ["between"], name="a"),
        onnx.helper.make_node("Conv", ["between", "v"], ["y"], name="b"),
    ]
    path = onnx_model(tmp_path / "m.onnx", nodes, {"x": [1, 3, 8, 8]}, {"w": [4, 3, 1, 1], "v": [2, 4, 1, 1]})
    assert [cost.macs for cost in read_costs(path)] == [64 * 12, 64 * 8]
    model = onnx.load(path)
    del model.graph.value_info[:]
    onnx.save(model, path)
    assert [cost.macs for cost in read_costs(path)] == [None, 64 * 8]


@pytest.mark.heavy
@settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(edits=st.lists(st.tuples(st.integers(0, 400), st.binary(min_size=1, max_size=4)), max_size=8))
def test_a_damaged_onnx_file_is_a_model_error(tmp_path: Path, edits: list[tuple[int, bytes]]) -> None:
    onnx = pytest.importorskip("onnx")
    good = tmp_path / "good.onnx"
    if not good.exists():
        node = onnx.helper.make_node("Conv", ["x", "w"], ["y"], name="n")
        onnx_model(good, [node], {"x": [1, 3, 8, 8]}, {"w": [2, 3, 1, 1]})
    from edgekit.models.onnx_costs import read_onnx_costs

    changed = bytearray(good.read_bytes())
    for at, patch in edits:
        changed[at : at + len(patch)] = patch
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(changed)
    outcome(lambda: read_onnx_costs(bad))


@base
@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    edits=st.lists(st.tuples(st.integers(0, 4096), st.binary(min_size=1, max_size=8)), max_size=8),
    keep=st.integers(0, MODEL.stat().st_size),
)
def test_a_damaged_tflite_file_is_a_model_error(
    tmp_path: Path, edits: list[tuple[int, bytes]], keep: int
) -> None:
    changed = bytearray(MODEL.read_bytes())
    for at, patch in edits:
        changed[at : at + len(patch)] = patch
    bad = tmp_path / "bad.tflite"
    bad.write_bytes(changed[:keep])
    assert outcome(lambda: read_tflite_costs(bad)) in ("ok", "E_MODEL_CORRUPT", "E_MODEL_TRUNCATED")


def cost(index: int, op: str, name: str = "", outputs: tuple[str, ...] = (), macs: int | None = 7) -> OpCost:
    return OpCost(index=index, op=op, name=name, outputs=outputs, macs=macs, bytes=100)


@base
def test_rows_find_their_operator_by_number_or_by_name_or_not_at_all() -> None:
    costs = [
        cost(0, "CONV_2D", outputs=("a",)),
        cost(1, "CONV_2D", outputs=("b", "c")),
        cost(2, "ADD", outputs=("twice",), macs=None),
        cost(3, "ADD", outputs=("twice",)),
    ]
    rows = [
        OpRow(op="CONV_2D", node="whatever", index=1),
        OpRow(op="CONV_2D", node="b, c"),
        OpRow(op="CONV_2D", node="a", index=9),
        OpRow(op="ADD", node="twice"),  # two of that name
        OpRow(op="DEPTHWISE_CONV_2D", node="a", index=0),  # another kind
        OpRow(op="TfLiteXNNPackDelegate", node="a", index=4),
    ]
    done = with_costs(op_profile(rows), costs)
    assert [row.macs for row in done.rows] == [7, 7, 7, None, None, None]
    assert [row.bytes for row in done.rows] == [100, 100, 100, None, None, None]


@base
def test_a_fused_layer_has_the_macs_of_what_it_fuses() -> None:
    costs = [
        cost(0, "Conv", "Conv_0"),
        cost(1, "Clip", "Clip_3", macs=None),
        cost(2, "Conv", "Conv_8", macs=5),
    ]
    rows = [
        OpRow(op="layer", node=node)
        for node in (
            "Conv_0 + PWN(Clip_3)",
            "Conv_0 + Conv_8",
            "Reformatting CopyNode for Input Tensor 0 to Conv_0 + Conv_8",
            "PWN(Clip_3)",
            "{ForeignNode[a...b]}",
        )
    ]
    assert [row.macs for row in with_costs(op_profile(rows), costs).rows] == [7, 12, None, None, None]
