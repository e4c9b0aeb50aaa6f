"""The launches of one measurement: each a process of its own, every sample kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from msgspec import structs

from edgekit.benchmarking.launch_parts import tool_part, usage_part
from edgekit.benchmarking.memory import launch_memory
from edgekit.benchmarking.plan import BenchPlan, pause_seconds
from edgekit.benchmarking.samples import samples_of
from edgekit.benchmarking.streams import group_launch, stream_series, together
from edgekit.deployment import Release
from edgekit.deployment.golden import Comparison, compare_outputs
from edgekit.deployment.launching import Launched, launch, prepare
from edgekit.deployment.release import GOLDEN_INPUTS, GOLDEN_OUTPUTS
from edgekit.deployment.runtime_there import Installed
from edgekit.deployment.streams_there import launch_streams
from edgekit.devices import Device
from edgekit.devices.files import stat_many
from edgekit.errors import (
    DeviceError,
    DeviceFull,
    DeviceLost,
    EdgekitError,
    HostError,
    ModelError,
    RemoteError,
)
from edgekit.events import LaunchesDone, Sink
from edgekit.parse import ParseError
from edgekit.records import Launch, LoadTimes, Series
from edgekit.runtimes.base import RunnerJob
from edgekit.runtimes.tool import ToolResult

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

BESIDE_FAILED = (ModelError, DeviceError, HostError)
"""What a launch beside those that the latency is of may fail with, a full disk here or there included: a note, as what was
measured before is worth no less. DeviceLost is none of it, though it is a DeviceError."""


@dataclass(frozen=True)
class Launches:
    """All launches, their samples (one array each, microseconds), and whether the outputs were right."""

    launches: tuple[Launch, ...]
    samples: tuple[Floats, ...]
    golden: Comparison
    argv: tuple[str, ...]
    env: dict[str, str]
    own_cpu_us: float | None
    """None where what ran the model was no process of the launches' own."""
    runtime_version: str | None
    """As the runtime itself says; None where it does not."""
    paces: tuple[Floats, ...] = ()
    """With streams: what steadiness is judged on (`streams.Together`), one array each launch."""
    series: tuple[Series, ...] = ()
    """With streams: every latency of each, those included that do not count."""
    measures: str | None = None
    """What one latency covers, as a tool says; None for a runner (docs/runner.md)."""
    notes: tuple[str, ...] = ()
    """What a tool says of its launches."""


def jobs_of(release: Release, plan: BenchPlan, scratch: str, index: int) -> list[RunnerJob]:
    """One for each stream of launch number `index`."""
    job = job_of(release, plan, scratch, index)
    if plan.streams is None:
        return [job]
    return [
        structs.replace(
            job,
            samples=f"{job.samples}.{stream}",
            outputs=f"{job.outputs}.{stream}" if job.outputs is not None else None,
            barrier=f"{scratch}/barrier-{index}",
            streams=plan.streams,
        )
        for stream in range(plan.streams)
    ]


def job_of(release: Release, plan: BenchPlan, scratch: str, index: int) -> RunnerJob:
    """The runner's options for launch number `index`, of one process."""
    has_golden = release.manifest.golden is not None and plan.inputs is None
    return RunnerJob(
        model=f"{release.folder}/{release.manifest.model.file}",
        samples=f"{scratch}/samples-{index}",
        threads=plan.threads,
        warmup_iterations=plan.warmup_iterations,
        iterations=plan.iterations,
        min_seconds=plan.min_seconds,
        max_seconds=plan.max_seconds,
        inputs=f"{release.folder}/{GOLDEN_INPUTS}" if has_golden else plan.inputs,
        outputs=f"{scratch}/outputs-{index}" if has_golden else None,
        seed=plan.seed,
        cpus=",".join(map(str, plan.cpus)) or None,
    )


