"""B2.5: a path through quantization-aware fine-tuning into the same recipes (docs/fine-tuning.md), run."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest

pytest.importorskip("torch")
pytest.importorskip("torchao")
pytest.importorskip("executorch")
pytest.importorskip("ai_edge_quantizer.quantizer")

from edgekit.models.manifest import Accuracy
from edgekit.profiles.schema import RecipeSection
from examples.fine_tuning import torch_qat
from tests.conversion.convert import convert

pytestmark = pytest.mark.heavy


class AnyDrop:
    """A profile that takes whatever is left of the accuracy: here it is to be told, not judged."""

    name, sha256, formats, recipe = "any", "0" * 64, ("tflite",), RecipeSection(max_accuracy_drop=1.0)
    precisions: ClassVar[dict[str, list[str]]] = {}


def at_int8(folder: Path, model: str) -> Accuracy:
    made = convert(
        folder / model, recipe="int8-static", calibration=folder / "calibration.npz", profile=AnyDrop(),
        evaluation=folder / "evaluation.npz", output=folder / "o.ekm",
    ).manifest  # fmt: skip
    assert made.verification.accuracy is not None
    return made.verification.accuracy


def test_int8_is_better_behind_it(tmp_path: Path) -> None:
    """torchao's pt2e: float weights that were trained under rounding lose less in the same recipe."""
    torch_qat.main([str(tmp_path), "--epochs", "6"])
    before, after = at_int8(tmp_path, "float.pt2"), at_int8(tmp_path, "tuned.pt2")
    assert before.drop > 0.05, "there is something to mend"
    assert after.value >= before.value + 0.05
    assert after.drop <= 0.02
