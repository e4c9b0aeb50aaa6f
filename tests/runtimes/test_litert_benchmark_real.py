"""litert-benchmark really run on this machine, and what it prints really read (D1.1)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edgekit.errors import RemoteError
from edgekit.runtimes.base import make_bundle
from edgekit.runtimes.litert_benchmark import LitertBenchmarkRuntime
from edgekit.runtimes.tool import ToolJob, ToolOutput, ToolResult
from tests.conversion.models import real_models

PROGRAM = Path(sys.executable).parent / "litert-benchmark"
MODEL = Path(__file__).parents[2] / "examples" / "digits" / "digits.tflite"

pytestmark = pytest.mark.skipif(not PROGRAM.exists(), reason="ai-edge-litert is not installed")


def run(job: ToolJob) -> ToolResult:
    runtime = LitertBenchmarkRuntime(str(PROGRAM))
    command = runtime.command(make_bundle(runtime.name, "unknown", []), "/nowhere", job)
    done = subprocess.run(command.argv, capture_output=True, timeout=120, check=False)
    files = {role: Path(path).read_bytes() for role, path in command.files.items() if Path(path).exists()}
    output = ToolOutput(exit_code=done.returncode, stdout=done.stdout, stderr=done.stderr, files=files)
    return runtime.read(job, output)


def test_on_the_cpu(tmp_path: Path) -> None:
    job = ToolJob(
        model=str(MODEL),
        scratch=str(tmp_path),
        threads=2,
        iterations=123,
        warmup_iterations=7,
    )
    result = run(job)
    assert (result.latency.count, result.warmup.count if result.warmup else None) == (123, 7)
    assert (result.threads, result.actual_accelerator, result.samples_us) == (2, "cpu", None)
    assert result.init_us is not None
    assert 100 < result.init_us < 60e6
    low, high = result.latency.min_us, result.latency.max_us
    # a busy machine may be slow, but not a second slow; below 5 us it would say 0, which is unknown
    assert high is not None
    assert (low or 0) <= high < 1e6


def test_a_model_that_takes_milliseconds_has_known_statistics_in_order(tmp_path: Path) -> None:
    model = real_models()["mediapipe/iris_landmark"]
    latency = run(
        ToolJob(model=str(model), scratch=str(tmp_path), iterations=30, warmup_iterations=5)
    ).latency
    assert latency.count == 30
    values = [latency.min_us, latency.p5_us, latency.median_us, latency.p95_us, latency.max_us]
    known = [value for value in values if value is not None]
    assert len(known) == 5
    assert known == sorted(known)
    assert latency.std_us is not None or known[0] == known[-1]


def test_an_accelerator_that_is_not_there_is_an_error_and_no_cpu_number(tmp_path: Path) -> None:
    job = ToolJob(model=str(MODEL), scratch=str(tmp_path), iterations=5, accelerator="npu")
    with pytest.raises(RemoteError) as caught:
        run(job)
    assert caught.value.code == "E_TOOL_FAILED"
    assert "Error: " in caught.value.message  # not what it logs while it ends


def test_a_model_that_is_none_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "model.tflite").write_bytes(b"\x1c\0\0\0TFL3" + bytes(100))
    for model in (tmp_path / "model.tflite", tmp_path / "missing.tflite"):
        with pytest.raises(RemoteError) as caught:
            run(ToolJob(model=str(model), scratch=str(tmp_path), iterations=5))
        assert caught.value.code in ("E_TOOL_FAILED", "E_RUNNER_CRASH")
