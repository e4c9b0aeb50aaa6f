"""ExecuTorch through the board's own Python, with the kernels and backends that its package has: XNNPACK among them.

The board needs python3 with the packages executorch and torch; edgekit brings the scripts.
"""

from __future__ import annotations

from edgekit.parse.op_profile import OpProfile
from edgekit.runtimes.base import Bundle, LibcFacts, RunnerJob
from edgekit.runtimes.board_python import python_bundle, python_command
from edgekit.runtimes.etdump import parse_etdump
from edgekit.runtimes.result import RunnerResult, parse_result

SCRIPT = "executorch_runner.py"


class ExecutorchPythonRuntime:
    """Runs the method `forward` of .pte programs on the processor."""

    name: str = "executorch-python"
    version: str | None = None
    formats: tuple[str, ...] = ("executorch",)
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
        return parse_etdump(data)
