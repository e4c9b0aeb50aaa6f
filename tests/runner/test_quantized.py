"""int8 models give the same bytes from every runner as from the Interpreter: recipes are judged by these outputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.runtimes.base import RunnerJob
from tests.runner.launching import Launcher, interpreter_outputs, native, python, random_inputs

DIGITS = Path(__file__).resolve().parents[2] / "examples" / "digits" / "digits.tflite"


@pytest.fixture(scope="module", params=["dynamic_wi8_afp32", "static_wi8_ai8"])
def quantized(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from ai_edge_quantizer import quantizer, recipe

    tool = quantizer.Quantizer(str(DIGITS))
    tool.load_quantization_recipe(getattr(recipe, request.param)())
    made = tool.quantize(tool.calibrate(_calibration()) if tool.need_calibration else None)
    path = tmp_path_factory.mktemp("quantized") / f"{request.param}.tflite"
    path.write_bytes(made.quantized_model)
    assert path.stat().st_size < DIGITS.stat().st_size / 2
    return path


def _calibration() -> dict[str, list[dict[str, Any]]]:
    rng = np.random.default_rng(0)
    return {"serving_default": [{"image": rng.random((1, 28, 28, 1), np.float32)} for _ in range(8)]}


@pytest.mark.parametrize("make", [native, python])
def test_outputs_of_int8_models_are_those_of_the_interpreter(
    quantized: Path, tmp_path: Path, make: Any
) -> None:
    launcher: Launcher = make(tmp_path / "bundle")
    inputs = random_inputs(quantized, samples=20)
    (tmp_path / "in").write_bytes(inputs)
    outputs = tmp_path / "out"
    job = RunnerJob(
        model=str(quantized), samples=str(tmp_path / "s"), inputs=str(tmp_path / "in"), outputs=str(outputs)
    )
    launcher.run(job)
    assert outputs.read_bytes() == interpreter_outputs(quantized, inputs)
    assert len(set(np.fromfile(outputs, "<f4").tolist())) > 20
