"""The user's own `benchmark_model`, of TFLite or of LiteRT: put on the device by its hash, started, and read.

The flags differ (`generation` in edgekit.yaml); which tool it really was is told by what it prints. Flags that a build
does not know it passes over with a warning, so a result with such a warning is refused. The samples stay with the
tool. Flags: tensorflow/lite/tools/benchmark/README.md; litert/tools/benchmark_litert_model.h.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from msgspec import structs

from edgekit.config import RuntimeEntry
from edgekit.errors import InputError
from edgekit.parse import ParseError
from edgekit.parse.benchmark_model import parse_benchmark_model
from edgekit.parse.benchmark_ops import parse_op_profile
from edgekit.parse.benchmark_result import parse_benchmark_result
from edgekit.parse.benchmark_run import BenchmarkRun, same
from edgekit.runtimes.base import EXECUTABLE, Bundle, LibcFacts, bundle_file, make_bundle
from edgekit.runtimes.tool import (
    ToolCommand,
    ToolJob,
    ToolOutput,
    ToolResult,
    Verified,
    check_ended,
    check_job,
    useless_setting,
)
from edgekit.runtimes.user_binary import UserBinary, adopt

NAME = "benchmark-model"
PROGRAM = "benchmark_model"
_RESULT = "result"
MEASURES = "one Invoke() with inputs in place"
Generation = Literal["tflite", "litert"]
FLAGS = {
    "tflite": {
        "--use_xnnpack": True,
        "--allow_fp16": True,
        "--input_layer": True,
        "--input_layer_shape": True,
        "--input_layer_value_range": True,
        "--signature_to_run_for": True,
        "--gpu_precision_loss_allowed": True,
        "--gpu_backend": True,
        "--nnapi_accelerator_name": True,
        "--nnapi_execution_preference": True,
        "--max_delegated_partitions": True,
        "--external_delegate_path": True,
        "--external_delegate_options": True,
        "--report_peak_memory_footprint": True,
    },
    "litert": {
        "--dispatch_library_path": True,
        "--compiler_plugin_library_path": True,
        "--signature_to_run_for": True,
        "--report_peak_memory_footprint": True,
    },
}
_DELEGATE_NAMES = {"gpu": ("gpu",), "nnapi": ("nnapi",), "hexagon": ("hexagon",)}
_HINT = "edgekit.yaml: runtimes: {benchmark-model: {binary: PATH, sha256: HASH, version: V, generation: tflite|litert}}"


class BenchmarkModelRuntime:
    """Never run by edgekit's tests: there is no build of it to be had here. Its output is replayed."""

    name: str = NAME
    version: str | None = None
    formats: tuple[str, ...] = ("tflite",)
    accelerators: tuple[str, ...] = ("cpu", "gpu", "nnapi", "hexagon")
    raw_samples: bool = False
    op_profile: bool = True
    outputs: bool = False
    verified: Verified = "replayed"

    def __init__(
        self,
        binary: UserBinary | None = None,
        generation: Generation = "tflite",
        *,
        result_file: bool = False,
    ) -> None:
        self._binary = binary
        self._result_file = result_file
        self._generation = generation
        self.version = binary.version if binary is not None else None
        if generation == "litert":
            self.accelerators = ("cpu", "gpu", "npu")

    @classmethod
    def configured(cls, entry: RuntimeEntry) -> BenchmarkModelRuntime:
        """As edgekit.yaml says. Raises InputError E_TOOL_OPTION for what it has no use for."""
        if entry.program is not None:
            raise useless_setting(NAME, "program", "binary")
        binary = None
        if entry.binary is not None:
            binary = UserBinary(path=Path(entry.binary), sha256=entry.sha256, version=entry.version)
        return cls(binary, entry.generation, result_file=entry.result_file)

    def bundle(self, abi: str, libc: LibcFacts) -> Bundle:
        """The user's program, as it is at this moment."""
        if self._binary is None:
            raise InputError(
                f"{NAME} is a tool of yours, and none is named", code="E_TOOL_BINARY", hint=_HINT
            )
        file = bundle_file(adopt(self._binary, abi, PROGRAM), PROGRAM, EXECUTABLE)
        return make_bundle(NAME, self.version or "unknown", [file])

    def command(self, bundle: Bundle, bundle_dir: str, job: ToolJob) -> ToolCommand:
        check_job(self, job, FLAGS[self._generation])
        argv = [f"{bundle_dir}/{PROGRAM}", f"--graph={job.model}", f"--num_threads={job.threads}"]
        argv += [f"--num_runs={max(1, job.iterations)}", f"--min_secs={job.min_seconds:.9g}"]
        argv += [f"--max_secs={job.max_seconds:.9g}", f"--warmup_runs={job.warmup_iterations}"]
        if self._generation == "litert":
            argv += [f"--use_{name}={_bool(name == job.accelerator)}" for name in self.accelerators]
            argv += ["--use_profiler=true"] if job.op_profile else []
        else:
            argv += [f"--use_{job.accelerator}=true"] if job.accelerator != "cpu" else []
            argv += ["--enable_op_profiling=true"] if job.op_profile else []
        files = {_RESULT: f"{job.scratch}/result.pb"} if self._result_file else {}
        argv += [f"--result_file_path={path}" for path in files.values()]
        return ToolCommand(argv=(*argv, *job.flags), files=files)

    def read(self, job: ToolJob, output: ToolOutput) -> ToolResult:
        check_ended(NAME, output)
        text = _text(output)
        run = parse_benchmark_model(text)
        check_flags(run)
        if self._result_file:
            run = with_result_file(run, output.files.get(_RESULT))
        found = result_of(run, job, NAME, self.version)
        if not job.op_profile:
            return found
        slow = "each operator was timed: the latency is higher than without"
        return structs.replace(found, op_profile=parse_op_profile(text), notes=(*found.notes, slow))