class LaunchSeries:
    """The launches of one release, one at a time, so that those of another may come between them."""

    first_decides: ClassVar[bool] = True
    """Where the first launch fails, no other is begun."""

    def __init__(
        self, release: Release, plan: BenchPlan, installed: Installed, device: Device, scratch: str
    ) -> None:
        self.release = release
        self.plan = plan
        self.installed = installed
        self.device = device
        self.scratch = scratch
        self._launches: list[Launch] = []
        self._samples: list[Floats] = []
        self._paces: list[Floats] = []
        self._series: list[Series] = []
        self._outputs: list[str] = []
        self._last: Launched | None = None
        self._own_cpu_us: float | None = 0.0
        self._notes: dict[str, None] = {}
        self.errors: list[EdgekitError] = []

    def run_one(self, order: int) -> Launch:
        """Start a process and keep what it gave; `order` is its place among all launches of the measurement.

        A launch that fails is kept as such; where the first one fails nothing else would do better, and its error
        is raised: ModelError, RemoteError, ParseError, DeviceFull. DeviceLost is always raised, and VerdictError E_ACCELERATOR.
        """
        import numpy as np

        index = len(self._launches)
        try:
            part, raw = self._launched(index, order)
        except DeviceLost:
            raise
        except (ModelError, RemoteError, ParseError, DeviceFull) as error:
            if index == 0 and self.first_decides:
                raise
            self.errors.append(error)
            part = Launch(index=index, order=order, ok=False, error=f"{error.code}: {error.message}")
            raw = np.empty(0)
            self._paces.append(raw)
        self._launches.append(part)
        self._samples.append(raw)
        return part

    def _launched(self, index: int, order: int) -> tuple[Launch, Floats]:
        """The launch, and the samples of it that count."""
        jobs = jobs_of(self.release, self.plan, self.scratch, index)
        if index == 0:
            prepare(self.device, self.installed, jobs[0], cwd=self.scratch)
        started_us = self.device.clock_us()
        if self.plan.streams is None:
            ended = [launch(self.device, self.installed, jobs[0], cwd=self.scratch, nice=self.plan.nice)]
        else:
            ended = launch_streams(self.device, self.installed, jobs, cwd=self.scratch, nice=self.plan.nice)
        samples = [samples_of(done, job, self.device) for job, done in zip(jobs, ended, strict=True)]
        parts = [
            launch_part(index, order, self.plan.seed, started_us, done, raw)
            for done, raw in zip(ended, samples, strict=True)
        ]
        part, raw = parts[0], samples[0]
        if self.plan.streams is not None:
            found = together(
                [one.begin_us or 0.0 for one in parts], [one.wall_us or 0.0 for one in parts], samples
            )
            part, raw = group_launch(parts, found), found.latencies
            self._paces.append(found.pace)
            self._series += stream_series(index, samples, found)
        self._count_cpu(ended)
        self._outputs += [job.outputs for job in jobs if job.outputs is not None]
        self._last = ended[0]
        for done in ended:
            if isinstance(done.result, ToolResult):
                self._notes.update(dict.fromkeys(done.result.notes))
        return part, raw

    def _count_cpu(self, ended: Sequence[Launched]) -> None:
        if any(isinstance(done.result, ToolResult) and not done.result.own_process for done in ended):
            self._own_cpu_us = None
        if self._own_cpu_us is not None:
            self._own_cpu_us += sum(done.process.user_us + done.process.system_us for done in ended)

    def finish(self) -> Launches:
        """All of them, after the outputs were checked."""
        last = self._last
        return Launches(
            tuple(self._launches),
            tuple(self._samples),
            self._golden(),
            last.argv if last is not None else (),
            last.env if last is not None else {},
            self._own_cpu_us,
            last.runtime_version if last is not None else None,
            tuple(self._paces) if self.plan.streams is not None else (),
            tuple(self._series),
            last.result.measures if last is not None and isinstance(last.result, ToolResult) else None,
            tuple(self._notes),
        )

    def _golden(self) -> Comparison:
        runtime = self.installed.runtime
        if not runtime.outputs:
            return Comparison("unchecked", f"{runtime.name} makes its own inputs and shows no outputs")
        if self.plan.inputs is not None and self.release.manifest.golden is not None:
            return self._golden_apart()
        return check_outputs(self.release, self.device, self._outputs)

    def _golden_apart(self) -> Comparison:
        """By a launch of its own, as those that were timed had other inputs. Where it fails, what was measured is worth no
        less. Raises DeviceLost."""
        plan = structs.replace(self.plan, inputs=None, iterations=1, warmup_iterations=0, min_seconds=0.0)
        job = job_of(self.release, plan, self.scratch, len(self._launches))
        try:
            launch(self.device, self.installed, job, cwd=self.scratch)
        except DeviceLost:
            raise
        except (ModelError, RemoteError) as error:
            return Comparison(
                "unchecked", f"the launch that gives them failed: {error.code}: {error.message}"
            )
        return check_outputs(self.release, self.device, [job.outputs or ""])


