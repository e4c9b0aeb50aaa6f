"""Names and dimension orders of TFLite files (B1.2): LiteRT runs what was edited and computes the same."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from edgekit.conversion.targets.tflite_edit import permuted, renamed, unmade_tensors
from edgekit.errors import InputError, ModelError
from edgekit.models.tflite import read_tflite
from tests.conversion.build import ADD, Graph
from tests.conversion.models import DIGITS

schema = pytest.importorskip("ai_edge_litert.schema_py_generated")
TRANSPOSE = 39
SHAPE = (1, 2, 3, 4)
NHWC = (0, 2, 3, 1)
X = np.random.default_rng(0).standard_normal(SHAPE).astype(np.float32)


def adder(shape: tuple[int, ...] = SHAPE, *, signature: bool = True) -> bytes:
    """total = left + right + a constant of another value at every place; half = left + right."""
    graph = Graph()
    left, right = graph.tensor("left", shape), graph.tensor("right", shape)
    each = graph.constant("each", np.arange(np.prod(shape), dtype=np.float32).reshape(shape))
    half, total = graph.tensor("half", shape), graph.tensor("total", shape)
    graph.operator(ADD, [left, right], [half], _options())
    graph.operator(ADD, [half, each], [total], _options())
    return graph.build([left, right], [half, total], signature=signature)


def turned(perm: tuple[int, ...], *, behind: bool) -> bytes:
    """An ADD with a TRANSPOSE in front of it, or behind it."""
    graph = Graph()
    order = graph.constant("order", np.asarray(perm, np.int32))
    moved = tuple(SHAPE[axis] for axis in perm)
    x = graph.tensor("x", SHAPE)
    inner = graph.tensor("inner", SHAPE if behind else moved)
    y = graph.tensor("y", moved)
    each = graph.constant("each", np.arange(24, dtype=np.float32).reshape(SHAPE if behind else moved))
    first, second = [x, order], [inner, each]
    if behind:
        first, second = [x, each], [inner, order]
    for code, inputs, output in (
        ((ADD, first, inner), (TRANSPOSE, second, y))
        if behind
        else (
            (TRANSPOSE, first, inner),
            (ADD, second, y),
        )
    ):
        graph.operator(code, inputs, [output], _options() if code == ADD else None)
    return graph.build([x], [y])


def quantized() -> bytes:
    """An int8 ADD of an input and a constant, each with its own scale."""
    graph = Graph()
    x, y = graph.tensor("x", SHAPE, "int8"), graph.tensor("y", SHAPE, "int8")
    each = graph.constant("each", np.arange(24, dtype=np.int8).reshape(SHAPE))
    graph.operator(ADD, [x, each], [y], _options())
    model = schema.ModelT.InitFromPackedBuf(graph.build([x], [y]))
    for index, scale, zero_point in ((x, 0.5, 3), (y, 0.75, -5), (each, 0.25, 0)):
        quantization = schema.QuantizationParametersT()
        quantization.scale, quantization.zeroPoint = [scale], [zero_point]
        model.subgraphs[0].tensors[index].quantization = quantization
    for code in model.operatorCodes:
        code.version = 2
    return packed(model)


def _options() -> Any:
    return schema.AddOptionsT()


def packed(model: Any) -> bytes:
    import flatbuffers

    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def run(data: bytes, **inputs: np.ndarray[Any, Any]) -> dict[str, np.ndarray[Any, Any]]:
    """By signature: what a user's program would do."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=data)
    interpreter.allocate_tensors()
    found: dict[str, np.ndarray[Any, Any]] = interpreter.get_signature_runner("serving_default")(**inputs)
    return found


def operators(data: bytes) -> dict[str, int]:
    return read_tflite(data, "test").operators


def names(data: bytes) -> tuple[list[str], list[str]]:
    signature = read_tflite(data, "test").signature
    assert [spec.tensor for spec in signature.inputs] == [spec.name for spec in signature.inputs]
    assert [spec.tensor for spec in signature.outputs] == [spec.name for spec in signature.outputs]
    return [spec.name for spec in signature.inputs], [spec.name for spec in signature.outputs]


@pytest.mark.parametrize("signature", [True, False])
def test_names_in_order(signature: bool) -> None:
    data = renamed(adder(signature=signature), ["a", "b"], ["sum", "sum_and_each"])
    assert read_tflite(data, "test").signature.key is not None
    assert names(data) == (["a", "b"], ["sum", "sum_and_each"])
    before = run(renamed(adder(), {}, {}), left=X, right=2 * X)
    after = run(data, a=X, b=2 * X)
    np.testing.assert_array_equal(after["sum"], before["half"])
    np.testing.assert_array_equal(after["sum_and_each"], before["total"])


