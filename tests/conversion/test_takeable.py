"""Files that the quantizer does not take are made such that it does, nothing else changed, or refused (B2.3)."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.conversion.samples import generate
from edgekit.conversion.targets.takeable import Edited, NotTakeable, made_takeable
from edgekit.conversion.targets.takeable_proof import difference, prove
from edgekit.conversion.targets.tflite_file import constant_of, packed, unpacked
from edgekit.conversion.targets.tflite_folding import fold
from edgekit.errors import EdgekitError, ModelError
from edgekit.models.inspect import inspect_tflite
from tests.conversion.build import ADD, FULLY_CONNECTED, Graph
from tests.conversion.convert import convert
from tests.conversion.models import DIGITS, real_models

schema = pytest.importorskip("ai_edge_litert.schema_py_generated")
quantizer = pytest.importorskip("ai_edge_quantizer.quantizer")
DEQUANTIZE = 6
WEIGHTS = np.random.default_rng(5).normal(size=(64, 64))


def behind_dequantize(
    values: np.ndarray[Any, Any], *, signature: bool = False, scales: list[float] | None = None, axis: int = 0,
    name: str = "y",
) -> bytes:  # fmt: skip
    """y = x W^T, the weights behind a DEQUANTIZE."""
    rows, columns = values.shape
    graph = Graph()
    x = graph.tensor("x", [1, columns])
    stored, expanded = graph.constant("stored", values), graph.tensor("w", [rows, columns])
    y = graph.tensor(name, [1, rows])
    graph.operator(DEQUANTIZE, [stored], [expanded], schema.DequantizeOptionsT())
    graph.operator(FULLY_CONNECTED, [x, expanded, -1], [y], schema.FullyConnectedOptionsT())
    data = graph.build([x], [y], signature=signature)
    if scales is None:
        return data
    model = unpacked(data)
    quantization = schema.QuantizationParametersT()
    quantization.scale, quantization.quantizedDimension = scales, axis
    quantization.zeroPoint = [3] * len(scales)
    model.subgraphs[0].tensors[stored].quantization = quantization
    return packed(model, len(data))


def takeable(data: bytes) -> Edited:
    info = inspect_tflite(data, "test")
    edited = made_takeable(data, info)
    assert info.signature is not None
    prove(data, info, edited, generate(info.signature.inputs, 2))
    return edited


def quantized(setup: Callable[[Any, Any], None], source: Path = DIGITS / "digits.tflite") -> bytes:
    """A file of ai-edge-quantizer's own making."""
    from ai_edge_quantizer.qtyping import TFLOperationName
    from ai_edge_quantizer.recipe_manager import RecipeManager

    manager = RecipeManager()
    setup(manager, TFLOperationName)
    engine = quantizer.Quantizer(source.read_bytes(), manager.get_quantization_recipe())
    made = engine.quantize(None, enable_progress_bar=False, enable_progress_report=False)
    return bytes(made.quantized_model)


def test_a_file_that_needs_nothing_stays_byte_for_byte() -> None:
    data = (DIGITS / "digits.tflite").read_bytes()
    edited = made_takeable(data, inspect_tflite(data, "digits"))
    assert edited.data is data
    assert edited.done == ()


def test_a_signature_is_added() -> None:
    """(a) Bit for bit the same, names as edgekit shows them."""
    data = _without_signature((DIGITS / "digits.tflite").read_bytes())
    info = inspect_tflite(data, "digits")
    edited = made_takeable(data, info)
    assert info.signature is not None
    proof = prove(data, info, edited, generate(info.signature.inputs, 3))
    assert (proof.apart, proof.constants, proof.samples) == (0.0, 0, 3)
    after = edited.info.signature
    assert after is not None
    assert after.key == "serving_default"
    assert [s.name for s in after.inputs] == [s.name for s in info.signature.inputs]
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(model_content=edited.data).get_signature_runner()
    assert list(runner.get_input_details()) == [s.name for s in after.inputs]


def _without_signature(data: bytes) -> bytes:
    model = unpacked(data)
    model.signatureDefs = None
    return packed(model, len(data))


def test_names_are_made_to_differ() -> None:
    """Inputs of one name, one without a name, and an inner tensor that is called like an input."""
    graph = Graph()
    a, b, c = (graph.tensor(name, [1, 4]) for name in ("x", "x", ""))
    inner, y = graph.tensor("x", [1, 4]), graph.tensor("y", [1, 4])
    graph.operator(ADD, [a, b], [inner], schema.AddOptionsT())
    graph.operator(ADD, [inner, c], [y], schema.AddOptionsT())
    edited = takeable(graph.build([a, b, c], [y], signature=False))
    assert edited.info.signature is not None
    assert [spec.name for spec in edited.info.signature.inputs] == ["x", "x_2", "tensor_3"]
    names = [tensor.name for tensor in unpacked(edited.data).subgraphs[0].tensors]
    assert len(set(names)) == len(names)
    assert names[0] == b"x"


