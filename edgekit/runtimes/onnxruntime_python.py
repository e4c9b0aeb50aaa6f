"""ONNX Runtime through the board's own Python: where the native runner has no build, and for the board's own version.

The board needs python3 with the package onnxruntime; edgekit brings the scripts.
"""

from __future__ import annotations

from edgekit.parse.onnxruntime_profile import parse_onnxruntime_profile
from edgekit.parse.op_profile import OpProfile
from edgekit.runtimes.base import Bundle, LibcFacts, RunnerJob
from edgekit.runtimes.board_python import python_bundle, python_command
from edgekit.runtimes.result import RunnerResult, parse_result

SCRIPT = "onnxruntime_runner.py"


class OnnxRuntimePythonRuntime:
    """Runs .onnx models with the CPU execution provider, set as the native runner sets it."""

    name: str = "onnxruntime-python"
    version: str | None = None
    formats: tuple[str, ...] = ("onnx",)
    accelerators: tuple[str, ...] = ("cpu",)
    raw_samples: bool = True
    op_profile: bool = True
    outputs: bool = True

    def bundle(self, abi: str, libc: LibcFacts) -> Bundle:
        return python_bundle(self.name, SCRIPT)

    def command(self, bundle: Bundle, bundle_dir: str, job: RunnerJob) -> tuple[list[str], dict[str, str]]:
        return python_command(SCRIPT, bundle_dir, job)

    def parse(self, stdout: bytes) -> RunnerResult:
        return parse_result(stdout)

    def read_op_profile(self, data: bytes) -> OpProfile:
        return parse_onnxruntime_profile(data)
