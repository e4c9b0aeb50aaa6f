#!/usr/bin/env python3
"""The runner for boards that have Python with ai_edge_litert or tflite_runtime, and no native runner.

Same options, same files and same JSON line as the native runner (docs/runner.md). It imports nothing of edgekit but the
files that lie beside it, and is written for Python 3.7 and later: a board has the Python it has.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # on the board the files lie side by side
    import argparse

    from edgekit.runtimes.board.board_launch import Loading, main
    from edgekit.runtimes.board.board_process import Refused, first_line, read_head, version_of
    from edgekit.runtimes.board.board_tensors import Tensor
else:
    from board_launch import main
    from board_process import Refused, first_line, read_head, version_of
    from board_tensors import Tensor

MODULES = (("ai_edge_litert.interpreter", "ai-edge-litert"), ("tflite_runtime.interpreter", "tflite-runtime"))


def check_file(path: str) -> None:
    if read_head(path, 8)[4:] != b"TFL3":
        raise Refused("E_MODEL_FORMAT", f"{path} is not a .tflite model: no TFL3 mark at byte 4")


def find_interpreter() -> tuple[Any, str]:
    for module, package in MODULES:
        try:
            return importlib.import_module(module).Interpreter, package
        except ImportError:
            continue
    raise Refused(
        "E_RUNNER_LIBRARY",
        "this Python has neither ai_edge_litert nor tflite_runtime (pip install ai-edge-litert)",
    )


class LiteRtSession:
    """A model in the Interpreter, with XNNPACK where the package has it."""

    def __init__(self, options: argparse.Namespace, loading: Loading) -> None:
        check_file(options.model)
        loading.begin()
        interpreter_class, package = find_interpreter()
        loading.end("dlopen_us")
        self.version = version_of(package)
        try:
            self.interpreter = interpreter_class(model_path=options.model, num_threads=options.threads)
        except (ValueError, RuntimeError) as error:
            raise Refused("E_MODEL_LOAD", f"LiteRT cannot load the model: {error}") from error
        loading.end("model_us")
        self.prepare()
        loading.end("compile_us")

    def prepare(self) -> None:
        """Make the tensors; open dimensions become 1."""
        try:
            for detail in self.interpreter.get_input_details():
                signature = [int(n) for n in detail.get("shape_signature", detail["shape"])]
                if any(n < 0 for n in signature):
                    self.interpreter.resize_tensor_input(detail["index"], [abs(n) for n in signature])
            self.interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            text = f"LiteRT cannot prepare the model: {first_line(error)}"
            raise Refused("E_MODEL_COMPILE", text) from error
        ins, outs = self.interpreter.get_input_details(), self.interpreter.get_output_details()
        self.inputs, self.outputs = tensors_of(ins), tensors_of(outs)
        self.in_numbers = [detail["index"] for detail in ins]
        self.out_numbers = [detail["index"] for detail in outs]

    def write_inputs(self, arrays: list[Any]) -> None:
        for number, array in zip(self.in_numbers, arrays):  # noqa: B905  (`strict` came with Python 3.10)
            self.interpreter.set_tensor(number, array)

    def before_each(self) -> None:
        """Inputs stay in their tensors."""

    def run(self) -> None:
        try:
            self.interpreter.invoke()
        except (ValueError, RuntimeError) as error:
            raise Refused("E_MODEL_RUN", f"an inference failed: {error}") from error

    def read_outputs(self) -> bytes:
        return b"".join(self.interpreter.get_tensor(number).tobytes() for number in self.out_numbers)


def tensors_of(details: list[Any]) -> list[Tensor]:
    return [Tensor(detail["name"], detail["dtype"], detail["shape"]) for detail in details]


if __name__ == "__main__":
    main("litert-python", LiteRtSession)
