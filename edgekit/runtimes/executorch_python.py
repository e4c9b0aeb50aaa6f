"""ExecuTorch through the board's own Python, with the kernels and backends that its package has: XNNPACK among them.

The board needs python3 with the packages executorch and torch; edgekit brings the scripts.
"""

from __future__ import annotations

from edgekit.parse.op_profile import OpProfile
from edgekit.runtimes.board_python import BoardPython
from edgekit.runtimes.etdump import parse_etdump


class ExecutorchPythonRuntime(BoardPython):
    """Runs the method `forward` of .pte programs on the processor."""

    name = "executorch-python"
    script = "executorch_runner.py"
    formats = ("executorch",)
    op_profile = True

    def read_op_profile(self, data: bytes) -> OpProfile:
        return parse_etdump(data)
