"""LiteRT or TFLite through the board's own Python: for 32-bit ARM, and wherever the native runner has no build.

The board needs python3 with numpy and ai_edge_litert or tflite_runtime; edgekit brings the scripts.
"""

from __future__ import annotations

from edgekit.runtimes.board_python import BoardPython


class LiteRtPythonRuntime(BoardPython):
    """Runs .tflite models on the processor, with the Interpreter of the board's Python."""

    name = "litert-python"
    script = "litert_runner.py"
    formats = ("tflite",)
