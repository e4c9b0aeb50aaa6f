"""LiteRT through the native runner: the same library and kernels as ai-edge-litert's Interpreter, no Python."""

from __future__ import annotations

from edgekit.parse.litert_profile import parse_litert_profile
from edgekit.parse.op_profile import OpProfile
from edgekit.runtimes.base import Bundle, LibcFacts, RunnerJob
from edgekit.runtimes.native import native_bundle, native_command
from edgekit.runtimes.pins import LITERT
from edgekit.runtimes.result import RunnerResult, parse_result


class LiteRtRuntime:
    """Runs .tflite models on the processor, with XNNPACK."""

    name: str = LITERT.runtime
    version: str | None = LITERT.version
    formats: tuple[str, ...] = ("tflite",)
    accelerators: tuple[str, ...] = ("cpu",)
    raw_samples: bool = True
    op_profile: bool = True
    outputs: bool = True

    def bundle(self, abi: str, libc: LibcFacts) -> Bundle:
        """Runner and library; with their own loader and C library where the device's will not do."""
        hint = "use the runtime litert-python, which runs with the board's own Python"
        return native_bundle(LITERT, abi, libc, instead=hint)

    def command(self, bundle: Bundle, bundle_dir: str, job: RunnerJob) -> tuple[list[str], dict[str, str]]:
        return native_command(LITERT, bundle, bundle_dir, job)

    def parse(self, stdout: bytes) -> RunnerResult:
        return parse_result(stdout)

    def read_op_profile(self, data: bytes) -> OpProfile:
        return parse_litert_profile(data)
