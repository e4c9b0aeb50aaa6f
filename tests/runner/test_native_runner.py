"""The native runner, on this machine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from edgekit.runtimes.base import RunnerJob
from tests.runner import tiny
from tests.runner.contract import TfliteRunnerContract
from tests.runner.launching import Launcher, native
from tests.runner.models import model_path
from tests.timed import timed


@pytest.fixture(scope="module")
def launcher(tmp_path_factory: pytest.TempPathFactory) -> Launcher:
    return native(tmp_path_factory.mktemp("native"))


class TestNativeRunner(TfliteRunnerContract):
    pass


def test_libraries_that_are_none(launcher: Launcher, tmp_path: Path) -> None:
    text = tmp_path / "libLiteRt.so"
    text.write_text("not a library")
    argv = [str(launcher.folder / "edgekit-runner-litert"), "--model", str(model_path("iris_landmark"))]
    argv += ["--samples", str(tmp_path / "s"), "--library"]
    for library in (str(text), "/nonexistent.so", "libc.so.6"):
        assert launcher.refused([*argv, library])["code"] == "E_RUNNER_LIBRARY"
    assert "LiteRtCreateEnvironment" in launcher.refused([*argv, "libc.so.6"])["message"]


def test_the_delegate_takes_the_whole_model(launcher: Launcher, tmp_path: Path) -> None:
    """What LiteRT itself says, not what was asked for."""
    real = RunnerJob(model=str(model_path("iris_landmark")), samples=str(tmp_path / "s"))
    assert launcher.run(real).fully_accelerated is True


@timed
def test_nothing_faults_in_the_timed_loop(launcher: Launcher, tmp_path: Path) -> None:
    """The sample buffer has its pages before the first iteration."""
    job = RunnerJob(model="none", samples=str(tmp_path / "s"), empty_body=True, iterations=1_000_000)
    assert launcher.run(job).faults.steady.minor <= 2
    model = tiny.reordered(tmp_path / "tiny.tflite")
    job = RunnerJob(model=str(model), samples=str(tmp_path / "s"), warmup_iterations=200, min_seconds=0.5)
    result = launcher.run(job)
    assert result.iterations > 20_000  # 160 kB of samples, 40 pages
    # a busy machine may mislead the warm-up's forecast by one growth of the buffer, whose pages are touched then
    assert result.faults.steady.minor <= 10 + result.iterations * 8 * 2 // 4096


def test_the_sample_buffer_is_no_part_of_the_model(launcher: Launcher, tmp_path: Path) -> None:
    """Some seconds of a model of 7 numbers makes hundreds of thousands of samples, of 8 bytes each."""
    model = tiny.reordered(tmp_path / "tiny.tflite")
    job = RunnerJob(model=str(model), samples=str(tmp_path / "s"), iterations=10)
    few, many = launcher.run(job), launcher.run(replace(job, min_seconds=4))
    assert many.iterations > 100_000
    assert few.memory.model_delta_bytes is not None
    assert many.memory.model_delta_bytes is not None
    assert abs(many.memory.model_delta_bytes - few.memory.model_delta_bytes) < 400_000


@pytest.mark.parametrize("seed", range(8))
def test_flipped_bytes_never_break_the_contract(launcher: Launcher, tmp_path: Path, seed: int) -> None:
    """Whatever the library makes of a damaged graph, even a crash, the host gets one JSON line."""
    rng = np.random.default_rng(seed)
    content = bytearray(model_path("face_detection_short_range").read_bytes())
    for at in rng.integers(len(content) - 20_000, len(content), 10 * seed + 1):  # the graph is at the end
        content[at] = int(rng.integers(256))
    damaged = tmp_path / "damaged.tflite"
    damaged.write_bytes(content)
    outcome = launcher.start(*launcher.command(RunnerJob(model=str(damaged), samples=str(tmp_path / "s"))))
    assert outcome.exit_code == (0 if outcome.answer["ok"] else 1)
    assert outcome.answer["ok"] or outcome.answer["code"].startswith("E_MODEL_")