def check_flags(run: BenchmarkRun) -> None:
    """Raises InputError E_TOOL_FLAG where the tool says that it passed over a flag."""
    if run.unknown_flags is not None:
        raise InputError(
            f"this build of benchmark_model does not know {run.unknown_flags[:200]}, and went on without",
            code="E_TOOL_FLAG",
            hint="is generation in edgekit.yaml that of this build, and is the build old?",
        )


def result_of(run: BenchmarkRun, job: ToolJob, runtime: str, version: str | None) -> ToolResult:
    """What a run tells, of the program or of the app."""
    actual, fully = what_ran(run, job.accelerator)
    return ToolResult(
        runtime=runtime,
        version=version,
        measures=MEASURES,
        latency=run.inference,
        requested_accelerator=job.accelerator,
        warmup=run.warmup,
        init_us=run.init_us,
        first_inference_us=run.first_inference_us,
        init_footprint_bytes=run.init_footprint_bytes,
        overall_footprint_bytes=run.overall_footprint_bytes,
        peak_rss_bytes=run.peak_rss_bytes,
        threads=run.threads,
        actual_accelerator=actual,
        fully_accelerated=fully,
        notes=("its samples are not kept",),
    )


def with_result_file(run: BenchmarkRun, data: bytes | None) -> BenchmarkRun:
    """The numbers of the result file, which has more digits; what ran, and the warm-up, of the text.

    Raises ParseError where the file is not there, or is of another run.
    """
    if data is None:
        raise ParseError(PROGRAM, "it has written no result file")
    filed = parse_benchmark_result(data)
    text, file = run.inference, filed.inference
    if not same(text.avg_us, file.avg_us, 0.0) or (file.count or text.count) != text.count:
        raise ParseError(
            PROGRAM, f"its result file ({file.avg_us} us) is not of the run in its text ({text.avg_us} us)"
        )
    peak = filed.peak_rss_bytes or run.peak_rss_bytes
    return structs.replace(run, inference=structs.replace(file, count=text.count), peak_rss_bytes=peak)


def what_ran(run: BenchmarkRun, asked: str) -> tuple[str | None, bool | None]:
    """The accelerator that the output proves, and whether the whole graph was there; None is "not proven"."""
    if asked == "cpu":
        others = [one for one in run.delegates if one.name.lower() != "xnnpack" and one.coverage != "none"]
        return (None, None) if others else ("cpu", run.fully_accelerated)
    for delegate in run.delegates:
        if delegate.name.lower() in _DELEGATE_NAMES.get(asked, ()):
            return ("cpu", False) if delegate.coverage == "none" else (asked, delegate.coverage == "complete")
    # LiteRT's tool was told to use this one alone
    return (asked, True) if run.fully_accelerated else (None, run.fully_accelerated)


def _text(output: ToolOutput) -> str:
    """Both streams: what is logged where differs between builds. Raises ParseError where one is cut short."""
    parts = [stream.decode("utf-8", "replace") for stream in (output.stdout, output.stderr)]
    if parts[0] and not parts[0].endswith("\n"):
        raise ParseError(PROGRAM, "it is cut short: the last line has no end")
    return "".join(part if part.endswith("\n") or not part else f"{part}\n" for part in parts)


def _bool(value: bool) -> str:
    return "true" if value else "false"
