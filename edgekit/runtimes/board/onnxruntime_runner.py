#!/usr/bin/env python3
"""The runner for boards that have Python with the package onnxruntime, and no native runner.

Same options, same files and same JSON line as the native runner (docs/runner.md). It imports nothing of edgekit but the
files that lie beside it, and is written for Python 3.7 and later: a board has the Python it has.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:  # on the board the files lie side by side
    import argparse

    from edgekit.runtimes.board.board_launch import Loading, main
    from edgekit.runtimes.board.board_process import Refused, first_line, read_head
    from edgekit.runtimes.board.board_tensors import Tensor
else:
    from board_launch import main
    from board_process import Refused, first_line, read_head
    from board_tensors import Tensor

DTYPES = {"float": "float32", "double": "float64"}
"""Names of ONNX Runtime's types where numpy has others."""
LOADING = ("NoSuchFile", "InvalidProtobuf")
"""Its errors that are the file's; all others say that the graph cannot be run."""
FATAL, ALL_OPTIMIZATIONS = 4, 99
VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
IR_VERSION, MODEL_VERSION, GRAPH, OPSET, LAST_FIELD = 1, 5, 7, 8, 100


def check_file(path: str) -> None:
    """The file is one protobuf message, ModelProto: its outermost fields are looked over, as the native runner does."""
    read_head(path, 1)
    size, graph = Path(path).stat().st_size, False
    with open(path, "rb") as file:
        while file.tell() < size:
            tag = varint(file, path)
            field, wire = tag >> 3, tag & 7
            if not plausible(field, wire):
                raise no_onnx(path, "it has a field that no ONNX model has")
            value = varint(file, path) if wire in (VARINT, LENGTH) else {FIXED64: 8, FIXED32: 4}[wire]
            end = file.tell() + (0 if wire == VARINT else value)
            if end > size:
                text = f"the model should go on to byte {end}, past the end of the file ({size} bytes): it was cut off"
                raise Refused("E_MODEL_TRUNCATED", text)
            file.seek(end)
            graph = graph or field == GRAPH
    if not graph:
        raise no_onnx(path, "it holds no graph" if size else "it is empty")


def plausible(field: int, wire: int) -> bool:
    if field in (IR_VERSION, MODEL_VERSION):
        return wire == VARINT
    if field <= OPSET:
        return field > 0 and wire == LENGTH
    return field <= LAST_FIELD and wire in (VARINT, FIXED64, LENGTH, FIXED32)


def varint(file: BinaryIO, path: str) -> int:
    value = 0
    for shift in range(0, 64, 7):
        byte = file.read(1)
        if not byte:
            raise Refused(
                "E_MODEL_TRUNCATED", f"the model ends in the middle of a number: {path} was cut off"
            )
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
    raise no_onnx(path, "a number in it is longer than any is")


def no_onnx(path: str, why: str) -> Refused:
    return Refused("E_MODEL_FORMAT", f"{path} is not an .onnx model: {why}")


def find_package() -> Any:
    # its official builds collect and upload usage data: no measurement may have that beside it. Read at its import
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    try:
        import onnxruntime
    except ImportError as error:
        text = f"this Python has no onnxruntime: {first_line(error)} (pip install onnxruntime)"
        raise Refused("E_RUNNER_LIBRARY", text) from error
    binding = getattr(onnxruntime, "IOBinding", None)
    if not hasattr(onnxruntime, "OrtValue") or not hasattr(binding, "bind_ortvalue_output"):
        version = getattr(onnxruntime, "__version__", "of no version")
        text = f"onnxruntime {version} has no bindings for values (pip install --upgrade onnxruntime)"
        raise Refused("E_RUNNER_VERSION", text)
    return onnxruntime


