"""Starts a runner by hand, for tests of the runner itself."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import numpy as np

from edgekit.runtimes.base import LibcFacts, RunnerJob, Runtime, runner_arguments
from edgekit.runtimes.executorch_python import ExecutorchPythonRuntime
from edgekit.runtimes.litert import LiteRtRuntime
from edgekit.runtimes.litert_python import LiteRtPythonRuntime
from edgekit.runtimes.onnxruntime import OnnxRuntimeRuntime
from edgekit.runtimes.onnxruntime_python import OnnxRuntimePythonRuntime
from edgekit.runtimes.result import RunnerResult
from tests.runner import tiny, tiny_onnx, tiny_pte
from tests.runner.models import model_path

TIMEOUT_SECONDS = 120
LOCAL_ABI = "x86_64" if os.uname().machine == "x86_64" else "arm64-v8a"
DEVICE_HAS_ALL = LibcFacts(glibc=(99, 0), libstdcxx=(99, 0, 0))
"""Facts with which no libc set is added: the tests run on this host's own C library."""


@dataclass(frozen=True)
class Outcome:
    exit_code: int
    stdout: bytes
    stderr: str
    answer: dict[str, Any]


@dataclass(frozen=True)
class Kit:
    """Models of the format that a runtime takes, and what the runtime's own Python package makes of them."""

    tiny: ModuleType
    """Makes small models: copy_of, open_batch, reordered, custom."""
    version: str
    """Of the runtime's library."""
    small: Callable[[Path], Path]
    """A model of some hundred kB with a 128 x 128 image as its input; it may be made in the given folder."""
    outputs: Callable[..., bytes]
    """Of a model, for the inputs of one or more samples; then the number of threads, 1."""
    random_inputs: Callable[[Path, int], bytes]
    profiled: frozenset[str]
    """What a profile calls the operators of `tiny.reordered`, where the runtime has one."""
    names: bool = True
    """Whether the format keeps the names of inputs and outputs."""


class Launcher:
    """One runtime, its bundle in a folder, ready to be started with any arguments."""

    def __init__(self, runtime: Runtime, kit: Kit, folder: Path, libc: LibcFacts = DEVICE_HAS_ALL) -> None:
        self.runtime, self.kit, self.folder = runtime, kit, folder
        self.bundle = runtime.bundle(LOCAL_ABI, libc)
        folder.mkdir(parents=True, exist_ok=True)
        for file in self.bundle.files:
            (folder / file.name).write_bytes(file.path.read_bytes())
            (folder / file.name).chmod(file.mode)

    def command(self, job: RunnerJob) -> tuple[list[str], dict[str, str]]:
        argv, environment = self.runtime.command(self.bundle, str(self.folder), job)
        if argv[0] == "python3":  # the board's Python is, here, the one with the runtime installed
            argv[0] = sys.executable
        return argv, {**os.environ, **environment}

    def prefix(self) -> list[str]:
        """What comes before the runner's own options."""
        job = RunnerJob(model="m", samples="s")
        argv, _ = self.command(job)
        return argv[: -len(runner_arguments(job))]

    def start(self, argv: list[str], environment: dict[str, str] | None = None) -> Outcome:
        """Run to the end and read the answer as JSON, without the product's strictness."""
        done = subprocess.run(
            argv,
            env=environment,
            capture_output=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        answer = msgspec.json.decode(done.stdout) if done.stdout else {}
        return Outcome(done.returncode, done.stdout, done.stderr.decode(errors="replace"), answer)

    def run(self, job: RunnerJob) -> RunnerResult:
        """A launch that must go well."""
        outcome = self.start(*self.command(job))
        assert outcome.exit_code == 0, outcome.stdout + outcome.stderr.encode()
        return self.runtime.parse(outcome.stdout)

    def refuse(self, job: RunnerJob) -> dict[str, Any]:
        """A launch that must be refused: one JSON line, exit 1."""
        return self.refused(*self.command(job))

    def refused(self, argv: list[str], environment: dict[str, str] | None = None) -> dict[str, Any]:
        outcome = self.start(argv, environment)
        assert outcome.exit_code == 1, outcome
        assert outcome.stdout.count(b"\n") == 1
        assert set(outcome.answer) == {"schema", "ok", "code", "message"}
        assert outcome.answer["schema"] == "edgekit.runner/1"
        assert outcome.answer["ok"] is False
        return outcome.answer


def native(folder: Path, libc: LibcFacts = DEVICE_HAS_ALL) -> Launcher:
    return Launcher(LiteRtRuntime(), TFLITE, folder, libc)


def onnxruntime(folder: Path, libc: LibcFacts = DEVICE_HAS_ALL) -> Launcher:
    return Launcher(OnnxRuntimeRuntime(), ONNX, folder, libc)


def python(folder: Path) -> Launcher:
    return Launcher(LiteRtPythonRuntime(), TFLITE, folder)


def onnxruntime_python(folder: Path) -> Launcher:
    return Launcher(OnnxRuntimePythonRuntime(), ONNX, folder)


def executorch_python(folder: Path) -> Launcher:
    return Launcher(ExecutorchPythonRuntime(), EXECUTORCH, folder)


def interpreter_outputs(model: Path, inputs: bytes, threads: int = 1) -> bytes:
    """What ai_edge_litert's Interpreter says, for one or more samples in the runner's file format."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(model), num_threads=threads)
    for detail in interpreter.get_input_details():
        if (detail["shape_signature"] < 0).any():
            interpreter.resize_tensor_input(detail["index"], abs(detail["shape_signature"]))
    interpreter.allocate_tensors()
    packed, at = b"", 0
    while at < len(inputs):
        for detail in interpreter.get_input_details():
            count = int(np.prod(detail["shape"]))
            values = np.frombuffer(inputs, detail["dtype"], count, at)
            interpreter.set_tensor(detail["index"], values.reshape(detail["shape"]))
            at += values.nbytes
        interpreter.invoke()
        for detail in interpreter.get_output_details():
            packed += interpreter.get_tensor(detail["index"]).tobytes()
    return packed


def random_inputs(model: Path, samples: int, seed: int = 0) -> bytes:
    """`samples` inputs in the runner's file format: floats in [0, 1), integers over their whole range."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(model))
    rng = np.random.default_rng(seed)
    packed = b""
    for _ in range(samples):
        for detail in interpreter.get_input_details():
            packed += _random(rng, np.dtype(detail["dtype"]), abs(detail["shape_signature"])).tobytes()
    return packed


def _random(rng: np.random.Generator, dtype: np.dtype[Any], shape: Any) -> Any:
    if dtype.kind == "f":
        return rng.random(shape).astype(dtype)
    if dtype.kind == "b":
        return rng.random(shape) < 0.5
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max, shape, dtype, endpoint=True)