def run_launches(
    release: Release, plan: BenchPlan, installed: Installed, device: Device, scratch: str, sink: Sink
) -> Launches:
    """Start `plan.launches` processes, one after the other. Raises what `LaunchSeries.run_one` raises."""
    series = LaunchSeries(release, plan, installed, device, scratch)
    spread = Spread(device, plan, plan.launches)
    name, median_us = installed.runtime.name, None
    for index in range(plan.launches):
        tell(sink, device, index, plan.launches, name, median_us)
        spread.wait_for(index)
        median_us = series.run_one(index).median_us
    tell(sink, device, plan.launches, plan.launches, name, median_us)
    return series.finish()


class Spread:
    """Lets launches begin evenly over the plan's spread: a state that the device keeps for seconds, as one of another
    tenant's or of a scheduler's placement, is then one launch's and not the whole measurement's."""

    def __init__(self, device: Device, plan: BenchPlan, launches: int) -> None:
        self._device = device
        self._plan = plan
        self._launches = launches
        self._began_us: float | None = None

    def wait_for(self, index: int) -> None:
        if not self._plan.spread_seconds:
            return
        now_us = self._device.clock_us()
        if self._began_us is None:
            self._began_us = now_us
        pause_s = pause_seconds(self._plan, index, self._launches, (now_us - self._began_us) / 1e6)
        if pause_s:
            self._device.wait(pause_s)


def tell(
    sink: Sink,
    device: Device,
    done: int,
    total: int,
    runtime: str | None = None,
    median_us: float | None = None,
) -> None:
    """`median_us`: of the launch before, where all are of one model and one configuration."""
    sink(
        LaunchesDone(
            "measure", "", done, total, "launches", device.address, runtime=runtime, median_us=median_us
        )
    )


def launch_part(index: int, order: int, seed: int, started_us: float, done: Launched, raw: Floats) -> Launch:
    """The record's part of a launch that ended well, with its samples (none where a tool keeps them)."""
    import numpy as np

    result, process = done.result, done.process
    if isinstance(result, ToolResult):
        return tool_part(index, order, started_us, result, process, raw)
    load = result.load
    steps = (load.dlopen_us, load.environment_us, load.model_us, load.compile_us)
    known = [step for step in steps if step is not None]
    return Launch(
        index=index,
        order=order,
        seed=seed,
        exit_code=process.exit_code,
        start_us=started_us,
        load=LoadTimes(
            dlopen_us=load.dlopen_us,
            environment_us=load.environment_us,
            model_us=load.model_us,
            compile_us=load.compile_us,
        ),
        load_us=sum(known) if known else None,
        first_inference_us=result.first_inference_us,
        median_us=float(np.median(raw)) if raw.size else None,
        mean_us=float(np.mean(raw)) if raw.size else None,
        count=int(raw.size),
        warmup_iterations=result.warmup_iterations,
        begin_us=None if result.begin_boottime_ns is None else result.begin_boottime_ns / 1000,
        wall_us=result.wall_us,
        cpu_us=result.cpu_us,
        clock_resolution_ns=result.clock_resolution_ns,
        threads=result.threads,
        actual_accelerator=result.actual_accelerator,
        fully_accelerated=result.fully_accelerated,
        memory=launch_memory(result),
        usage=usage_part(process),
    )


def check_outputs(release: Release, device: Device, paths: Sequence[str]) -> Comparison:
    """The outputs of the timed processes, in files on the device, against the golden ones, and against each other."""
    golden = release.manifest.golden
    if golden is None or not paths:
        return Comparison("unchecked", "the release has no golden outputs")
    hashes = {
        stat.sha256 if stat is not None else None
        for stat in stat_many(device.agent, list(paths), sha256=True).values()
    }
    if len(hashes) != 1:
        return Comparison("failed", "launches gave different outputs for the same inputs")
    expected = device.agent.get(f"{release.folder}/{GOLDEN_OUTPUTS}")
    return compare_outputs(expected, device.agent.get(paths[0]), golden)
