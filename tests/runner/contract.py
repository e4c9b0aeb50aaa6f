"""What every runner promises (docs/runner.md). One class, run for each of them: demands A5, A-b3."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from edgekit.errors import InputError, ModelError, RemoteError
from edgekit.runtimes.base import RunnerJob, profiled
from edgekit.runtimes.result import check_launch
from tests.runner.launching import Launcher
from tests.runner.models import CUSTOM_OP, REAL, model_path
from tests.timed import timed

SPLITMIX64_OF_1234567 = (
    6457827717110365317,
    3203168211198807973,
    9817491932198370423,
    4593380528125082431,
    16408922859458223821,
)
"""The published first numbers of splitmix64 from the seed 1234567."""


class RunnerContract:
    """Subclasses give the fixtures `launcher` and `real_model`."""

    load_steps: tuple[str, ...] = ("dlopen_us", "model_us", "compile_us")
    """The parts of loading that this runner can tell apart."""

    @pytest.fixture
    def job(self, launcher: Launcher, tmp_path: Path) -> RunnerJob:
        model = launcher.kit.tiny.reordered(tmp_path / "tiny")
        return RunnerJob(
            model=str(model), samples=str(tmp_path / "samples"), outputs=str(tmp_path / "outputs")
        )

    @pytest.fixture
    def small(self, launcher: Launcher, tmp_path: Path) -> RunnerJob:
        model = launcher.kit.small(tmp_path)
        return RunnerJob(model=str(model), samples=str(tmp_path / "samples"), iterations=5)

    # outputs

    def test_outputs_of_real_models_are_those_of_the_python_package(
        self, launcher: Launcher, tmp_path: Path, real_model: Path
    ) -> None:
        model = real_model
        inputs = launcher.kit.random_inputs(model, 2)
        (tmp_path / "in").write_bytes(inputs)
        outputs = tmp_path / "out"
        job = RunnerJob(
            model=str(model), samples=str(tmp_path / "s"), inputs=str(tmp_path / "in"), outputs=str(outputs)
        )
        result = launcher.run(job)
        assert outputs.read_bytes() == launcher.kit.outputs(model, inputs)
        assert sum(tensor.bytes for tensor in result.inputs) * 2 == len(inputs)
        assert result.actual_accelerator == "cpu"

    def test_outputs_do_not_depend_on_the_number_of_iterations(
        self, launcher: Launcher, small: RunnerJob
    ) -> None:
        outputs = Path(small.samples).parent / "outputs"
        launcher.run(replace(small, outputs=str(outputs), iterations=1, warmup_iterations=0))
        first = outputs.read_bytes()
        launcher.run(replace(small, outputs=str(outputs), iterations=20, warmup_iterations=3))
        assert outputs.read_bytes() == first

    @pytest.mark.parametrize(
        "dtype", ["float32", "int8", "uint8", "int16", "int32", "int64", "bool", "float16"]
    )
    def test_every_dtype_passes_through(self, launcher: Launcher, tmp_path: Path, dtype: str) -> None:
        model = launcher.kit.tiny.copy_of(tmp_path / "copy", dtype)
        inputs = launcher.kit.random_inputs(model, 3)
        (tmp_path / "in").write_bytes(inputs)
        job = RunnerJob(
            model=str(model),
            samples=str(tmp_path / "s"),
            inputs=str(tmp_path / "in"),
            outputs=str(tmp_path / "out"),
        )
        result = launcher.run(job)
        assert (tmp_path / "out").read_bytes() == inputs
        assert (result.inputs[0].dtype, result.inputs[0].shape) == (dtype, (2, 3))
        assert (result.outputs[0].dtype, result.outputs[0].shape) == (dtype, (6,))

    def test_open_dimensions_become_one(self, launcher: Launcher, tmp_path: Path) -> None:
        model = launcher.kit.tiny.open_batch(tmp_path / "open")
        (tmp_path / "in").write_bytes(np.arange(8, dtype="<f4").tobytes())
        job = RunnerJob(
            model=str(model),
            samples=str(tmp_path / "s"),
            inputs=str(tmp_path / "in"),
            outputs=str(tmp_path / "out"),
        )
        result = launcher.run(job)
        assert result.inputs[0].shape == (1, 4)
        assert result.outputs[0].shape == (1, 4)
        assert np.fromfile(tmp_path / "out", "<f4").tolist() == [0, 2, 4, 6, 8, 10, 12, 14]

    def test_files_follow_the_graph_not_the_signature(self, launcher: Launcher, job: RunnerJob) -> None:
        inputs = Path(job.samples).parent / "in"
        inputs.write_bytes(np.arange(7, dtype="<f4").tobytes())
        result = launcher.run(replace(job, inputs=str(inputs)))
        named = [tensor.name for tensor in (*result.inputs, *result.outputs)]
        unnamed = ["input_0", "input_1", "output_0", "output_1"]
        assert named == (["a", "b", "twice", "square"] if launcher.kit.names else unnamed)
        assert np.fromfile(str(job.outputs), "<f4").tolist() == [0, 2, 4, 9, 16, 25, 36]

    # random inputs

    def test_random_inputs_follow_the_seed(self, launcher: Launcher, tmp_path: Path) -> None:
        model = launcher.kit.tiny.copy_of(tmp_path / "copy", "float32")
        seen = []
        for seed in (1, 1, 2, 2**64 - 1):
            outputs = tmp_path / "out"
            launcher.run(
                RunnerJob(model=str(model), samples=str(tmp_path / "s"), outputs=str(outputs), seed=seed)
            )
            seen.append(outputs.read_bytes())
        assert seen[0] == seen[1]
        assert len(set(seen)) == 3
        values = np.frombuffer(b"".join(seen), "<f4")
        assert ((values >= 0) & (values < 1)).all()
        assert len(set(values.tolist())) > 12

    @pytest.mark.parametrize(("dtype", "bits"), [("int8", 8), ("uint16", 16), ("int32", 1), ("int64", 1)])
    def test_random_integers_are_the_same_for_all_runners(
        self, launcher: Launcher, tmp_path: Path, dtype: str, bits: int
    ) -> None:
        """The high bits of splitmix64; wide integers are 0 or 1, because they are mostly indices."""
        model = launcher.kit.tiny.copy_of(tmp_path / "copy", dtype)
        outputs = tmp_path / "out"
        job = RunnerJob(model=str(model), samples=str(tmp_path / "s"), outputs=str(outputs), seed=1234567)
        launcher.run(job)
        expected = np.array([number >> (64 - bits) for number in SPLITMIX64_OF_1234567], "u8")
        assert np.fromfile(outputs, dtype)[:5].tolist() == expected.astype(dtype).tolist()

    @pytest.mark.parametrize(("dtype", "digits"), [("float16", 11), ("float32", 24)])
    def test_random_floats_are_the_same_for_all_runners(
        self, launcher: Launcher, tmp_path: Path, dtype: str, digits: int
    ) -> None:
        model = launcher.kit.tiny.copy_of(tmp_path / "copy", dtype)
        outputs = tmp_path / "out"
        job = RunnerJob(model=str(model), samples=str(tmp_path / "s"), outputs=str(outputs), seed=1234567)
        launcher.run(job)
        expected = [(number >> (64 - digits)) / 2**digits for number in SPLITMIX64_OF_1234567]
        assert np.fromfile(outputs, dtype)[:5].tolist() == expected

    # how long it runs

    def test_one_sample_per_iteration(self, launcher: Launcher, job: RunnerJob) -> None:
        result = launcher.run(replace(job, iterations=500, warmup_iterations=7))
        samples = np.fromfile(job.samples, "<f8")
        assert len(samples) == result.iterations == 500
        assert result.warmup_iterations == 7
        assert (samples > 0).all()
        assert samples.sum() <= result.wall_us

    def test_runs_at_least_the_seconds_asked_for(self, launcher: Launcher, job: RunnerJob) -> None:
        result = launcher.run(replace(job, iterations=1, min_seconds=0.4))
        assert result.wall_us >= 0.4e6
        assert result.iterations == len(np.fromfile(job.samples, "<f8")) > 1000

    def test_never_runs_past_the_seconds_allowed(self, launcher: Launcher, job: RunnerJob) -> None:
        """Also the warm-up stops, and leaves half of the time for what is asked for."""
        endless = replace(job, warmup_iterations=10**8, iterations=10**7, max_seconds=2)
        begin = time.monotonic()
        result = launcher.run(endless)
        assert 0.8e6 < result.wall_us < 5e6
        assert result.warmup_iterations < 10**8
        assert result.iterations == len(np.fromfile(job.samples, "<f8")) < 10**7
        assert time.monotonic() - begin < 30

    def test_one_iteration_at_least(self, launcher: Launcher, job: RunnerJob) -> None:
        assert launcher.run(replace(job, iterations=50, max_seconds=0)).iterations == 1

    # what it says

    @timed
    def test_the_measurement_itself_costs_less_than_a_microsecond(
        self, launcher: Launcher, job: RunnerJob
    ) -> None:
        """A-b3: `--empty-body` times the loop with nothing in it."""
        result = launcher.run(replace(job, empty_body=True, iterations=200_000))
        samples = np.fromfile(job.samples, "<f8")
        assert len(samples) == 200_000
        assert np.median(samples) <= 1.0
        assert result.first_inference_us is None
        assert result.load.model_us is None
        assert result.inputs == result.outputs == ()

    def test_answer(self, launcher: Launcher, small: RunnerJob) -> None:
        result = launcher.run(replace(small, threads=2))
        assert result.runtime.name == launcher.runtime.name
        assert result.runtime.version == launcher.kit.version
        assert result.threads == 2
        assert result.first_inference_us is not None
        assert result.first_inference_us > 0
        assert result.cpu_us > 0
        assert result.clock_resolution_ns is not None
        assert 0 < result.clock_resolution_ns <= 1000
        loading = [getattr(result.load, step) for step in self.load_steps]
        assert all(value is not None and value > 0 for value in loading)

    def test_memory(self, launcher: Launcher, small: RunnerJob) -> None:
        memory = launcher.run(small).memory
        values = [
            memory.rss_start_bytes,
            memory.rss_runtime_bytes,
            memory.rss_loaded_bytes,
            memory.peak_rss_bytes,
        ]
        steps = [value for value in values if value is not None]
        assert len(steps) == 4
        assert steps == sorted(steps)
        assert memory.model_delta_bytes is not None
        assert (
            200_000 < memory.model_delta_bytes < 40_000_000
        )  # a model of some hundred kB with a 128 x 128 input
        assert memory.pss_bytes is not None
        assert 0 < memory.pss_bytes <= steps[-1]

    def test_memory_and_page_faults_by_phase(self, launcher: Launcher, small: RunnerJob) -> None:
        """D1.7: at the start, with the model ready, after the first inference, at the end."""
        result = launcher.run(replace(small, warmup_iterations=20, iterations=20))
        memory, faults = result.memory, result.faults
        pss = [memory.pss_start_bytes, memory.pss_loaded_bytes, memory.pss_first_bytes]
        assert all(value is not None and value > 0 for value in pss)
        assert memory.rss_first_bytes is not None
        assert memory.rss_loaded_bytes is not None
        assert memory.rss_first_bytes >= memory.rss_loaded_bytes * 0.9
        assert faults.load is not None
        assert faults.first is not None
        assert faults.load.minor > 100, "a library and a model come in"
        assert faults.steady.minor < faults.load.minor

    def test_without_a_model_there_are_no_phases(self, launcher: Launcher, job: RunnerJob) -> None:
        result = launcher.run(replace(job, empty_body=True))
        assert result.faults.load is None
        assert result.faults.first is None
        assert result.memory.rss_first_bytes is None

    # several at once

    @timed
    def test_streams_begin_together(self, launcher: Launcher, small: RunnerJob, tmp_path: Path) -> None:
        """D1.3: one that is ready waits for the other, which comes a second later."""
        jobs = [
            replace(small, samples=f"{small.samples}{index}", barrier=str(tmp_path / "barrier"), streams=2)
            for index in range(2)
        ]
        children = []
        for job in jobs:
            argv, environment = launcher.command(job)
            children.append(subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE))
            time.sleep(1.0)
        results = [launcher.runtime.parse(child.communicate(timeout=60)[0]) for child in children]
        begins = [result.begin_boottime_ns for result in results if result.begin_boottime_ns is not None]
        assert len(begins) == 2
        assert abs(begins[0] - begins[1]) < 0.5e9
        assert (tmp_path / "barrier").stat().st_size == 2

    def test_a_stream_does_not_wait_for_ever(
        self, launcher: Launcher, job: RunnerJob, tmp_path: Path
    ) -> None:
        alone = replace(job, barrier=str(tmp_path / "barrier"), streams=3, max_seconds=0.2)
        answer = launcher.refuse(alone)
        assert answer["code"] == "E_RUNNER_STREAMS"
        assert "only 1 of 3" in answer["message"]

    def test_a_barrier_that_cannot_be_written(self, launcher: Launcher, job: RunnerJob) -> None:
        answer = launcher.refuse(replace(job, barrier="/nonexistent/barrier", streams=2))
        assert answer["code"] == "E_RUNNER_FILE"

    def test_nothing_else_on_stdout(self, launcher: Launcher, small: RunnerJob) -> None:
        outcome = launcher.start(*launcher.command(small))
        assert outcome.stdout.count(b"\n") == 1
        assert outcome.stdout.endswith(b"}\n")

    @pytest.mark.parametrize(
        "name", ['quote " backslash \\ tab \t', "größe/入力:0", "bell \x07 \x1f", "%s%n{}"]
    )
    def test_names_are_escaped(self, launcher: Launcher, tmp_path: Path, name: str) -> None:
        model = launcher.kit.tiny.copy_of(tmp_path / "copy", "float32", name=name)
        assert launcher.run(RunnerJob(model=str(model), samples=str(tmp_path / "s"))).inputs[0].name == name

    # how long each operator takes (D1.8)

    def test_operator_profile(self, launcher: Launcher, job: RunnerJob, small: RunnerJob) -> None:
        """A table of the model's operators, whose times fit into the launch; or a refusal on both sides."""
        path = Path(job.samples).parent / "ops"
        if not launcher.runtime.op_profile:
            answer = launcher.refuse(profiled(job, str(path)))
            assert answer["code"] == "E_RUNNER_USAGE"
            with pytest.raises(InputError) as caught:
                launcher.runtime.read_op_profile(b"{}")
            assert caught.value.code == "E_TOOL_OPTION"
            return
        launcher.run(profiled(job, str(path)))
        tiny = launcher.runtime.read_op_profile(path.read_bytes())
        assert {row.op for row in tiny.rows} == launcher.kit.profiled
        begin = time.monotonic()
        result = launcher.run(profiled(small, str(path)))
        wall_us = (time.monotonic() - begin) * 1e6
        table = launcher.runtime.read_op_profile(path.read_bytes())
        assert table.runs is not None
        assert table.runs >= result.iterations == len(np.fromfile(small.samples, "<f8")) == 30
        assert 0 < sum(row.avg_us or 0 for row in table.rows) * table.runs < wall_us
        assert sum(row.share or 0 for row in table.rows) == pytest.approx(1)
        assert {row.unit for row in table.rows} <= {"cpu", None}
        left = {entry.name for entry in path.parent.iterdir() if entry.name.startswith("ops")}
        assert left == {"ops"}

    def test_operator_profile_that_cannot_be_had(self, launcher: Launcher, job: RunnerJob) -> None:
        expected = "E_RUNNER_FILE" if launcher.runtime.op_profile else "E_RUNNER_USAGE"
        assert launcher.refuse(profiled(job, "/nonexistent/ops"))["code"] == expected
        argv, environment = launcher.command(replace(job, empty_body=True, op_profile="ops"))
        assert launcher.refused(argv, environment)["code"] == "E_RUNNER_USAGE"

    # which processors

    def test_runs_on_the_processor_asked_for(self, launcher: Launcher, job: RunnerJob) -> None:
        argv, environment = launcher.command(replace(job, cpus="0", min_seconds=20, max_seconds=30))
        child = subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        try:
            await_file(Path(str(job.outputs)))
            status = Path(f"/proc/{child.pid}/status").read_text()
            assert "Cpus_allowed_list:\t0\n" in status
        finally:
            child.kill()
            child.communicate(timeout=30)

    @pytest.mark.parametrize(
        "cpus", ["", "x", "1-", "-1", "3-1", "0,,1", "0-", "1 ", "4095", "99999999999999999999"]
    )
    def test_refuses_processors_that_are_not_there(
        self, launcher: Launcher, job: RunnerJob, cpus: str
    ) -> None:
        argv, environment = launcher.command(replace(job, cpus=cpus))
        assert launcher.refused(argv, environment)["code"] == "E_RUNNER_CPUS"

    # refusals

    def test_no_such_model(self, launcher: Launcher, job: RunnerJob) -> None:
        answer = launcher.refuse(replace(job, model=job.model + ".not"))
        assert answer["code"] == "E_MODEL_MISSING"
        assert "No such file" in answer["message"]

    @pytest.mark.parametrize(
        "content", [b"", b"TFL3", b"\x1c\0\0\0ONNX" + bytes(1000), b"PK\x03\x04" + bytes(100)]
    )
    def test_not_a_model(self, launcher: Launcher, job: RunnerJob, content: bytes) -> None:
        Path(job.model).write_bytes(content)
        assert launcher.refuse(job)["code"] == "E_MODEL_FORMAT"

    @pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.9, 0.999])
    def test_a_model_that_was_cut_off(self, launcher: Launcher, job: RunnerJob, share: float) -> None:
        whole = launcher.kit.small(Path(job.samples).parent).read_bytes()
        Path(job.model).write_bytes(whole[: int(len(whole) * share)])
        assert launcher.refuse(job)["code"] in ("E_MODEL_TRUNCATED", "E_MODEL_LOAD")

    def test_operators_that_the_runtime_lacks(
        self, launcher: Launcher, job: RunnerJob, tmp_path: Path
    ) -> None:
        answer = launcher.refuse(replace(job, model=str(launcher.kit.tiny.custom(tmp_path / "custom"))))
        assert answer["code"] == "E_MODEL_COMPILE"
        assert "HouseMade" in answer["message"]

    def test_types_that_are_no_numbers(self, launcher: Launcher, job: RunnerJob, tmp_path: Path) -> None:
        text = launcher.kit.tiny.copy_of(tmp_path / "text", "string")
        assert launcher.refuse(replace(job, model=str(text)))["code"] == "E_MODEL_UNSUPPORTED"

    @pytest.mark.parametrize("size", [0, 1, 27, 29, 57])
    def test_inputs_of_a_wrong_size(
        self, launcher: Launcher, job: RunnerJob, tmp_path: Path, size: int
    ) -> None:
        (tmp_path / "in").write_bytes(bytes(size))
        answer = launcher.refuse(replace(job, inputs=str(tmp_path / "in")))
        assert answer["code"] == "E_RUNNER_INPUTS"
        assert f"{size} bytes" in answer["message"]
        assert "28 bytes" in answer["message"]

    def test_inputs_that_are_not_there(self, launcher: Launcher, job: RunnerJob) -> None:
        assert launcher.refuse(replace(job, inputs="/nonexistent/in"))["code"] == "E_RUNNER_INPUTS"

    @pytest.mark.parametrize("field", ["samples", "outputs"])
    @pytest.mark.parametrize("place", ["/nonexistent/file", "/dev/full"])
    def test_files_that_cannot_be_written(
        self, launcher: Launcher, job: RunnerJob, field: str, place: str
    ) -> None:
        job = replace(job, samples=place) if field == "samples" else replace(job, outputs=place)
        answer = launcher.refuse(replace(job, iterations=2000))
        assert answer["code"] == "E_RUNNER_FILE"

    @pytest.mark.parametrize(
        "options",
        [
            ["--iterations", "0"],
            ["--iterations", "ten"],
            ["--iterations"],
            ["--threads", "0"],
            ["--threads", "-1"],
            ["--threads", "1e3"],
            ["--warmup-iterations", "-1"],
            ["--min-seconds", "nan"],
            ["--min-seconds", "5", "--max-seconds", "4"],
            ["--max-seconds", "inf"],
            ["--seed", "-1"],
            ["--streams", "0"],
            ["--streams", "65"],
            ["--seed", str(2**64)],
            ["--unknown", "1"],
            ["stray"],
        ],
    )
    def test_options_that_make_no_sense(self, launcher: Launcher, job: RunnerJob, options: list[str]) -> None:
        argv, environment = launcher.command(job)
        assert launcher.refused([*argv, *options], environment)["code"] == "E_RUNNER_USAGE"

    def test_options_that_are_missing(self, launcher: Launcher, job: RunnerJob) -> None:
        prefix = launcher.prefix()
        assert launcher.refused([*prefix, "--model", job.model])["code"] == "E_RUNNER_USAGE"
        assert launcher.refused([*prefix, "--samples", job.samples])["code"] == "E_RUNNER_USAGE"

    def test_the_host_tells_refusals_apart(self, launcher: Launcher, job: RunnerJob) -> None:
        """A model's fault is an error of the user's input, anything else one of the device."""
        missing = launcher.start(*launcher.command(replace(job, model="/nonexistent")))
        with pytest.raises(ModelError) as model_error:
            check_launch(missing.exit_code, missing.stdout, missing.stderr)
        assert model_error.value.code == "E_MODEL_MISSING"
        unwritable = launcher.start(*launcher.command(replace(job, samples="/nonexistent/s")))
        with pytest.raises(RemoteError) as remote_error:
            check_launch(unwritable.exit_code, unwritable.stdout, unwritable.stderr, argv=["runner"])
        assert (remote_error.value.code, remote_error.value.status) == ("E_RUNNER_FILE", 1)

    @pytest.mark.parametrize(
        ("number", "code"), [(signal.SIGSEGV, "E_RUNNER_CRASH"), (signal.SIGKILL, "E_RUNNER_KILLED")]
    )
    def test_the_host_tells_a_crash_while_running_from_a_refusal(
        self, launcher: Launcher, job: RunnerJob, number: signal.Signals, code: str
    ) -> None:
        argv, environment = launcher.command(replace(job, min_seconds=20, max_seconds=30))
        child = subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        await_file(Path(str(job.outputs)))
        child.send_signal(number)
        stdout, stderr = child.communicate(timeout=30)
        assert child.returncode == -number
        with pytest.raises(RemoteError) as caught:
            check_launch(128 + number, stdout, stderr.decode())
        assert caught.value.code == code
        assert caught.value.status == 128 + number


class TfliteRunnerContract(RunnerContract):
    """What only .tflite models can show."""

    @pytest.fixture(params=sorted(REAL))
    def real_model(self, request: pytest.FixtureRequest) -> Path:
        return model_path(request.param)

    def test_a_real_model_with_operators_that_the_runtime_lacks(
        self, launcher: Launcher, job: RunnerJob
    ) -> None:
        package, name = CUSTOM_OP
        answer = launcher.refuse(replace(job, model=str(model_path(name, package))))
        assert answer["code"] == "E_MODEL_COMPILE"
        assert "unresolved custom op" in answer["message"]


def await_file(path: Path) -> None:
    """The outputs are written when the model is loaded and before timing begins."""
    deadline = time.monotonic() + 60
    while not (path.exists() and path.stat().st_size):
        assert time.monotonic() < deadline, f"{path} was not written"
        time.sleep(0.01)
