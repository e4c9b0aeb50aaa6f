"""The Python runner, with this Python as the board's."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

from tests.runner.contract import TfliteRunnerContract
from tests.runner.launching import Launcher, python


@pytest.fixture(scope="module")
def launcher(tmp_path_factory: pytest.TempPathFactory) -> Launcher:
    return python(tmp_path_factory.mktemp("python"))


class TestPythonRunner(TfliteRunnerContract):
    pass


def test_a_python_without_the_runtime_says_so(launcher: Launcher, tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.write_bytes(b"\0\0\0\0TFL3")
    # -I -S: no site-packages, so neither ai_edge_litert nor numpy
    argv = [sys.executable, "-I", "-S", str(launcher.folder / "litert_runner.py")]
    answer = launcher.refused([*argv, "--model", str(model), "--samples", str(tmp_path / "s")])
    assert answer["code"] == "E_RUNNER_LIBRARY"
    assert "ai_edge_litert" in answer["message"]


def test_the_script_is_one_that_an_old_python_reads(launcher: Launcher) -> None:
    """Boards have the Python they have: 3.7 is the oldest."""
    source = (launcher.folder / "litert_runner.py").read_text()
    ast.parse(source, feature_version=(3, 7))