def test_names_by_name_and_swapped() -> None:
    """New names may be old names of others, inner tensors included: no two tensors have one name afterwards."""
    data = renamed(adder(), {"left": "right", "right": "left"}, {"half": "each"})
    assert names(data) == (["right", "left"], ["each", "total"])
    tensors = [t.name for t in schema.ModelT.InitFromPackedBuf(data).subgraphs[0].tensors]
    assert len(set(tensors)) == len(tensors)


@pytest.mark.parametrize(
    ("inputs", "outputs"), [(["a"], ["b", "c"]), (["a", "a"], ["b", "c"]), ({"no": "a"}, {})]
)
def test_names_that_do_not_fit(inputs: Any, outputs: Any) -> None:
    with pytest.raises(InputError) as caught:
        renamed(adder(), inputs, outputs)
    assert caught.value.code == "E_NAMES"


@pytest.mark.parametrize(
    ("shape", "perm"),
    [
        ((3, 4), (1, 0)),
        ((2, 3, 4), (0, 2, 1)),
        (SHAPE, NHWC),
        ((2, 2, 2, 2), NHWC),
        ((1, 2, 3, 4, 5), (0, 2, 3, 4, 1)),
        ((1, 2, 1, 3, 2, 2), (5, 0, 4, 1, 3, 2)),
    ],
)
def test_permuted_dimensions(shape: tuple[int, ...], perm: tuple[int, ...]) -> None:
    """The edited model on permuted inputs gives exactly what the model gave, permuted."""
    data = adder(shape)
    edited = permuted(data, {"left": perm}, {"total": perm})
    assert names(edited) == (["left", "right"], ["half", "total"])
    left, right = np.random.default_rng(1).standard_normal((2, *shape)).astype(np.float32)
    before, after = run(data, left=left, right=right), run(edited, left=left.transpose(perm), right=right)
    np.testing.assert_array_equal(after["total"], before["total"].transpose(perm))
    np.testing.assert_array_equal(after["half"], before["half"])
    assert after["total"].shape == tuple(shape[axis] for axis in perm)
    assert operators(edited) == {"ADD": 2, "TRANSPOSE": 2}


def test_an_output_that_the_model_itself_reads() -> None:
    data = adder()
    edited = permuted(data, {}, {"half": NHWC})
    before, after = run(data, left=X, right=X), run(edited, left=X, right=X)
    np.testing.assert_array_equal(after["half"], before["half"].transpose(NHWC))
    np.testing.assert_array_equal(after["total"], before["total"])


@pytest.mark.parametrize("behind", [True, False])
@pytest.mark.parametrize("perm", [(0, 3, 1, 2), NHWC, (3, 2, 1, 0)])
def test_a_transpose_that_is_there_is_used(perm: tuple[int, ...], behind: bool) -> None:
    """No second one is put beside it; where both together move nothing, none is left."""
    data = turned(perm, behind=behind)
    side = {"y": NHWC} if behind else {"x": NHWC}
    edited = permuted(data, {} if behind else side, side if behind else {})
    before, after = run(data, x=X), run(edited, x=X if behind else X.transpose(NHWC))
    np.testing.assert_array_equal(after["y"], before["y"].transpose(NHWC) if behind else before["y"])
    dropped = perm == ((0, 3, 1, 2) if behind else NHWC)
    assert operators(edited).get("TRANSPOSE", 0) == (0 if dropped else 1)


def test_quantization_stays() -> None:
    data = quantized()
    edited = permuted(data, {"x": NHWC}, {"y": NHWC})
    before, after = (read_tflite(d, "test").signature for d in (data, edited))
    for old, new in zip((*before.inputs, *before.outputs), (*after.inputs, *after.outputs), strict=True):
        assert (new.dtype, new.scale, new.zero_point) == ("int8", old.scale, old.zero_point)
    x = np.arange(-12, 12, dtype=np.int8).reshape(SHAPE)
    np.testing.assert_array_equal(run(edited, x=x.transpose(NHWC))["y"], run(data, x=x)["y"].transpose(NHWC))
    codes = schema.ModelT.InitFromPackedBuf(edited).operatorCodes
    assert [code.version for code in codes if code.builtinCode == TRANSPOSE] == [2]


@pytest.mark.parametrize("perm", [(0, 1, 2), (0, 1, 2, 2), (1, 2, 3, 4)])
def test_no_order_of_the_dimensions(perm: tuple[int, ...]) -> None:
    with pytest.raises(InputError) as caught:
        permuted(adder(), {"left": perm}, {})
    assert caught.value.code == "E_PERMUTATION"


