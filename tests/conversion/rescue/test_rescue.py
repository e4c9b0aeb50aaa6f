"""Models that lose their accuracy in int8 and get it back (B2.5)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.conversion.recipes import load_recipe
from edgekit.conversion.rescue.equalize import equalized, find_links
from edgekit.conversion.rescue.rescue import in_float
from edgekit.conversion.targets.tflite_file import listed, packed, unpacked
from edgekit.errors import VerificationError
from edgekit.models.artifact import Manifest
from edgekit.models.inspect import inspect_tflite
from tests.conversion.convert import convert
from tests.conversion.models import DIGITS, real_models
from tests.conversion.rescue.outliers import with_outliers

pytest.importorskip("ai_edge_quantizer.quantizer")


def rescue(data: bytes, folder: Path, *, on: bool = True) -> Manifest:
    path = folder / "m.tflite"
    path.write_bytes(data)
    return convert(
        path, recipe="int8-static", calibration=DIGITS / "calibration.npz", evaluation=DIGITS / "evaluation.npz",
        output=folder / "o.ekm", rescue=on,
    ).manifest  # fmt: skip


@pytest.fixture(scope="module")
def plain_bytes(tmp_path_factory: pytest.TempPathFactory) -> int:
    made = rescue((DIGITS / "digits.tflite").read_bytes(), tmp_path_factory.mktemp("plain"), on=False)
    return made.model.size_bytes


def test_equalization_brings_it_back_for_nothing(tmp_path: Path, plain_bytes: int) -> None:
    """Outlier channels between two convolutions: 10 % without, as good as the float model with; not a byte more."""
    data = with_outliers(0)
    with pytest.raises(VerificationError) as caught:
        rescue(data, tmp_path, on=False)
    assert caught.value.code == "E_ACCURACY_DROP"
    made = rescue(data, tmp_path)
    found = made.verification.accuracy
    assert made.verification.state == "passed"
    assert found is not None
    assert found.drop <= 0.005
    assert made.model.size_bytes <= 1.01 * plain_bytes
    (note,) = [note for note in made.notes if note.startswith("rescued from top1 0.1")]
    assert "cross-layer equalization of" in note
    assert "bytes became" in note


def test_where_channels_cannot_be_followed_layers_stay_float(tmp_path: Path, plain_bytes: int) -> None:
    """Behind a RESHAPE: what lies between those layers is float then, their weights stay int8."""
    made = rescue(with_outliers(1), tmp_path)
    found = made.verification.accuracy
    assert found is not None
    assert found.drop <= 0.005
    assert made.quantization is not None
    assert made.quantization.weights["int8"] > 100_000
    assert made.model.size_bytes <= 1.05 * plain_bytes
    assert any("operators compute in float, with int8 weights" in note for note in made.notes)


def test_what_passes_is_left_alone(tmp_path: Path) -> None:
    """--rescue changes nothing where nothing failed: the same bytes."""
    data = (DIGITS / "digits.tflite").read_bytes()
    made = [rescue(data, tmp_path, on=on) for on in (False, True)]
    assert made[0].model.sha256 == made[1].model.sha256
    assert made[0].notes == made[1].notes


def test_what_cannot_be_rescued_says_so(tmp_path: Path) -> None:
    """B2.5: --rescue is for TFLite; elsewhere a model that falls short fails, and is not silent about the rescue."""
    onnx = pytest.importorskip("onnx")
    rng = np.random.default_rng(0)
    first, second = rng.standard_normal((16, 32)), rng.standard_normal((32, 8))
    first[:, 0] *= 1000
    second[0] /= 1000
    weights = [
        onnx.numpy_helper.from_array(values.astype(np.float32), name)
        for name, values in (("w1", first), ("w2", second))
    ]
    value, node = onnx.helper.make_tensor_value_info, onnx.helper.make_node
    graph = onnx.helper.make_graph(
        [node("MatMul", ["x", "w1"], ["a"]), node("Relu", ["a"], ["b"]), node("MatMul", ["b", "w2"], ["y"])],
        "g", [value("x", 1, [1, 16])], [value("y", 1, [1, 8])], weights,
    )  # fmt: skip
    opset = [onnx.helper.make_opsetid("", 17)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=8), str(tmp_path / "m.onnx"))
    np.savez(tmp_path / "c.npz", x=rng.standard_normal((50, 1, 16)).astype(np.float32))
    for rescue, said in ((True, True), (False, False)):
        with pytest.raises(VerificationError) as caught:
            convert(
                tmp_path / "m.onnx", to="onnx", recipe="int8-static", calibration=tmp_path / "c.npz",
                output=tmp_path / "o.ekm", rescue=rescue,
            )  # fmt: skip
        assert ("--rescue is for TFLite only, not for onnx" in caught.value.message) is said


def test_what_is_inconclusive_is_left_alone(tmp_path: Path) -> None:
    """Labels that do not fit the source prove nothing: there is nothing to bring back."""
    data = np.load(DIGITS / "evaluation.npz")
    path = tmp_path / "m.tflite"
    path.write_bytes((DIGITS / "digits.tflite").read_bytes())
    np.savez(tmp_path / "e.npz", image=data["image"][:64], labels=(data["labels"][:64] + 1) % 10)
    made = convert(
        path, recipe="float16", evaluation=tmp_path / "e.npz", output=tmp_path / "o.ekm", rescue=True
    )
    assert made.manifest.verification.state == "inconclusive"


class TestEqualized:
    def given(self, data: bytes) -> tuple[Any, list[list[Any]]]:
        images = np.load(DIGITS / "calibration.npz")["image"][:4].astype(np.float32)
        return inspect_tflite(data, "test").signature, [[image[None]] for image in images]

    def test_outputs_are_the_same_bit_for_bit(self) -> None:
        data = with_outliers(0)
        signature, samples = self.given(data)
        found = equalized(data, signature, samples)
        assert found is not None
        assert found.links == 2
        assert found.data != data

    def test_links(self) -> None:
        """Through pooling; not through a flattening, nor where something else reads what lies between."""
        model = unpacked((DIGITS / "digits.tflite").read_bytes())
        assert [(one.first, one.second) for one in find_links(model)] == [(0, 2), (5, 6)]
        graph = model.subgraphs[0]
        graph.outputs = [*listed(graph.outputs), listed(graph.operators[5].outputs)[0]]
        assert [(one.first, one.second) for one in find_links(model)] == [(0, 2)]

    @pytest.mark.parametrize("fused", [2, 3, 4])
    def test_an_activation_with_a_limit_is_no_link(self, fused: int) -> None:
        model = unpacked((DIGITS / "digits.tflite").read_bytes())
        model.subgraphs[0].operators[0].builtinOptions.fusedActivationFunction = fused
        again = unpacked(packed(model, 500_000))
        assert [(one.first, one.second) for one in find_links(again)] == [(5, 6)]

    def test_shared_weights_are_no_link(self) -> None:
        model = unpacked((DIGITS / "digits.tflite").read_bytes())
        graph = model.subgraphs[0]
        weights = graph.tensors[listed(graph.operators[2].inputs)[1]]
        graph.tensors[listed(graph.operators[6].inputs)[1]].buffer = weights.buffer
        assert find_links(model) == ()

    def test_a_real_model(self) -> None:
        """Skip connections and PReLU: links are few, and what is changed gives the same."""
        data = real_models()["mediapipe/iris_landmark"].read_bytes()
        signature = inspect_tflite(data, "iris").signature
        rng = np.random.default_rng(0)
        assert signature is not None
        found = equalized(data, signature, [[rng.random((1, 64, 64, 3), np.float32)] for _ in range(2)])
        assert found is None or found.links >= 1


def test_rules_for_layers_come_first() -> None:
    recipe = in_float(load_recipe("int8-static"), ["a.b[c]"], "int8-weight-only")
    assert recipe.rules[0].layer == r"^a\.b\[c\]$"
    assert recipe.scheme_of(recipe.rules[0]).activations.mode == "float"
    assert recipe.sha256 != load_recipe("int8-static").sha256
