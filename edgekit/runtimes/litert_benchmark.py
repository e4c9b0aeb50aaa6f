"""`litert-benchmark`, the Python tool of ai-edge-litert, where the board has it.

Flags and output: ai_edge_litert/tools/benchmark_litert_model.py of version 2.3.0. It runs a number of inferences, not
for a time; its numbers have two digits of a millisecond; it makes its own random inputs and keeps its samples.
"""

from __future__ import annotations

from msgspec import structs

from edgekit.config import RuntimeEntry
from edgekit.parse.benchmark_run import BenchmarkRun
from edgekit.parse.litert_benchmark import parse_litert_benchmark, parse_litert_benchmark_json
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

PROGRAM = "litert-benchmark"
MEASURES = "one run of the compiled model with inputs in place, called from Python"
FLAGS = {
    "--signature": True,
    "--dispatch_library_path": True,
    "--compiler_plugin_path": True,
    "--runtime_path": True,
}
_ROLE = "result_json"


class LitertBenchmarkRuntime:
    """`accelerators` other than the CPU are asked for alone, without the CPU to fall back to: with both, a fully
    accelerated graph would not tell by which."""

    name: str = "litert-benchmark"
    version: str | None = None
    formats: tuple[str, ...] = ("tflite",)
    accelerators: tuple[str, ...] = ("cpu", "gpu", "npu")
    raw_samples: bool = False
    op_profile: bool = False
    outputs: bool = False
    verified: Verified = "real"

    def __init__(self, program: str = PROGRAM, version: str | None = None) -> None:
        self._program = program
        self.version = version

    @classmethod
    def configured(cls, entry: RuntimeEntry) -> LitertBenchmarkRuntime:
        """As edgekit.yaml says. Raises InputError E_TOOL_OPTION for what it has no use for."""
        return cls(program_of(cls.name, entry, PROGRAM), entry.version)

    def bundle(self, abi: str, libc: LibcFacts) -> Bundle:
        """Nothing: the board's own Python has it."""
        return make_bundle(self.name, self.version or "unknown", [])

    def command(self, bundle: Bundle, bundle_dir: str, job: ToolJob) -> ToolCommand:
        check_job(self, job, FLAGS)
        result = f"{job.scratch}/result.json"
        argv = [self._program, f"--model={job.model}", f"--num_runs={max(1, job.iterations)}"]
        argv += [f"--warmup_runs={job.warmup_iterations}", f"--num_threads={job.threads}"]
        argv += [f"--result_json={result}", *job.flags]
        if job.accelerator != "cpu":
            argv += [f"--use_{job.accelerator}", "--no_cpu"]
        return ToolCommand(argv=tuple(argv), env={"PYTHONUNBUFFERED": "1"}, files={_ROLE: result})

    def read(self, job: ToolJob, output: ToolOutput) -> ToolResult:
        check_ended(self.name, output)
        run = parse_litert_benchmark(output.stdout.decode("utf-8", "replace"))
        if (json := output.files.get(_ROLE)) is not None:
            said = parse_litert_benchmark_json(json)
            run = structs.replace(run, requested=said.requested, threads=said.threads)
        notes = ["its numbers have steps of 10 us, and its samples are not kept"]
        if job.min_seconds > 0:
            notes.append("it runs a number of inferences; the shortest time wished for was not looked at")
        return ToolResult(
            runtime=self.name,
            version=self.version,
            measures=MEASURES,
            latency=run.inference,
            requested_accelerator=job.accelerator,
            warmup=run.warmup,
            init_us=run.init_us,
            first_inference_us=run.first_inference_us,
            threads=run.threads,
            actual_accelerator=actual_accelerator(run, job.accelerator),
            fully_accelerated=run.fully_accelerated,
            notes=tuple(notes),
        )


def actual_accelerator(run: BenchmarkRun, asked: str) -> str | None:
    """What the run proves. Where only one accelerator was allowed and took the whole graph, it was that one; a graph
    that was not taken whole ran somewhere else in part, and the tool does not tell where."""
    if run.requested and run.requested != (asked,):
        return None
    return asked if asked == "cpu" or run.fully_accelerated else None
