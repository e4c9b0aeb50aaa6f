"""ONNX Runtime through the native runner: the library of the package onnxruntime on its C API, no Python."""

from __future__ import annotations

from edgekit.parse.onnxruntime_profile import parse_onnxruntime_profile
from edgekit.parse.op_profile import OpProfile
from edgekit.runtimes.base import Bundle, LibcFacts, RunnerJob
from edgekit.runtimes.native import native_bundle, native_command
from edgekit.runtimes.pins import ONNXRUNTIME
from edgekit.runtimes.result import RunnerResult, parse_result


class OnnxRuntimeRuntime:
    """Runs .onnx models on the processor, with the CPU execution provider: all graph optimizations, nodes one
    after another, one pool of threads for what is inside a node."""

    name: str = ONNXRUNTIME.runtime
    version: str | None = ONNXRUNTIME.version
    formats: tuple[str, ...] = ("onnx",)
    accelerators: tuple[str, ...] = ("cpu",)
    raw_samples: bool = True
    op_profile: bool = True
    outputs: bool = True

    def bundle(self, abi: str, libc: LibcFacts) -> Bundle:
        """Runner and library; with their own loader and C library where the device's will not do."""
        hint = "convert the model to TFLite: edgekit convert --to tflite"
        return native_bundle(ONNXRUNTIME, abi, libc, instead=hint)

    def command(self, bundle: Bundle, bundle_dir: str, job: RunnerJob) -> tuple[list[str], dict[str, str]]:
        return native_command(ONNXRUNTIME, bundle, bundle_dir, job)

    def parse(self, stdout: bytes) -> RunnerResult:
        return parse_result(stdout)

    def read_op_profile(self, data: bytes) -> OpProfile:
        return parse_onnxruntime_profile(data)