def _onnx_session(model: Path, threads: int) -> Any:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    return ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


def _onnx_inputs(session: Any) -> list[tuple[str, np.dtype[Any], list[int]]]:
    """Name, type and shape of each input; open dimensions are 1."""
    types = {"float": "float32", "double": "float64"}
    found = []
    for node in session.get_inputs():
        kind = node.type.removeprefix("tensor(").removesuffix(")")
        shape = [size if isinstance(size, int) else 1 for size in node.shape]
        found.append((node.name, np.dtype(types.get(kind, kind)), shape))
    return found


def onnxruntime_outputs(model: Path, inputs: bytes, threads: int = 1) -> bytes:
    """What the package onnxruntime says, for one or more samples in the runner's file format."""
    session = _onnx_session(model, threads)
    packed, at = b"", 0
    while at < len(inputs):
        feeds = {}
        for name, dtype, shape in _onnx_inputs(session):
            feeds[name] = np.frombuffer(inputs, dtype, int(np.prod(shape)), at).reshape(shape)
            at += feeds[name].nbytes
        packed += b"".join(np.ascontiguousarray(value).tobytes() for value in session.run(None, feeds))
    return packed


def onnx_random_inputs(model: Path, samples: int, seed: int = 0) -> bytes:
    """As `random_inputs`, for an .onnx model."""
    session = _onnx_session(model, 1)
    rng = np.random.default_rng(seed)
    tensors = [(dtype, shape) for _ in range(samples) for _, dtype, shape in _onnx_inputs(session)]
    return b"".join(_random(rng, dtype, shape).tobytes() for dtype, shape in tensors)


TFLITE = Kit(
    tiny=tiny,
    version="2.3.0",
    small=lambda folder: model_path("face_detection_short_range"),
    outputs=interpreter_outputs,
    random_inputs=random_inputs,
    profiled=frozenset({"Add (ND)", "Square (NC)"}),
)
ONNX = Kit(
    tiny=tiny_onnx,
    version="1.32.0",
    small=lambda folder: tiny_onnx.small(folder / "small.onnx"),
    outputs=onnxruntime_outputs,
    random_inputs=onnx_random_inputs,
    profiled=frozenset({"Add", "Mul"}),
)
EXECUTORCH = Kit(
    tiny=tiny_pte,
    version=tiny_pte.VERSION,
    small=lambda folder: tiny_pte.small(folder / "small.pte"),
    outputs=tiny_pte.outputs,
    random_inputs=tiny_pte.random_inputs,
    profiled=frozenset({"DELEGATE_CALL"}),
    names=False,
)
