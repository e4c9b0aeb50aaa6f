"""One measurement from end to end: under the lease, with knobs set and restored, judged and recorded."""

from __future__ import annotations

import statistics
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.benchmarking.abilities import chosen_for, meter_of
from edgekit.benchmarking.assemble import device_part, make_record, plan_part
from edgekit.benchmarking.energy import energy_part, energy_series
from edgekit.benchmarking.environment import environment_part
from edgekit.benchmarking.evaluation import Evaluated, evaluate, load_evaluation
from edgekit.benchmarking.evidence import (
    Seen,
    actual_accelerator,
    clock_step_us,
    evidence_of,
    fully_accelerated,
    timed_from_us,
)
from edgekit.benchmarking.launches import BESIDE_FAILED, Launches, run_launches
from edgekit.benchmarking.operators import Profiled, profiled
from edgekit.benchmarking.own_inputs import load_inputs, with_inputs
from edgekit.benchmarking.plan import BenchOptions, BenchPlan, make_plan
from edgekit.benchmarking.ready import Ready, changed_since, made_ready
from edgekit.benchmarking.summaries import latency_of_summaries, only_summaries
from edgekit.benchmarking.sustained import LongLaunch, sustained
from edgekit.benchmarking.verdict import judge
from edgekit.clock import utc_now
from edgekit.deployment import Release
from edgekit.deployment.runtime_there import Installed, install
from edgekit.devices import Device
from edgekit.devices.sampling import Series, sampled
from edgekit.devices.telemetry import Snapshot
from edgekit.errors import DeviceLost, InputError
from edgekit.events import Sink, ignore
from edgekit.meters.taking import Taken, metered
from edgekit.records import Latency, Record, Runtime, Samples
from edgekit.records.codec import new_id
from edgekit.records.environment import How
from edgekit.stats import summarize

if TYPE_CHECKING:
    from edgekit.conversion.datasets import DataSet
    from edgekit.models.info import Signature
    from edgekit.profiles import Profile


def measure(
    release: Release,
    device: Device,
    *,
    profile: Profile | None,
    options: BenchOptions,
    plan: BenchPlan | None = None,
    sink: Sink = ignore,
) -> tuple[Record, Samples]:
    """Measure a release that is on the device. `plan`: instead of what profile and options would make.

    Raises InputError for a plan or a runtime that cannot be, GateError and DeviceError for a model that cannot fit
    there, VerdictError E_ACCELERATOR where an accelerator is required and did not run it, DeviceBusy where another host
    holds the device, ModelError and RemoteError where the model does not run there, DeviceLost.
    """
    plan = plan if plan is not None else make_plan(profile, options)
    check_cpus(plan.cpus, device)
    chosen = chosen_for(release, device, profile, options)
    data = load_evaluation(release, device, Path(options.evaluation)) if options.evaluation else None
    own_inputs = load_inputs(release, device, options)
    # a battery tells the device's power only once it does not charge any more
    meter = None if plan.charging == "off" else meter_of(chosen, device, profile, options)
    started_at = utc_now()
    with ExitStack() as stack:
        stack.enter_context(device.leased(f"measure {release.manifest.name}", options.lease_wait_seconds))
        installed = install(device, chosen, sink)
        scratch = stack.enter_context(device.scratch())
        ready = stack.enter_context(made_ready(device, plan))
        plan = with_inputs(ready.plan, own_inputs, device, scratch)
        if meter is None:
            meter = meter_of(chosen, device, profile, options)
        with metered(device, meter, sink, required=options.meter is not None) as energy:
            before = device.snapshot(files_first=False)
            with sampled(device) as series:
                ran = run_launches(release, plan, installed, device, scratch, sink)
            after = device.snapshot(files_first=True)
        extra = Extra()
        if plan.sustained_minutes:
            median_us = statistics.median(launch.median_us or 0.0 for launch in ran.launches if launch.ok)
            long = sustained(release, plan, installed, device, scratch, median_us, sink)
            extra = replace(extra, long=long)
        if options.op_profile:
            extra = replace(extra, operators=profiled(release, plan, installed, device, scratch, sink))
        if data is not None:
            extra = _scored(extra, release, data, device, installed, scratch, plan, sink)
        device.agent.lease_renew()  # another host may have taken over while this one slept: then this is no measurement
    around = Around(before, after, series, ready, ran.own_cpu_us, energy)
    return judged(
        release, device, profile, plan, options, installed, ran, around, started_at=started_at, extra=extra
    )


@dataclass(frozen=True)
class Extra:
    """What was done besides the launches that the latency is of."""

    long: LongLaunch = field(default_factory=LongLaunch)
    evaluated: Evaluated | None = None
    operators: Profiled = field(default_factory=Profiled)
    notes: tuple[str, ...] = ()


