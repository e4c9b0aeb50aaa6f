"""The runner of ExecuTorch's Python package, with this Python as the board's (D1.1). Each launch imports torch."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from edgekit.runtimes.base import RunnerJob
from edgekit.runtimes.executorch_python import ExecutorchPythonRuntime
from tests.runner import tiny_pte
from tests.runner.contract import RunnerContract
from tests.runner.launching import EXECUTORCH, Launcher, executorch_python

pytestmark = pytest.mark.heavy
pytest.importorskip("torch")
pytest.importorskip("executorch")


@pytest.fixture(scope="module")
def launcher(tmp_path_factory: pytest.TempPathFactory) -> Launcher:
    return executorch_python(tmp_path_factory.mktemp("executorch"))


def job_of(model: Path) -> RunnerJob:
    folder = model.parent
    return RunnerJob(model=str(model), samples=str(folder / "s"), outputs=str(folder / "out"))


class TestExecutorchRunner(RunnerContract):
    test_names_are_escaped = None  # type: ignore[assignment]  # the format keeps no names
    load_steps = ("dlopen_us", "environment_us", "model_us", "compile_us")

    @pytest.fixture(params=["delegated", "portable"])
    def real_model(self, request: pytest.FixtureRequest, tmp_path: Path) -> Path:
        return tiny_pte.small(tmp_path / "real.pte", delegate=request.param == "delegated")

    def test_open_dimensions_become_one(self, launcher: Launcher, tmp_path: Path) -> None:
        """Not here: a program has the largest size of a dimension, and that is what its memory is planned for."""
        model = tiny_pte.open_batch(tmp_path / "open")
        result = launcher.run(job_of(model))
        assert result.inputs[0].shape == result.outputs[0].shape == (4, 4)
        assert len(np.fromfile(tmp_path / "out", "<f4")) == 16


def test_inputs_are_there_in_every_iteration(launcher: Launcher, tmp_path: Path) -> None:
    """The memory of an input is planned: an inference may write over it. What is timed must compute what is checked."""
    import torch

    class Net(torch.nn.Module):  # type: ignore[misc]
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for _ in range(6):
                x = x * 2 + 1
            return x

    model = tiny_pte._save(tmp_path / "chain.pte", Net(), (torch.ones(64),), delegate=False)
    launcher.run(job_of(model))
    once = (tmp_path / "out").read_bytes()
    given = tiny_pte.random_inputs(model, 1)
    (tmp_path / "in").write_bytes(given * 5)
    five = RunnerJob(
        model=str(model),
        samples=str(tmp_path / "s"),
        inputs=str(tmp_path / "in"),
        outputs=str(tmp_path / "out"),
    )
    launcher.run(five)
    assert (tmp_path / "out").read_bytes() == tiny_pte.outputs(model, given) * 5
    assert len(once) == 64 * 4


def test_a_backend_that_the_board_lacks_is_named(launcher: Launcher, tmp_path: Path) -> None:
    model = tiny_pte.reordered(tmp_path / "model.pte")
    model.write_bytes(model.read_bytes().replace(b"XnnpackBackend", b"SomebodysOwnNP"))
    answer = launcher.refuse(job_of(model))
    assert answer["code"] == "E_MODEL_COMPILE"
    assert "SomebodysOwnNP" in answer["message"]
    assert "XnnpackBackend" in answer["message"]
    assert "pip install" in answer["message"]


def test_a_python_without_it_says_what_to_install(tmp_path: Path) -> None:
    launcher = Launcher(ExecutorchPythonRuntime(), EXECUTORCH, tmp_path / "bundle")
    model = tmp_path / "model"
    model.write_bytes(b"\0\0\0\0ET12")
    argv, environment = launcher.command(job_of(model))
    answer = launcher.refused([sys.executable, "-S", "-E", *argv[1:]], environment)
    assert answer["code"] == "E_RUNNER_LIBRARY"
    assert "pip install executorch torch" in answer["message"]


def test_a_package_too_old_says_so(tmp_path: Path) -> None:
    launcher = Launcher(ExecutorchPythonRuntime(), EXECUTORCH, tmp_path / "bundle")
    older = tmp_path / "bundle" / "executorch" / "extension" / "pybindings"
    older.mkdir(parents=True)
    for folder in (older, older.parent, older.parent.parent):
        (folder / "__init__.py").write_text("")
    (older / "portable_lib.py").write_text("class ExecuTorchModule: pass\n")
    (tmp_path / "bundle" / "torch.py").write_text("")
    model = tmp_path / "model"
    model.write_bytes(b"\0\0\0\0ET12")
    answer = launcher.refuse(job_of(model))
    assert answer["code"] == "E_RUNNER_VERSION"
    assert "pip install --upgrade executorch" in answer["message"]