def test_same_bytes_every_time_and_constants_aligned() -> None:
    """Constants lie at multiples of 16 bytes, as the schema asks: kernels read them where they lie."""
    data = (DIGITS / "digits.tflite").read_bytes()
    edits = [renamed(data, ["picture"], ["scores"]) for _ in range(2)]
    assert edits[0] == edits[1]
    model = schema.Model.GetRootAs(edits[0], 0)
    for index in range(model.BuffersLength()):
        values = model.Buffers(index).DataAsNumpy()
        if isinstance(values, np.ndarray):
            start = values.__array_interface__["data"][0]
            base = np.frombuffer(edits[0], np.uint8).__array_interface__["data"][0]
            assert (start - base) % 16 == 0


def test_a_real_model_computes_the_same() -> None:
    data = (DIGITS / "digits.tflite").read_bytes()
    signature = read_tflite(data, "digits").signature
    (spec,), (result,) = signature.inputs, signature.outputs
    rank = len(spec.shape)
    perm = tuple(reversed(range(rank)))
    edited = renamed(permuted(data, {spec.name: perm}, {}), ["picture"], ["scores"])
    x = np.random.default_rng(2).random(spec.fixed_shape(), dtype=np.float32)
    before = run(renamed(data, ["x"], ["y"]), x=x)["y"]
    np.testing.assert_array_equal(run(edited, picture=x.transpose(perm))["scores"], before)
    assert result.shape == before.shape


def test_damaged_files_are_refused() -> None:
    """(B1-b3) Cut, or with bytes changed: an error of ours or a model, never a traceback."""
    data = adder()
    with pytest.raises(ModelError):
        renamed(data[: len(data) // 2], ["a", "b"], ["c", "d"])
    chance = random.Random(3)
    sources = (data, behind_the_tables(data)[: len(data) + 4096 + 96])
    for turn in range(3000):
        changed = bytearray(sources[turn % 2])
        for _ in range(4):
            changed[chance.randrange(len(data))] = chance.randrange(256)
        try:
            permuted(bytes(changed), {"left": NHWC}, {"total": NHWC})
            unmade_tensors(bytes(changed))
        except (ModelError, InputError):
            pass


def behind_the_tables(data: bytes) -> bytes:
    """The same model with its constant behind the tables, as ai-edge-quantizer and models of 2 GiB and more have it."""
    model = schema.ModelT.InitFromPackedBuf(data)
    values = bytes(model.buffers[1].data)
    model.buffers[1].data, model.buffers[1].size = None, len(values)
    for _ in range(2):  # the offset has to be there for the length to be right
        model.buffers[1].offset = len(data) + 4096
        tables = packed(model)
    assert len(tables) <= len(data) + 4096
    return tables + bytes(len(data) + 4096 - len(tables)) + values


def test_constants_behind_the_tables_are_put_inside() -> None:
    """(B2.3) None is lost, and the model computes the same."""
    data = adder()
    apart = behind_the_tables(data)
    assert read_tflite(apart, "test").parameters == read_tflite(data, "test").parameters
    edited = renamed(apart, ["a", "b"], ["c", "d"])
    before, after = run(renamed(data, ["a", "b"], ["c", "d"]), a=X, b=X), run(edited, a=X, b=X)
    np.testing.assert_array_equal(after["d"], before["d"])


def test_constants_that_would_not_fit_inside_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many constants may share one place in the file; inside, each has its own."""
    from edgekit.conversion.targets import tflite_file

    apart = behind_the_tables(adder())
    monkeypatch.setattr(tflite_file, "MAX_BYTES", len(apart) + 50)
    with pytest.raises(ModelError) as caught:
        renamed(apart, ["a", "b"], ["c", "d"])
    assert caught.value.code == "E_MODEL_LARGE"


def test_several_signatures_are_refused() -> None:
    model = schema.ModelT.InitFromPackedBuf(adder())
    model.signatureDefs = model.signatureDefs * 2
    with pytest.raises(ModelError) as caught:
        renamed(packed(model), ["a", "b"], ["c", "d"])
    assert caught.value.code == "E_MODEL_SIGNATURES"


def test_tensors_that_nothing_makes_are_found() -> None:
    assert unmade_tensors(adder()) == ()
    graph = Graph()
    x, nothing, y = (graph.tensor(name, SHAPE) for name in ("x", "nothing", "y"))
    graph.operator(ADD, [x, nothing], [y], _options())
    assert unmade_tensors(graph.build([x], [y])) == ("nothing",)
