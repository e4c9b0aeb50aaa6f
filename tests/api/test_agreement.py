"""A-b2: outputs on the board match this host's over many samples: float32 within 1e-5 of the largest output (and the
reference is not degenerate), int8 within one step on at most 1 % of the elements."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.api import connect, convert, push
from edgekit.deployment import release_on_device
from edgekit.deployment.launching import launch
from edgekit.deployment.runtime_there import choose, install
from edgekit.runtimes.base import RunnerJob
from tests.cli.running import DIGITS, MODEL

SAMPLES = 500


def reference(model: Path, images: np.ndarray) -> np.ndarray:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(model), num_threads=1)
    interpreter.allocate_tensors()
    source = interpreter.get_input_details()[0]["index"]
    target = interpreter.get_output_details()[0]["index"]
    rows = []
    for image in images:
        interpreter.set_tensor(source, image[None])
        interpreter.invoke()
        rows.append(interpreter.get_tensor(target).copy())
    return np.concatenate(rows)


@pytest.mark.board
@pytest.mark.xdist_group("board")
@pytest.mark.parametrize("recipe", ["float32", "int8-static"])
def test_ab2_outputs_on_the_board_are_the_hosts(
    board: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, recipe: str
) -> None:
    board.client.use(monkeypatch)
    artifact = convert(
        MODEL,
        recipe=recipe,
        calibration=DIGITS / "calibration.npz",
        output=tmp_path / "a.ekm",
        name=f"agree-{recipe}",
    )
    images = np.load(DIGITS / "evaluation.npz")["image"][:SAMPLES].astype(np.float32)
    images = images.reshape(len(images), 28, 28, 1)
    expected = reference(artifact.model_path, images)
    with connect(board.address) as device:
        assert device.facts.abi == "arm64-v8a"
        pushed = push(artifact, device)
        release = release_on_device(device, pushed.name, pushed.version)
        installed = install(device, choose(device, "tflite", None), lambda event: None)
        with device.scratch() as scratch:
            device.agent.put(images.tobytes(), f"{scratch}/in")
            job = RunnerJob(
                model=f"{release.folder}/{release.manifest.model.file}",
                samples=f"{scratch}/samples",
                inputs=f"{scratch}/in",
                outputs=f"{scratch}/out",
            )
            launch(device, installed, job, cwd=scratch)
            actual = np.frombuffer(device.agent.get(f"{scratch}/out"), "<f4").reshape(expected.shape)
    assert expected.std() > 1e-3
    difference = np.abs(actual - expected)
    if recipe == "float32":
        assert difference.max() <= 1e-5 * np.abs(expected).max()
    else:
        step = artifact.manifest.signature.outputs[0].step
        assert step is not None
        steps = np.rint(difference / step)
        assert steps.max() <= 1
        assert (steps > 0).mean() <= 0.01