@pytest.mark.parametrize(
    ("values", "scales", "axis"),
    [
        (WEIGHTS.astype(np.float16), None, 0),
        ((WEIGHTS * 30).astype(np.int8), [0.013], 0),
        ((WEIGHTS * 30).astype(np.int8), list(np.linspace(0.01, 0.02, 64)), 0),
        ((WEIGHTS * 30).astype(np.int8), list(np.linspace(0.01, 0.02, 64)), 1),
        ((WEIGHTS * 30).astype(np.uint8), [0.02], 0),
    ],
)
def test_weights_are_expanded(values: np.ndarray[Any, Any], scales: list[float] | None, axis: int) -> None:
    """(b), (c) Every constant is, bit for bit, what LiteRT's DEQUANTIZE gives; operators and old bytes are gone."""
    data = behind_dequantize(values, scales=scales, axis=axis)
    edited = takeable(data)
    assert edited.info.operators == {"FULLY_CONNECTED": 1}
    assert edited.info.quantization is not None
    assert edited.info.quantization.weights == {"float32": 64 * 64}
    assert edited.info.dtypes == {"float32": 3}
    assert len(edited.data) < 4 * 64 * 64 + 1500


def test_one_constant_that_two_operators_expand_and_an_output_that_is_one() -> None:
    """An output that DEQUANTIZE makes of a constant stays as it is: a model's output is no constant."""
    graph = Graph()
    x, stored = graph.tensor("x", [1, 4]), graph.constant("stored", np.arange(4, dtype=np.float16)[None])
    first, second, y = (graph.tensor(name, [1, 4]) for name in ("first", "second", "y"))
    for made in (first, second):
        graph.operator(DEQUANTIZE, [stored], [made], schema.DequantizeOptionsT())
    graph.operator(ADD, [x, first], [y], schema.AddOptionsT())
    data = graph.build([x], [y, second])
    model = unpacked(data)
    folding = fold(model, len(data))
    assert [constant.name for constant in folding.constants] == ["first"]
    edited = packed(model, len(data))
    assert inspect_tflite(edited, "edited").operators == {"ADD": 1, "DEQUANTIZE": 1}
    given = np.array([[0.5, -1, 2, 3]], np.float32)
    for before, after in zip(plain(data, given), plain(edited, given), strict=True):
        np.testing.assert_array_equal(before, after)


