"""LiteRT or TFLite through the board's own Python: for 32-bit ARM, and wherever the native runner has no build.

The board needs python3 with numpy and ai_edge_litert or tflite_runtime; edgekit brings one script.
"""

from __future__ import annotations

from pathlib import Path

from edgekit.parse.op_profile import OpProfile
from edgekit.runtimes.base import (
    READABLE,
    Bundle,
    LibcFacts,
    RunnerJob,
    bundle_file,
    make_bundle,
    no_op_profile,
    runner_arguments,
)
from edgekit.runtimes.result import RunnerResult, parse_result

SCRIPT = "litert_runner.py"
BUNDLE_VERSION = "1"
"""Of the script; the runtime's own version is the board's business, and in every result."""


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
        """One script, the same for every device; Python and its packages are the board's."""
        script = Path(__file__).parent / "board" / SCRIPT
        return make_bundle(self.name, BUNDLE_VERSION, [bundle_file(script, SCRIPT, READABLE)])

    def command(self, bundle: Bundle, bundle_dir: str, job: RunnerJob) -> tuple[list[str], dict[str, str]]:
        """`python3` of the board's PATH."""
        return ["python3", f"{bundle_dir}/{SCRIPT}", *runner_arguments(job)], {"PYTHONUNBUFFERED": "1"}

    def parse(self, stdout: bytes) -> RunnerResult:
        return parse_result(stdout)

    def read_op_profile(self, data: bytes) -> OpProfile:
        raise no_op_profile(self.name)