class OnnxRuntimeSession:
    """A model with the CPU execution provider, set as the native runner sets it (docs/runner.md)."""

    def __init__(self, options: argparse.Namespace, loading: Loading) -> None:
        check_file(options.model)
        loading.begin()
        self.package = find_package()
        loading.end("dlopen_us")
        self.version: str | None = str(self.package.__version__)
        try:
            self.session = self.package.InferenceSession(
                options.model, self.settings(options), providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # one class of its own for each of its status codes
            name, words = type(error).__name__, first_line(error)
            if name in LOADING:
                raise Refused("E_MODEL_LOAD", f"ONNX Runtime cannot load the model: {words}") from error
            raise Refused("E_MODEL_COMPILE", f"ONNX Runtime cannot prepare the model: {words}") from error
        self.inputs = [tensor_of(node, "input") for node in self.session.get_inputs()]
        self.outputs = [tensor_of(node, "output") for node in self.session.get_outputs()]
        if not self.outputs:
            raise Refused("E_MODEL_UNSUPPORTED", "the model has no outputs")
        self.binding = self.session.io_binding()
        for tensor in self.outputs:
            self.binding.bind_output(tensor.name)
        self.outputs_known = False
        loading.end("compile_us")

    def settings(self, options: argparse.Namespace) -> Any:
        settings = self.package.SessionOptions()
        settings.intra_op_num_threads, settings.inter_op_num_threads = options.threads, 1
        settings.execution_mode = self.package.ExecutionMode.ORT_SEQUENTIAL
        settings.graph_optimization_level = self.package.GraphOptimizationLevel.ORT_ENABLE_ALL
        settings.log_severity_level = FATAL  # each error is raised, and its words are in the answer
        if options.op_profile is not None:
            settings.enable_profiling, settings.profile_file_prefix = True, options.op_profile
        return settings

    def write_inputs(self, arrays: list[Any]) -> None:
        self.values = [self.package.OrtValue.ortvalue_from_numpy(array) for array in arrays]
        self.arrays = arrays  # a value may use the array's memory
        for tensor, value in zip(self.inputs, self.values):  # noqa: B905  (`strict` came with Python 3.10)
            self.binding.bind_ortvalue_input(tensor.name, value)

    def before_each(self) -> None:
        """Inputs stay bound."""

    def run(self) -> None:
        """The first inference makes the outputs, in the shapes that come of it; later ones write into their memory."""
        try:
            self.session.run_with_iobinding(self.binding)
        except Exception as error:  # as above
            raise Refused("E_MODEL_RUN", f"an inference failed: {first_line(error)}") from error
        if not self.outputs_known:
            self.learn_outputs()

    def learn_outputs(self) -> None:
        made = self.binding.get_outputs()
        for place, value in enumerate(made):
            tensor = self.outputs[place]
            self.outputs[place] = Tensor(tensor.name, tensor.dtype, value.shape())
            self.binding.bind_ortvalue_output(tensor.name, value)
        self.made, self.outputs_known = made, True

    def read_outputs(self) -> bytes:
        return b"".join(value.numpy().tobytes() for value in self.made)

    def write_op_profile(self, path: str) -> None:
        """It adds the time of day to the name that it was given, and tells what came of it."""
        try:
            Path(self.session.end_profiling()).replace(path)
        except OSError as error:
            text = f"cannot write the operators' times {path}: {error.strerror}"
            raise Refused("E_RUNNER_FILE", text) from error


def tensor_of(node: Any, role: str) -> Tensor:
    """Open dimensions of an input become 1, as those of an output do until it is made."""
    kind = node.type[len("tensor(") : -1] if node.type.startswith("tensor(") else ""
    name = DTYPES.get(kind, kind)
    if not name:
        raise Refused("E_MODEL_UNSUPPORTED", f"the {role} '{node.name}' is not a tensor")
    shape = [size if isinstance(size, int) and size >= 0 else 1 for size in node.shape]
    try:
        return Tensor(node.name, name, shape)
    except TypeError as error:
        text = f"the {role} '{node.name}' is of the type {kind}, which the runner cannot pass"
        raise Refused("E_MODEL_UNSUPPORTED", text) from error


if __name__ == "__main__":
    main("onnxruntime-python", OnnxRuntimeSession, OnnxRuntimeSession.write_op_profile)
