"""LiteRT or TFLite through the board's own Python: for 32-bit ARM, and wherever the native runner has no build.

The board needs python3 with numpy and ai_edge_litert or tflite_runtime; edgekit brings the scripts.
"""

from __future__ import annotations

from edgekit.parse.op_profile import OpProfile
from edgekit.runtimes.base import Bundle, LibcFacts, RunnerJob, no_op_profile
from edgekit.runtimes.board_python import python_bundle, python_command
from edgekit.runtimes.result import RunnerResult, parse_result

SCRIPT = "litert_runner.py"


class LiteRtPythonRuntime:
    """Runs .tflite models on the processor, with the Interpreter of the board's Python."""

    name: str = "litert-python"
    version: str | None = None
    formats: tuple[str, ...] = ("tflite",)
    accelerators: tuple[str, ...] = ("cpu",)
    raw_samples: bool = True
    op_profile: bool = False
    outputs: bool = True

    def bundle(self, abi: str, libc: LibcFacts) -> Bundle:
        return python_bundle(self.name, SCRIPT)

    def command(self, bundle: Bundle, bundle_dir: str, job: RunnerJob) -> tuple[list[str], dict[str, str]]:
        return python_command(SCRIPT, bundle_dir, job)

    def parse(self, stdout: bytes) -> RunnerResult:
        return parse_result(stdout)

    def read_op_profile(self, data: bytes) -> OpProfile:
        raise no_op_profile(self.name)
