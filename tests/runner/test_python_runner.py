"""The Python runner of LiteRT, with this Python as the board's; and what all Python runners are like (D1.1)."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgekit.runtimes.base import RunnerJob
from edgekit.runtimes.litert_python import LiteRtPythonRuntime
from edgekit.runtimes.onnxruntime_python import OnnxRuntimePythonRuntime
from tests.runner.contract import TfliteRunnerContract
from tests.runner.launching import ONNX, TFLITE, Launcher, python

BOARD = Path(__file__).parents[2] / "edgekit" / "runtimes" / "board"
BARE = [sys.executable, "-S", "-E"]
"""No site-packages: neither numpy nor any runtime."""


@pytest.fixture(scope="module")
def launcher(tmp_path_factory: pytest.TempPathFactory) -> Launcher:
    return python(tmp_path_factory.mktemp("python"))


class TestLiteRtPythonRunner(TfliteRunnerContract):
    pass


@pytest.mark.parametrize(
    ("runtime", "head", "says"),
    [
        (LiteRtPythonRuntime(), b"\0\0\0\0TFL3", "pip install ai-edge-litert"),
        (OnnxRuntimePythonRuntime(), b"\x08\x08\x3a\x00", "pip install onnxruntime"),
    ],
    ids=["litert", "onnxruntime"],
)
def test_a_python_without_the_runtime_says_what_to_install(
    runtime: LiteRtPythonRuntime | OnnxRuntimePythonRuntime, head: bytes, says: str, tmp_path: Path
) -> None:
    launcher = Launcher(runtime, TFLITE if runtime.formats == ("tflite",) else ONNX, tmp_path / "bundle")
    model = tmp_path / "model"
    model.write_bytes(head)
    argv, environment = launcher.command(RunnerJob(model=str(model), samples=str(tmp_path / "s")))
    answer = launcher.refused([*BARE, *argv[1:]], environment)
    assert answer["code"] == "E_RUNNER_LIBRARY"
    assert says in answer["message"]


@pytest.mark.parametrize("script", sorted(path.name for path in BOARD.glob("*_*.py")))
def test_the_scripts_are_ones_that_an_old_python_reads(script: str) -> None:
    """Boards have the Python they have: 3.7 is the oldest."""
    ast.parse((BOARD / script).read_text(), feature_version=(3, 7))


def test_a_launch_leaves_nothing_beside_the_scripts(tmp_path: Path) -> None:
    """What is on a device under a bundle's hash is what that hash says."""
    launcher = Launcher(LiteRtPythonRuntime(), TFLITE, tmp_path / "bundle")
    job = RunnerJob(model="m", samples=str(tmp_path / "s"), empty_body=True)
    argv, _ = launcher.command(job)
    _, own = launcher.runtime.command(launcher.bundle, str(launcher.folder), job)
    others = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    subprocess.run(argv, env={**others, **own}, check=True, timeout=60, capture_output=True)
    assert sorted(path.name for path in (tmp_path / "bundle").iterdir()) == sorted(
        file.name for file in launcher.bundle.files
    )