def _scored(
    extra: Extra,
    release: Release,
    data: tuple[Signature, DataSet],
    device: Device,
    installed: Installed,
    scratch: str,
    plan: BenchPlan,
    sink: Sink,
) -> Extra:
    """Where it fails, what was measured before is worth no less. Raises DeviceLost."""
    try:
        scored = evaluate(release, *data, device, installed, scratch, threads=plan.threads, sink=sink)
    except DeviceLost:
        raise
    except BESIDE_FAILED as error:
        return replace(extra, notes=(f"not scored on the device: {error.code}: {error.message}",))
    return replace(extra, evaluated=scored)


@dataclass(frozen=True)
class Around:
    """What surrounded the launches. `own_cpu_us`: CPU time of all that this measurement started."""

    before: Snapshot
    after: Snapshot
    telemetry: Series
    ready: Ready
    own_cpu_us: float | None
    energy: Taken | None = None


def judged(
    release: Release,
    device: Device,
    profile: Profile | None,
    plan: BenchPlan,
    options: BenchOptions,
    installed: Installed,
    ran: Launches,
    around: Around,
    *,
    started_at: str,
    extra: Extra = Extra(),
    how: How = "alone",
) -> tuple[Record, Samples]:
    """The record of launches that were run, with its verdict, and all their samples."""
    seen = Seen(
        launches=ran.launches,
        before=around.before,
        after=around.after,
        telemetry=tuple(around.telemetry.points),
        golden=ran.golden,
        cooled=around.ready.cooled,
        unmet=around.ready.unmet or changed_since(plan, around.after.conditions),
        not_set=(
            *around.ready.not_set,
            *_reason(ran),
            *extra.notes,
            *([extra.long.note] if extra.long.note else []),
            *extra.operators.notes,
        ),
        own_cpu_us=around.own_cpu_us,
        simulated=device.simulated,
        sustained=extra.long.found,
        requested_accelerator=installed.accelerator,
    )
    latency = _latency(ran)
    limit_mc = profile.limits.temperature_mc if profile is not None else None
    record = make_record(
        run_id=new_id(),
        started_at=started_at,
        device=device_part(device.address, device.facts),
        release=release.manifest,
        profile=profile,
        runtime=_runtime_part(installed, ran),
        plan=plan_part(plan, _inputs(plan, release)),
        latency=latency,
        seen=seen,
        verdict=judge(evidence_of(plan, latency, seen, limit_mc)),
        labels=dict(options.labels),
        evaluated=extra.evaluated,
        sustained=extra.long.found,
        operators=extra.operators.found,
        notes=ran.notes,
        energy=energy_part(around.energy, ran.launches),
        environment=environment_part(options, device, how, release.source),
    )
    samples = Samples.of(ran.samples, seen.telemetry)
    more = (*ran.series, *energy_series(around.energy), *extra.long.series)
    return record, replace(samples, telemetry=(*samples.telemetry, *more))


def _latency(ran: Launches) -> Latency:
    if only_summaries(ran.launches):
        return latency_of_summaries(ran.launches)
    return summarize(
        ran.samples,
        first_inference_us=[launch.first_inference_us for launch in ran.launches],
        load_us=[launch.load_us for launch in ran.launches],
        starts_us=[timed_from_us(launch) for launch in ran.launches],
        clock_step_us=clock_step_us(ran.launches),
        paces=ran.paces,
    )


def _inputs(plan: BenchPlan, release: Release) -> str:
    if plan.inputs is not None:
        return "own"
    return "golden" if release.manifest.golden else "random"


def _reason(ran: Launches) -> tuple[str, ...]:
    return (f"outputs: {ran.golden.reason}",) if ran.golden.reason and ran.golden.state != "passed" else ()


def check_cpus(cpus: tuple[int, ...], device: Device) -> None:
    there = {cpu.cpu for cpu in device.facts.cpus}
    missing = [cpu for cpu in cpus if there and cpu not in there]
    if missing:
        raise InputError(
            f"the device has no CPU {', '.join(map(str, missing))}",
            code="E_CPUS",
            device=device.address,
            hint=f"it has {', '.join(map(str, sorted(there)))}: give --cpus, or another profile",
        )


def _runtime_part(installed: Installed, ran: Launches) -> Runtime:
    brought = bool(installed.bundle.files)  # of what the board has, edgekit knows no bytes
    # a bundle of scripts for the board's Python has a version, too, but that is the scripts'
    return Runtime(
        name=installed.runtime.name,
        version=ran.runtime_version or installed.runtime.version,
        sha256=installed.bundle.sha256 if brought else None,
        argv=ran.argv,
        env=ran.env,
        requested_accelerator=installed.accelerator,
        actual_accelerator=actual_accelerator(ran.launches),
        fully_accelerated=fully_accelerated(ran.launches),
        measures=ran.measures,
    )
