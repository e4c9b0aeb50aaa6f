"""Thread counts of one model on one device, measured side by side: in every round each has one launch, in a random order."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

from msgspec import structs

from edgekit.benchmarking.abilities import chosen_for, meter_of
from edgekit.benchmarking.gates import parse_gate
from edgekit.benchmarking.launches import Launches, LaunchSeries, Spread, tell
from edgekit.benchmarking.measure import Around, check_cpus, judged
from edgekit.benchmarking.own_inputs import load_inputs, with_inputs
from edgekit.benchmarking.plan import BenchOptions, BenchPlan, make_plan, refuse_wishes
from edgekit.benchmarking.race import DOES_NOT_RUN, shuffled
from edgekit.benchmarking.ready import made_ready
from edgekit.clock import utc_now
from edgekit.deployment import Release
from edgekit.deployment.runtime_there import install
from edgekit.devices import Device
from edgekit.devices.sampling import sampled
from edgekit.errors import DeviceLost, EdgekitError, InputError
from edgekit.events import Sink, ignore
from edgekit.meters.taking import metered
from edgekit.records import Record, Samples

if TYPE_CHECKING:
    from edgekit.profiles import Profile


def check_configurations(threads: Sequence[int], profile: Profile | None, options: BenchOptions) -> None:
    """Raises InputError E_PLAN for counts that cannot be, and for what is of one configuration."""
    if not threads or len(set(threads)) != len(threads):
        told = ",".join(map(str, threads))
        raise InputError(
            f"thread counts must differ, and be at least one, not '{told}'",
            code="E_PLAN",
            hint="like --threads 1,2,4",
        )
    for count in threads:
        make_plan(profile, structs.replace(options, threads=count))
    asked = {
        "--sustained": options.sustained_minutes,
        "--op-profile": options.op_profile,
        "--evaluation": options.evaluation,
        "--streams": options.streams is not None,
        "a gate against a baseline": any(parse_gate(text).baseline for text in options.gates),
    }
    refuse_wishes(asked, "several thread counts", "give one --threads, and a command for each count")


def measure_configurations(
    release: Release,
    device: Device,
    threads: Sequence[int],
    *,
    profile: Profile | None,
    options: BenchOptions,
    sink: Sink = ignore,
) -> tuple[tuple[Record, Samples] | EdgekitError, ...]:
    """A release that is on the device, with each count of `threads`, under one lease, one setting of knobs and one cooling.

    `options.launches` is the number of rounds, `options.threads` has no say. A count whose first launch fails is out, with
    its error; where none runs, the first one's is raised. Raises what `measure` raises otherwise.
    """
    check_configurations(threads, profile, options)
    plan = structs.replace(make_plan(profile, options), configurations=tuple(threads))
    check_cpus(plan.cpus, device)
    chosen = chosen_for(release, device, profile, options)
    own_inputs = load_inputs(release, device, options)
    # a battery tells the device's power only once it does not charge any more
    meter = None if plan.charging == "off" else meter_of(chosen, device, profile, options)
    started_at = utc_now()
    with ExitStack() as stack:
        stack.enter_context(device.leased(f"measure {release.manifest.name}", options.lease_wait_seconds))
        installed = install(device, chosen, sink)
        scratch = [stack.enter_context(device.scratch()) for _ in threads]
        ready = stack.enter_context(made_ready(device, plan))
        plans = [with_inputs(ready.plan, own_inputs, device, folder) for folder in scratch]
        entrants = [
            _Entrant(LaunchSeries(release, structs.replace(one, threads=count), installed, device, folder))
            for one, count, folder in zip(plans, threads, scratch, strict=True)
        ]
        if meter is None:
            meter = meter_of(chosen, device, profile, options)
        with metered(device, meter, sink, required=options.meter is not None) as energy:
            before = device.snapshot(files_first=False)
            with sampled(device) as telemetry:
                _run_rounds(entrants, plan, device, sink)
            ran = [one.series.finish() for one in entrants]
            after = device.snapshot(files_first=True)
        device.agent.lease_renew()
    own = [one.own_cpu_us for one in ran if one.own_cpu_us is not None]
    around = Around(before, after, telemetry, ready, sum(own) if len(own) == len(ran) else None, energy)

    def told(one: _Entrant, launches: Launches) -> tuple[Record, Samples] | EdgekitError:
        if one.error is not None:
            return one.error
        plan = one.series.plan
        return judged(
            release,
            device,
            profile,
            plan,
            options,
            installed,
            launches,
            around,
            started_at=started_at,
            how="side by side",
        )

    return tuple(told(one, launches) for one, launches in zip(entrants, ran, strict=True))


class _Entrant:
    """One configuration's launches, until one of them says that it does not run."""

    def __init__(self, series: LaunchSeries) -> None:
        self.series = series
        self.error: EdgekitError | None = None

    def run_one(self, order: int) -> None:
        try:
            self.series.run_one(order)
        except DeviceLost:
            raise
        except DOES_NOT_RUN as error:
            self.error = error


def _run_rounds(entrants: Sequence[_Entrant], plan: BenchPlan, device: Device, sink: Sink) -> None:
    """Raises the first one's error where none runs."""
    spread, order = Spread(device, plan, plan.launches), 0
    for number in range(plan.launches):
        spread.wait_for(number)
        for entrant in shuffled(entrants, plan.seed, number):
            tell(sink, device, order, plan.launches * len(entrants), entrant.series.installed.runtime.name)
            if entrant.error is None:
                entrant.run_one(order)
            order += 1
        errors = [entrant.error for entrant in entrants if entrant.error is not None]
        if len(errors) == len(entrants):
            raise errors[0]
    tell(sink, device, order, order, entrants[0].series.installed.runtime.name)
