"""The tools that users bring: what they are asked, what they say, and what that proves (D1.1).

benchmark-model and trtexec are replayed from captured output here: they were never run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgekit.config import RuntimeEntry
from edgekit.errors import EdgekitError, InputError, RemoteError, VerdictError
from edgekit.parse import ParseError
from edgekit.parse.benchmark_model import parse_benchmark_model
from edgekit.runtimes.accelerator import require_accelerator
from edgekit.runtimes.base import LibcFacts, Runtime, make_bundle
from edgekit.runtimes.benchmark_model import BenchmarkModelRuntime, what_ran
from edgekit.runtimes.executorch_python import ExecutorchPythonRuntime
from edgekit.runtimes.litert import LiteRtRuntime
from edgekit.runtimes.litert_benchmark import LitertBenchmarkRuntime
from edgekit.runtimes.litert_python import LiteRtPythonRuntime
from edgekit.runtimes.named import runtime_named, with_op_profile
from edgekit.runtimes.onnxruntime import OnnxRuntimeRuntime
from edgekit.runtimes.onnxruntime_python import OnnxRuntimePythonRuntime
from edgekit.runtimes.tool import ToolJob, ToolOutput, ToolResult, ToolRuntime
from edgekit.runtimes.trtexec import TrtexecRuntime
from tests.parse.outputs import output
from tests.parse.results import result_file

pytestmark = pytest.mark.base

PAGE = (Path(__file__).parents[2] / "docs" / "runtimes.md").read_text(encoding="utf-8")
TOOLS = ("benchmark-model", "litert-benchmark", "trtexec", "benchmark-app")
BUNDLE = make_bundle("t", "1", [])
JOB = ToolJob(model="/m/model", scratch="/s", threads=2, warmup_iterations=3, iterations=40, min_seconds=1.5)


def job(**changes: Any) -> ToolJob:
    return ToolJob(**{name: getattr(JOB, name) for name in JOB.__struct_fields__} | changes)


def tool_runtime(name: str, entry: RuntimeEntry | None = None) -> ToolRuntime:
    found = runtime_named(name, entry)
    assert isinstance(found, ToolRuntime)
    return found


def required(result: ToolResult) -> None:
    """As a launch asks it where --require-accelerator was given."""
    require_accelerator(
        result.runtime, result.requested_accelerator, result.actual_accelerator, result.fully_accelerated
    )


def ended(stdout: str = "", code: int = 0, stderr: str = "", **files: bytes) -> ToolOutput:
    return ToolOutput(exit_code=code, stdout=stdout.encode(), stderr=stderr.encode(), files=files)


def times_of(text: str) -> str:
    """The summary of 391 queries made into that of the three in trtexec_times (numbers made up to agree)."""
    old = next(line for line in text.splitlines() if "] Latency: " in line)
    new = (
        "[10/03/2024-10:47:59] [I] Latency: min = 7.15384 ms, max = 10.2043 ms, mean = 8.18762 ms, "
        "median = 7.20471 ms, percentile(99%) = 7.20471 ms"
    )
    return text.replace(old, new).replace("has 391 queries", "has 3 queries")


def row_of(runtime: ToolRuntime | Runtime) -> list[str]:
    """Its row of "What measures, and what it tells", which agrees with what it says of itself."""
    (row,) = [
        line
        for line in PAGE.partition("## What measures")[2].splitlines()
        if line.startswith(f"| `{runtime.name}` |")
    ]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[1:3] == [", ".join(runtime.formats), ", ".join(runtime.accelerators)]
    told = [runtime.raw_samples, runtime.op_profile, runtime.outputs]
    assert [cell.startswith("yes") for cell in cells[3:6]] == told
    return cells


@pytest.mark.parametrize(
    "runtime",
    [
        LiteRtRuntime(),
        LiteRtPythonRuntime(),
        OnnxRuntimeRuntime(),
        OnnxRuntimePythonRuntime(),
        ExecutorchPythonRuntime(),
    ],
)
def test_every_runner_is_in_the_table(runtime: Runtime) -> None:
    assert row_of(runtime)[6].startswith("real")


@pytest.mark.parametrize("name", TOOLS)
def test_every_tool_follows_the_protocol_and_says_how_it_was_verified(name: str) -> None:
    runtime = tool_runtime(name)
    assert isinstance(runtime, ToolRuntime)
    assert runtime.name == name
    assert runtime.verified == ("real" if name == "litert-benchmark" else "replayed")
    cells = row_of(runtime)
    assert cells[6].startswith("real" if runtime.verified == "real" else "replayed")
    assert cells[6].endswith("never run") or runtime.verified == "real"


@pytest.mark.parametrize(
    ("asked", "actual", "fully", "words"),
    [
        ("gpu", None, None, "does not prove what ran"),
        ("gpu", "cpu", False, "ran on cpu"),
        ("gpu", "gpu", None, "does not prove that all"),
        ("gpu", "gpu", False, "only a part"),
        ("cpu", "gpu", True, "ran on gpu"),
        ("cpu", None, True, "does not prove what ran"),
    ],
)
def test_a_required_accelerator_must_be_proven(
    asked: str, actual: str | None, fully: bool | None, words: str
) -> None:
    """D1.1: any fallback, and what is not told, for runners and tools alike."""
    with pytest.raises(VerdictError, match=words) as caught:
        require_accelerator("it", asked, actual, fully)
    assert (caught.value.code, caught.value.exit_code) == ("E_ACCELERATOR", 4)
    assert "--require-accelerator" in (caught.value.hint or "")


@pytest.mark.parametrize(("ran", "fully"), [("gpu", True), ("cpu", True), ("cpu", None), ("cpu", False)])
def test_a_required_accelerator_that_ran_it_all_is_no_error(ran: str, fully: bool | None) -> None:
    require_accelerator("it", ran, ran, fully)  # what XNNPACK does not take is the CPU's all the same


@pytest.mark.parametrize("name", TOOLS)
def test_no_tool_takes_an_unknown_flag_accelerator_or_half_a_flag(name: str) -> None:
    runtime = tool_runtime(name)
    for changes, code in (
        ({"accelerator": "tpu"}, "E_TOOL_OPTION"),
        ({"flags": ("--fast",)}, "E_TOOL_FLAG"),
        ({"flags": ("--num_runs=1",)}, "E_TOOL_FLAG"),
        ({"flags": ("--iterations=1",)}, "E_TOOL_FLAG"),
        ({"flags": ("--signature",)}, "E_TOOL_FLAG"),
        ({"flags": ("--fp16=1",)}, "E_TOOL_FLAG"),
        ({"flags": ("; reboot",)}, "E_TOOL_FLAG"),
    ):
        wrong = job(**{"accelerator": runtime.accelerators[0]} | changes)
        with pytest.raises(InputError) as caught:
            runtime.command(BUNDLE, "/b", wrong)
        assert caught.value.code == code


@pytest.mark.parametrize("name", TOOLS)
@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (139, "E_RUNNER_CRASH"),
        (137, "E_RUNNER_KILLED"),
        (192, "E_RUNNER_CRASH"),
        (127, "E_TOOL_MISSING"),
        (1, "E_TOOL_FAILED"),
        (128, "E_TOOL_FAILED"),
        (193, "E_TOOL_FAILED"),
        (255, "E_TOOL_FAILED"),  # exit(-1)
    ],
)
def test_a_tool_that_did_not_end_well_gives_no_number(name: str, code: int, expected: str) -> None:
    """D1-b3: not even where it had printed a whole result before."""
    runtime = tool_runtime(name)
    good = {
        "benchmark-model": "benchmark_model_2024",
        "litert-benchmark": "litert_benchmark",
        "benchmark-app": "benchmark_logcat",
        "trtexec": "trtexec_10",
    }
    with pytest.raises(RemoteError) as caught:
        runtime.read(
            job(accelerator=runtime.accelerators[0]), ended(output(good[name]), code, "line\nlast words\n")
        )
    assert caught.value.code == expected
    assert "last words" in caught.value.message
    assert caught.value.status == code


@pytest.mark.parametrize("name", TOOLS)
@pytest.mark.parametrize("stdout", ["", "hello\n", "\0\n", "Segmentation fault\n"])
def test_a_tool_that_prints_garbage_gives_no_number(name: str, stdout: str) -> None:
    runtime = tool_runtime(name)
    with pytest.raises(ParseError):
        runtime.read(job(accelerator=runtime.accelerators[0]), ended(stdout))


def test_litert_benchmark_command() -> None:
    command = LitertBenchmarkRuntime().command(BUNDLE, "/b", job(flags=("--signature=x",)))
    assert command.argv == (
        "litert-benchmark",
        "--model=/m/model",
        "--num_runs=40",
        "--warmup_runs=3",
        "--num_threads=2",
        "--result_json=/s/result.json",
        "--signature=x",
    )
    assert command.files == {"result_json": "/s/result.json"}
    npu = LitertBenchmarkRuntime().command(BUNDLE, "/b", job(accelerator="npu"))
    assert npu.argv[-2:] == ("--use_npu", "--no_cpu")


def test_litert_benchmark_result_has_a_summary_and_no_samples() -> None:
    files = {"result_json": output("litert_benchmark_json").encode()}
    result = LitertBenchmarkRuntime().read(JOB, ended(output("litert_benchmark"), **files))
    assert (result.samples_us, result.latency.count, result.latency.median_us) == (None, 50, 440.0)
    assert (result.actual_accelerator, result.fully_accelerated, result.threads) == ("cpu", True, 1)
    assert any("shortest time" in note for note in result.notes)


@pytest.mark.parametrize(
    ("accelerators", "fully", "actual"),
    [
        ('"GPU"', "true", "gpu"),
        ('"GPU"', "false", None),
        ('"GPU", "CPU"', "true", None),
        ('"CPU"', "true", None),
    ],
)
def test_litert_benchmark_with_the_cpu_to_fall_back_to_proves_nothing(
    accelerators: str, fully: str, actual: str | None
) -> None:
    json = output("litert_benchmark_json").replace('[\n    "CPU"\n  ]', f"[{accelerators}]")
    json = json.replace('"fully_accelerated": true', f'"fully_accelerated": {fully}')
    text = output("litert_benchmark").replace("True", fully.title())
    done = ended(text, result_json=json.encode())
    assert LitertBenchmarkRuntime().read(job(accelerator="gpu"), done).actual_accelerator == actual
    result = LitertBenchmarkRuntime().read(job(accelerator="gpu"), done)
    if actual is None:
        with pytest.raises(VerdictError):
            required(result)
    else:
        required(result)


def test_benchmark_model_commands_of_both_generations() -> None:
    tflite = BenchmarkModelRuntime().command(
        BUNDLE,
        "/b",
        job(accelerator="gpu", op_profile=True, flags=("--gpu_backend=cl",)),
    )
    assert tflite.argv == (
        "/b/benchmark_model",
        "--graph=/m/model",
        "--num_threads=2",
        "--num_runs=40",
        "--min_secs=1.5",
        "--max_secs=600",
        "--warmup_runs=3",
        "--use_gpu=true",
        "--enable_op_profiling=true",
        "--gpu_backend=cl",
    )
    litert = BenchmarkModelRuntime(generation="litert").command(BUNDLE, "/b", job(op_profile=True))
    assert litert.argv[-4:] == ("--use_cpu=true", "--use_gpu=false", "--use_npu=false", "--use_profiler=true")


@pytest.mark.parametrize(
    ("name", "asked", "actual", "fully"),
    [
        ("benchmark_model_2024", "cpu", "cpu", None),
        ("benchmark_model_percentiles", "gpu", "gpu", True),
        ("benchmark_model_percentiles", "cpu", None, None),  # not what was asked for
        ("benchmark_model_2024", "gpu", None, None),  # nothing says that a delegate was applied
        ("benchmark_model_nnapi", "nnapi", "nnapi", True),
        ("benchmark_model_nnapi", "gpu", None, None),
        ("benchmark_model_litert", "cpu", "cpu", None),
    ],
)
def test_benchmark_model_what_ran(name: str, asked: str, actual: str | None, fully: bool | None) -> None:
    assert what_ran(parse_benchmark_model(output(name)), asked) == (actual, fully)


def test_benchmark_model_that_fell_back_fails_where_the_accelerator_is_required() -> None:
    text = output("benchmark_model_percentiles")
    completely = (
        "Explicitly applied GPU delegate, and the model graph will be completely executed by the delegate."
    )
    partly = "Explicitly applied GPU delegate, and the model graph will be partially executed by the delegate w/ 2 delegate kernels."
    none = "Though GPU delegate is explicitly applied, the model graph will not be executed by the delegate."
    gpu = job(accelerator="gpu")
    required(BenchmarkModelRuntime().read(gpu, ended(text)))
    for instead, words in ((partly, "only a part"), (none, "ran on cpu"), ("", "does not prove")):
        result = BenchmarkModelRuntime().read(gpu, ended(text.replace(completely, instead)))
        with pytest.raises(VerdictError, match=words):
            required(result)


def test_benchmark_model_that_passed_over_a_flag_gives_no_number() -> None:
    text = output("benchmark_model_2024") + "WARN: Unconsumed cmdline flags: --use_gpu=true\n"
    with pytest.raises(InputError) as caught:
        BenchmarkModelRuntime().read(JOB, ended(text))
    assert caught.value.code == "E_TOOL_FLAG"


def test_benchmark_model_logs_to_either_stream() -> None:
    text = output("benchmark_model_2024")
    on_stdout = BenchmarkModelRuntime().read(JOB, ended(text, stderr="VERBOSE: something"))
    assert on_stdout == BenchmarkModelRuntime().read(JOB, ended("", stderr=text))
    with pytest.raises(ParseError, match="cut short"):
        BenchmarkModelRuntime().read(JOB, ended(text[:-1]))


def test_benchmark_model_with_its_operators() -> None:
    text = output("benchmark_model_litert") + output("op_profile_litert")
    result = BenchmarkModelRuntime(generation="litert").read(job(op_profile=True), ended(text))
    assert result.op_profile is not None
    assert len(result.op_profile.rows) == 5
    assert any("higher than without" in note for note in result.notes)
    with pytest.raises(ParseError):  # asked for and not there
        BenchmarkModelRuntime().read(job(op_profile=True), ended(output("benchmark_model_2024")))


def test_benchmark_model_takes_the_numbers_of_its_result_file_where_it_writes_one() -> None:
    runtime = BenchmarkModelRuntime(result_file=True)
    command = runtime.command(BUNDLE, "/b", JOB)
    assert (command.argv[-1], command.files) == (
        "--result_file_path=/s/result.pb",
        {"result": "/s/result.pb"},
    )
    text = output("benchmark_model_2024")
    result = runtime.read(JOB, ended(text, result=result_file()))
    assert (result.latency.count, result.latency.median_us, result.latency.p95_us) == (74, 13480.0, 14900.0)
    assert result.actual_accelerator == "cpu"
    for said, file in (
        (text, None),
        (text, result_file()[:-1]),
        (text.replace("13520.2", "13521.2"), result_file()),
        (text.replace("count=74", "count=75"), result_file()),
    ):
        with pytest.raises(ParseError):
            runtime.read(JOB, ended(said, **({} if file is None else {"result": file})))


def test_trtexec_builds_once_and_loads_then() -> None:
    wish = job(accelerator="dla", op_profile=True, flags=("--fp16", "--useSpinWait", "--allowGPUFallback"))
    command = TrtexecRuntime("/usr/src/tensorrt/bin/trtexec").command(BUNDLE, "/b", wish)
    assert command.prepare is not None
    assert command.prepare[:3] == (
        "/usr/src/tensorrt/bin/trtexec",
        "--onnx=/m/model",
        "--saveEngine=/s/model.engine",
    )
    assert {"--useDLACore=0", "--fp16", "--allowGPUFallback"} <= set(command.prepare)
    assert "--useSpinWait" not in command.prepare
    assert "--fp16" not in command.argv
    assert {
        "--loadEngine=/s/model.engine",
        "--useDLACore=0",
        "--useSpinWait",
        "--allowGPUFallback",
        "--duration=2",
        "--exportTimes=/s/times.json",
        "--separateProfileRun",
    } <= set(command.argv)
    assert command.files == {"times": "/s/times.json", "profile": "/s/profile.json"}


def test_trtexec_gives_every_sample() -> None:
    text = times_of(output("trtexec_10"))
    done = ended(text, times=output("trtexec_times").encode(), profile=output("trtexec_profile").encode())
    result = TrtexecRuntime().read(job(accelerator="dla", op_profile=True), done)
    required(result)
    assert result.samples_us == (7153.84, 10204.3, 7204.71)
    assert (result.version, result.actual_accelerator, result.latency.median_us) == ("10.9.0", "dla", 7204.71)
    assert result.op_profile is not None
    assert len(result.op_profile.rows) == 3


def test_trtexec_on_the_gpu_is_not_the_dla_that_was_required() -> None:
    text = times_of(output("trtexec_10"))
    times = output("trtexec_times").encode()
    for old, new, words in (
        ("DLACore: 0", "DLACore: ", "ran on gpu"),
        ("DLA: Disabled", "DLA: Enabled", "does not prove"),
    ):
        result = TrtexecRuntime().read(job(accelerator="dla"), ended(text.replace(old, new), times=times))
        with pytest.raises(VerdictError, match=words):
            required(result)


def test_trtexec_times_of_another_run_are_refused() -> None:
    text, times = times_of(output("trtexec_10")), output("trtexec_times")
    gpu = job(accelerator="gpu")
    with pytest.raises(ParseError, match="not those of its summary"):
        TrtexecRuntime().read(gpu, ended(text, times=times.replace("10.2043", "11.2043").encode()))
    with pytest.raises(ParseError, match="no times"):
        TrtexecRuntime().read(gpu, ended(text))
    with pytest.raises(ParseError, match="3 queries"):
        TrtexecRuntime().read(gpu, ended(output("trtexec_10"), times=times.encode()))


def test_trtexec_that_timed_nothing_gives_no_number() -> None:
    text = output("trtexec_10").replace("has 391 queries", "has 0 queries")
    text = text.replace("Warmup completed 3 queries", "Warmup completed 1 queries")
    with pytest.raises(ParseError, match="no queries were timed"):
        TrtexecRuntime().read(job(accelerator="gpu"), ended(text, times=b'[{"latencyMs": 1}]'))


def test_tools_are_made_from_what_the_settings_say() -> None:
    assert (
        tool_runtime("trtexec", RuntimeEntry(program="/opt/trtexec"))
        .command(BUNDLE, "/b", job(accelerator="gpu"))
        .argv[0]
        == "/opt/trtexec"
    )
    for name, entry, code in (
        ("benchmark", RuntimeEntry(), "E_NO_PLUGIN"),
        ("trtexec", RuntimeEntry(binary="x"), "E_TOOL_OPTION"),
        ("benchmark-model", RuntimeEntry(program="x"), "E_TOOL_OPTION"),
        ("litert", RuntimeEntry(program="x"), "E_TOOL_OPTION"),
    ):
        with pytest.raises(EdgekitError) as caught:
            tool_runtime(name, entry)
        assert caught.value.code == code
    with pytest.raises(InputError) as missing:
        tool_runtime("benchmark-model").bundle("arm64-v8a", LibcFacts())
    assert missing.value.code == "E_TOOL_BINARY"


def test_which_runtimes_time_operators_is_told() -> None:
    """D1.8: what an error names where the chosen one cannot."""
    assert {"benchmark-model", "trtexec"} <= set(with_op_profile())
    assert "litert-benchmark" not in with_op_profile()
