"""ONNX Runtime through the board's own Python: where the native runner has no build, and for the board's own version.

The board needs python3 with the package onnxruntime; edgekit brings the scripts.
"""

from __future__ import annotations

from edgekit.parse.onnxruntime_profile import parse_onnxruntime_profile
from edgekit.parse.op_profile import OpProfile
from edgekit.runtimes.board_python import BoardPython


class OnnxRuntimePythonRuntime(BoardPython):
    """Runs .onnx models with the CPU execution provider, set as the native runner sets it."""

    name = "onnxruntime-python"
    script = "onnxruntime_runner.py"
    formats = ("onnx",)
    op_profile = True

    def read_op_profile(self, data: bytes) -> OpProfile:
        return parse_onnxruntime_profile(data)