def plain(data: bytes, given: np.ndarray[Any, Any]) -> list[np.ndarray[Any, Any]]:
    """The outputs by LiteRT's own kernels: XNNPACK does not take a constant as an output."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_content=data, experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    )
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], given)
    interpreter.invoke()
    return [interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()]


@pytest.mark.parametrize(
    ("setup", "says"),
    [
        (lambda m, ops: m.add_dynamic_config(".*", ops.ALL_SUPPORTED, num_bits=8), "quantize their inputs"),
        (lambda m, ops: m.add_dynamic_config(".*", ops.CONV_2D, num_bits=8), "computes with integers"),
    ],
)
def test_what_computes_with_integers_is_refused_with_the_reason(
    setup: Callable[[Any, Any], None], says: str, tmp_path: Path
) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(quantized(setup))
    with pytest.raises(EdgekitError, match=says) as caught:
        convert(path, recipe="int8-dynamic", output=tmp_path / "o.ekm")
    assert (caught.value.code, caught.value.exit_code) == ("E_ALREADY_QUANTIZED", 1)
    left = convert(path, output=tmp_path / "o.ekm")
    assert left.manifest.recipe == "as-is"
    assert any(says in note for note in left.manifest.notes)


@pytest.mark.parametrize("bits", [4, 8])
def test_weight_only_files_are_quantized_again(bits: int, tmp_path: Path) -> None:
    """(c) What is constant and weight-only is expanded; without a recipe such a file is left alone."""
    path = tmp_path / "m.tflite"
    path.write_bytes(
        quantized(lambda m, ops: m.add_weight_only_config(".*", ops.ALL_SUPPORTED, num_bits=bits))
    )
    made = convert(
        path, recipe="int8-static", calibration=DIGITS / "calibration.npz", output=tmp_path / "o.ekm"
    )
    assert made.manifest.quantization is not None
    assert made.manifest.quantization.kind == "int8-static"
    assert made.manifest.verification.snr_db is not None
    assert made.manifest.verification.snr_db > 25
    assert any("bit for bit equal to what LiteRT makes of them" in note for note in made.manifest.notes)
    assert convert(path, output=tmp_path / "o.ekm").model_path.read_bytes() == path.read_bytes()


def test_constants_that_cannot_be_expanded_are_told() -> None:
    """Integers without a scale; a file whose metadata counts operators."""
    data = behind_dequantize((WEIGHTS * 30).astype(np.int8), scales=[0.01])
    model = unpacked(data)
    entry = schema.MetadataT()
    entry.name, entry.buffer = b"model_control_dependencies", 0
    model.metadata = [entry]
    counted = packed(model, len(data))
    with pytest.raises(NotTakeable, match="names operators by number"):
        made_takeable(counted, inspect_tflite(counted, "test"))


class TestProof:
    """An edit that changes something is found: the file is left as it is, with the reason (B2-b3)."""

    DATA = behind_dequantize(WEIGHTS.astype(np.float16)) if schema else b""

    def check(self, edited: Edited, says: str) -> None:
        info = inspect_tflite(self.DATA, "test")
        assert info.signature is not None
        with pytest.raises(NotTakeable, match=says):
            prove(self.DATA, info, edited, generate(info.signature.inputs, 2))

    def test_one_bit_of_a_constant(self) -> None:
        edited = takeable(self.DATA)
        (constant,) = edited.folding.constants
        values = constant.values.copy()
        values.view(np.uint32)[3, 5] ^= 1
        folding = replace(edited.folding, constants=(replace(constant, values=values),))
        self.check(replace(edited, folding=folding), "expanded to other values")

    def test_a_file_that_does_not_hold_the_constants(self) -> None:
        edited = takeable(self.DATA)
        model = unpacked(edited.data)
        for tensor in model.subgraphs[0].tensors:
            if (data := constant_of(model, tensor)) is not None:
                values = np.array(data).view(np.float32)
                values[7] *= 1.01
                model.buffers[tensor.buffer].data = values.view(np.uint8)
        self.check(replace(edited, data=packed(model, len(edited.data))), "is another one")

    def test_a_file_that_does_not_load(self) -> None:
        edited = takeable(self.DATA)
        model = unpacked(edited.data)
        graph = model.subgraphs[0]
        graph.operators[0].inputs = [graph.inputs[0], graph.outputs[0], -1]
        self.check(replace(edited, data=packed(model, len(edited.data))), "cannot be told")

    def test_the_reason_reaches_the_user(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """What the real proof says of a damaged edit."""
        from edgekit.conversion.targets import tflite

        def damaged(data: bytes, info: Any) -> Edited:
            edited = made_takeable(data, info)
            (constant,) = edited.folding.constants
            wrong = replace(constant, values=constant.values * np.float32(1.5))
            return replace(edited, folding=replace(edited.folding, constants=(wrong,)))

        monkeypatch.setattr(tflite, "made_takeable", damaged)
        path = tmp_path / "m.tflite"
        path.write_bytes(self.DATA)
        with pytest.raises(ModelError, match="other values than LiteRT's") as caught:
            convert(path, recipe="int8-dynamic", output=tmp_path / "o.ekm")
        assert caught.value.code == "E_ALREADY_QUANTIZED"
        assert convert(path, recipe="as-is", output=tmp_path / "o.ekm").model_path.read_bytes() == self.DATA


def test_differences() -> None:
    a = np.array([1.0, -4.0, np.nan, np.inf], np.float32)
    assert difference(a, a.copy()) == 0.0
    assert difference(a, a + np.array([0.5, 0, 0, 0], np.float32)) == 0.125
    assert difference(a, a[::-1].copy()) is None
    assert difference(a, a.astype(np.float64)) is None
    assert difference(np.zeros(2, np.int8), np.ones(2, np.int8)) is None


def test_damaged_files_give_errors_of_ours() -> None:
    """(B1-b3) Bytes changed at random: refused, or a file that the checked reader takes."""
    sources = [
        behind_dequantize(WEIGHTS[:8, :8].astype(np.float16)),
        behind_dequantize((WEIGHTS[:8, :8] * 30).astype(np.int8), scales=list(np.linspace(0.01, 0.02, 8))),
    ]
    chance = random.Random(7)
    outcomes = set()
    for data in sources:
        for _ in range(1500):
            changed = bytearray(data)
            for _ in range(3):
                changed[chance.randrange(len(data))] = chance.randrange(256)
            try:
                info = inspect_tflite(bytes(changed), "fuzzed")
                made_takeable(bytes(changed), info)
                outcomes.add("ok")
            except ModelError:
                outcomes.add("damaged")
            except NotTakeable:
                outcomes.add("not takeable")
    assert outcomes == {"ok", "damaged", "not takeable"}


@pytest.mark.parametrize("name", ["face_detection_full_range_sparse", "pose_detection"])
def test_sparse_weights_of_real_models(name: str) -> None:
    """DENSIFY, then DEQUANTIZE: each constant compared with LiteRT's own, also those between the two."""
    edited = takeable(real_models()[f"mediapipe/{name}"].read_bytes())
    assert edited.folding.stored_as["sparse"] > 100_000
    assert "DENSIFY" not in edited.info.operators
    assert "DEQUANTIZE" not in edited.info.operators
