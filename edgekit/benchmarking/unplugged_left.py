"""What a measurement that the device ran alone has left there, made into the record that `measure` would make."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from edgekit.agent.answers import RunResult
from edgekit.benchmarking.abilities import chosen_for
from edgekit.benchmarking.launches import LaunchSeries, job_of, launch_part
from edgekit.benchmarking.measure import Around, judged
from edgekit.benchmarking.plan import BenchOptions, BenchPlan
from edgekit.benchmarking.ready import ready_unasked
from edgekit.benchmarking.samples import samples_of
from edgekit.benchmarking.unplugged import Saved, folder_of, state_of
from edgekit.benchmarking.unplugged_script import (
    AFTER,
    BEFORE,
    LATE,
    METER,
    PLAN,
    TELEMETRY,
    Mark,
    marks_of,
)
from edgekit.deployment import Release, release_on_device
from edgekit.deployment.launching import START_SECONDS, read_launched
from edgekit.deployment.runtime_there import Installed, install
from edgekit.devices import Device
from edgekit.devices.sampling import Series, point_of
from edgekit.devices.telemetry import Snapshot, read_snapshot
from edgekit.errors import DeviceBusy, InputError, RemoteError
from edgekit.events import Sink, ignore
from edgekit.meters.base import Reading
from edgekit.meters.commands import LOOP
from edgekit.meters.taking import Taken, meter_for
from edgekit.records import Launch, Record, Samples, Usage
from edgekit.runtimes.tool import ToolRuntime
from edgekit.stats.energy import Span
from edgekit.stats.traces import Refused

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgekit.profiles import Profile

    Floats = NDArray[np.float64]

MAX_METER_BYTES = 64 << 20
NOTES = (
    "measured on the device alone (edgekit unplugged): no knobs were set, it was not waited for to cool, no lease was held",
)


def collect(
    device: Device, job: str, *, profile: Profile | None, sink: Sink = ignore
) -> tuple[Record, Samples]:
    """The record of a measurement that has ended there. It stays there: `forget` removes it.

    Raises InputError E_UNPLUGGED where there is no such job, DeviceBusy where it still runs, RemoteError E_JOB_LOST where the device
    was restarted meanwhile or the measurement broke off, and what the first launch failed with where all failed."""
    state = state_of(device, job)
    if state == "running":
        raise DeviceBusy(f"{job} still runs", hint="come back when it is done", device=device.address)
    folder = folder_of(device, job)
    marks = marks_of(_text(device, f"{folder}/stdout") or "")
    if state == "lost" or "done" not in marks:
        at = list(marks)[-1] if marks else "its beginning"
        raise RemoteError(
            f"{job} broke off at {at}: the device was restarted, or ended it",
            code="E_JOB_LOST",
            device=device.address,
            hint="start it again; a phone may end what runs for long in the background",
        )
    saved = msgspec.json.decode(device.agent.get(f"{folder}/{PLAN}"), type=Saved)
    there = release_on_device(device, saved.release, saved.version)
    release = msgspec.structs.replace(there, source=saved.source)
    options = BenchOptions(
        runtime=saved.runtime, labels=saved.labels, meter=saved.asked_meter, argv=saved.argv
    )
    installed = install(device, chosen_for(release, device, profile, options), sink)
    series = _Left(release, saved.plan, installed, device, folder, marks)
    for number in range(saved.plan.launches):
        series.run_one(number)
    if len(series.errors) == saved.plan.launches:
        raise series.errors[0]
    ran = series.finish()
    record, samples = judged(
        release,
        device,
        profile,
        saved.plan,
        options,
        installed,
        ran,
        _around(device, folder, saved, marks),
        started_at=saved.started_at,
        how="unplugged",
    )
    # it may be fetched with another profile than it was planned by
    return msgspec.structs.replace(record, profile=saved.profile), samples


class _Left(LaunchSeries):
    """Launches that have run, read from what they left: the first may have hung, and the others not."""

    first_decides = False

    def __init__(
        self,
        release: Release,
        plan: BenchPlan,
        installed: Installed,
        device: Device,
        folder: str,
        marks: dict[str, Mark],
    ) -> None:
        super().__init__(release, plan, installed, device, folder)
        self._marks = marks
        self._own_cpu_us = None

    def _launched(self, index: int, order: int) -> tuple[Launch, Floats]:
        begin, end = self._marks[f"begin-{index}"], self._marks[f"end-{index}"]
        job = job_of(self.release, self.plan, self.scratch, index)
        runtime = self.installed.runtime
        assert not isinstance(runtime, ToolRuntime)
        argv, env = runtime.command(self.installed.bundle, self.installed.folder, job)
        process = _process(self.device, self.scratch, index, argv, begin, end)
        was_killed = f"{LATE}-{index}" in self._marks and process.signal is not None
        process = msgspec.structs.replace(process, timed_out=was_killed)
        done = read_launched(self.device, self.installed, argv, env, process, job.max_seconds + START_SECONDS)
        raw = samples_of(done, job, self.device)
        part = launch_part(index, order, self.plan.seed, begin.t_us, done, raw)
        self._last = done
        if job.outputs is not None:
            self._outputs.append(job.outputs)
        # the shell does not tell what the kernel counted
        return msgspec.structs.replace(part, usage=Usage(wall_us=round(end.t_us - begin.t_us))), raw


def _process(
    device: Device, folder: str, index: int, argv: Sequence[str], begin: Mark, end: Mark
) -> RunResult:
    code = end.exit_code if end.exit_code is not None else 1
    return RunResult(
        argv=tuple(argv),
        exit_code=code if code <= 128 else None,
        signal=code - 128 if code > 128 else None,
        timed_out=False,
        cancelled=False,
        wall_ns=round((end.t_us - begin.t_us) * 1000),
        user_us=0,
        system_us=0,
        max_rss_bytes=0,
        minor_faults=0,
        major_faults=0,
        voluntary_switches=0,
        involuntary_switches=0,
        stdout=device.agent.get(f"{folder}/stdout-{index}", length=MAX_METER_BYTES),
        stderr=device.agent.get(f"{folder}/stderr-{index}", length=1 << 16),
    )


def _around(device: Device, folder: str, saved: Saved, marks: dict[str, Mark]) -> Around:
    telemetry = Series()
    for look in LOOP.readings(_text(device, f"{folder}/{TELEMETRY}") or ""):
        telemetry.points += [
            point_of(look.t_us, path, look.texts.get(path), device.sensors)
            for path in device.sensors.sampled()
        ]
    before = _snapshot(device, f"{folder}/{BEFORE}")
    return Around(
        before=before,
        after=_snapshot(device, f"{folder}/{AFTER}"),
        telemetry=telemetry,
        ready=ready_unasked(saved.plan, before.conditions, NOTES),
        own_cpu_us=None,
        energy=taken_there(device, folder, saved, marks),
    )


def taken_there(device: Device, folder: str, saved: Saved, marks: dict[str, Mark]) -> Taken:
    """What its meter saw, or why there is no number. Raises DeviceLost."""
    if not saved.metered:
        return Taken(found=Refused(saved.meter))
    try:
        meter = meter_for(device, saved.power, saved.meter, unplugged_later=True)
    except InputError as error:  # the launches are measured all the same
        return Taken(found=Refused(f"what its meter left cannot be read: {error.message}"))
    if isinstance(meter, Refused):
        return Taken(found=meter)
    taken = Taken(offer=meter)
    spans = {}
    for name in ("before", "after"):
        begin, end = marks.get(f"idle-{name}-begin"), marks.get(f"idle-{name}-end")
        if begin is None or end is None:
            taken.found = Refused("the idle times are not whole")
            return taken
        spans[name] = Span(begin.t_us, end.t_us)
    taken.before, taken.after = spans["before"], spans["after"]
    text = _text(device, f"{folder}/{METER}") or ""
    readings: list[Reading] = (meter.printed or LOOP).readings(text)
    took_us = [one.took_us for one in readings if one.took_us is not None]
    # in steps of 10 ms: 0 is less than can be told
    taken.sample_cost_us = (sum(took_us) / len(took_us) if took_us else 0.0) or None
    taken.finish(readings)
    return taken


def _snapshot(device: Device, path: str) -> Snapshot:
    looks = LOOP.readings(_text(device, path) or "")
    texts = looks[0].texts if looks else {}
    commands = device.sensors.commands
    return read_snapshot(
        device.sensors,
        {name: text for name, text in texts.items() if name not in commands},
        {name: text for name, text in texts.items() if name in commands and text is not None},
    )


def _text(device: Device, path: str) -> str | None:
    """None where it is not there."""
    try:
        return device.agent.get(path, length=MAX_METER_BYTES).decode("utf-8", "replace")
    except RemoteError:
        return None
