"""TensorRT's `trtexec`, where the board has it (a Jetson): its engine is built there once, then each launch loads it.

Never run by edgekit's tests: there is no NVIDIA GPU here. Its captured output is replayed. All timed queries come
back (`--exportTimes`). One latency is the way of the inputs to the device, the computation, and the way of the outputs
back, as for runtimes of a CPU nothing is between the two. Flags: NVIDIA/TensorRT samples/common/sampleOptions.cpp.
"""

from __future__ import annotations

import math
from statistics import median

from edgekit.config import RuntimeEntry
from edgekit.parse import ParseError
from edgekit.parse.benchmark_run import same
from edgekit.parse.trtexec import Trtexec, parse_trtexec
from edgekit.parse.trtexec_json import Query, parse_trtexec_profile, parse_trtexec_times, timed_queries
from edgekit.runtimes.base import Bundle, LibcFacts, make_bundle
from edgekit.runtimes.tool import (
    ToolCommand,
    ToolJob,
    ToolOutput,
    ToolResult,
    Verified,
    check_ended,
    check_job,
    program_of,
)

PROGRAM = "trtexec"
MEASURES = "inputs to the GPU, computation, outputs back (H2D + GPU compute + D2H)"
BUILD_FLAGS = {
    "--fp16": False,
    "--bf16": False,
    "--int8": False,
    "--fp8": False,
    "--best": False,
    "--noTF32": False,
    "--allowGPUFallback": False,
    "--sparsity": True,
    "--builderOptimizationLevel": True,
    "--memPoolSize": True,
    "--calib": True,
}
RUN_FLAGS = {"--useCudaGraph": False, "--useSpinWait": False, "--noDataTransfers": False}
_TIMES, _PROFILE = "times", "profile"
_WARM_UP_MS_PER_ITERATION = 20


class TrtexecRuntime:
    """The GPU, or a DLA; layers that a DLA cannot run go to the GPU only with `--allowGPUFallback`."""

    name: str = "trtexec"
    version: str | None = None
    formats: tuple[str, ...] = ("onnx",)
    accelerators: tuple[str, ...] = ("gpu", "dla")
    raw_samples: bool = True
    op_profile: bool = True
    outputs: bool = False
    verified: Verified = "replayed"

    def __init__(self, program: str = PROGRAM, version: str | None = None) -> None:
        self._program = program
        self.version = version

    @classmethod
    def configured(cls, entry: RuntimeEntry) -> TrtexecRuntime:
        """As edgekit.yaml says. Raises InputError E_TOOL_OPTION for what it has no use for."""
        return cls(program_of(cls.name, entry, PROGRAM), entry.version)

    def bundle(self, abi: str, libc: LibcFacts) -> Bundle:
        """Nothing: TensorRT is the board's."""
        return make_bundle(self.name, self.version or "unknown", [])

    def command(self, bundle: Bundle, bundle_dir: str, job: ToolJob) -> ToolCommand:
        """`prepare` builds the engine, which takes minutes; one query is part of it, as not all versions can do without."""
        check_job(self, job, {**BUILD_FLAGS, **RUN_FLAGS})
        engine = f"{job.scratch}/model.engine"
        core = ["--useDLACore=0"] if job.accelerator == "dla" else []
        build = [flag for flag in job.flags if flag.partition("=")[0] in BUILD_FLAGS]
        run = [flag for flag in job.flags if flag.partition("=")[0] in RUN_FLAGS]
        prepare = [self._program, f"--onnx={job.model}", f"--saveEngine={engine}", *core, *build]
        prepare += ["--warmUp=0", "--duration=0", "--iterations=1"]
        files = {_TIMES: f"{job.scratch}/times.json"}
        fallback = [flag for flag in build if flag == "--allowGPUFallback"]
        argv = [self._program, f"--loadEngine={engine}", *core, *fallback, *run]
        argv += [f"--warmUp={max(200, job.warmup_iterations * _WARM_UP_MS_PER_ITERATION)}"]
        argv += [f"--duration={math.ceil(job.min_seconds)}", f"--iterations={max(1, job.iterations)}"]
        argv += [f"--exportTimes={files[_TIMES]}"]
        if job.op_profile:
            files[_PROFILE] = f"{job.scratch}/profile.json"
            # in a run of its own after the timed one: timing each layer waits for each layer
            argv += [f"--exportProfile={files[_PROFILE]}", "--dumpProfile", "--separateProfileRun"]
        return ToolCommand(argv=tuple(argv), files=files, prepare=tuple(prepare))

    def read(self, job: ToolJob, output: ToolOutput) -> ToolResult:
        check_ended(self.name, output)
        run = parse_trtexec(output.stdout.decode("utf-8", "replace"))
        if _TIMES not in output.files:
            raise ParseError(PROGRAM, "it has written no times")
        queries = timed_queries(parse_trtexec_times(output.files[_TIMES]), run.queries, run.warmups)
        samples_us = checked_samples(queries, run)
        profile = output.files.get(_PROFILE)
        return ToolResult(
            runtime=self.name,
            version=run.version,
            measures=MEASURES,
            latency=run.latency,
            requested_accelerator=job.accelerator,
            samples_us=samples_us,
            actual_accelerator=(actual := what_ran(run)),
            fully_accelerated=None if actual is None else True,
            op_profile=parse_trtexec_profile(profile) if job.op_profile and profile is not None else None,
            notes=("it warms up for a time, not for a number of inferences", *run.warnings),
        )


def checked_samples(queries: tuple[Query, ...], run: Trtexec) -> tuple[float, ...]:
    """The latencies of the timed queries. Raises ParseError where they are not those that the summary is of."""
    samples_us = tuple(query.latency_us for query in queries)
    for said_us, found_us in (
        (run.latency.median_us, median(samples_us)),
        (run.latency.min_us, min(samples_us)),
        (run.latency.max_us, max(samples_us)),
    ):
        if not same(said_us, found_us, run.latency.resolution_us):
            raise ParseError(
                PROGRAM, f"its times are not those of its summary ({found_us:g} and {said_us:g} us)"
            )
    return samples_us


def what_ran(run: Trtexec) -> str | None:
    """An engine runs on the GPU; one for a DLA without fallback on nothing else. With fallback nobody tells."""
    if run.dla_core is None:
        return "gpu"
    return "dla" if run.gpu_fallback is False else None
