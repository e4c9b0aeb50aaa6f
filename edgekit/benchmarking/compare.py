"""A against B on one device: pairs of launches, in random order, under one lease and one setting of knobs."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import msgspec

from edgekit.benchmarking.abilities import chosen_for, require_comparable
from edgekit.benchmarking.comparison import (
    MAX_PAIRS,
    PILOT_PAIRS,
    Compared,
    check_resolution,
    compare_pairs,
    conclude,
    pair_order,
    planned_pairs,
)
from edgekit.benchmarking.evidence import told_step_us
from edgekit.benchmarking.launches import LaunchSeries, Spread, tell
from edgekit.benchmarking.measure import Around, check_cpus, judged
from edgekit.benchmarking.own_inputs import load_inputs, with_inputs
from edgekit.benchmarking.plan import BenchOptions, BenchPlan, make_plan, refuse_wishes
from edgekit.benchmarking.ready import made_ready
from edgekit.benchmarking.summaries import centre_us
from edgekit.clock import utc_now
from edgekit.deployment import Release
from edgekit.deployment.runtime_there import install
from edgekit.devices import Device
from edgekit.devices.sampling import sampled
from edgekit.events import Sink, ignore
from edgekit.meters.choice import NO_METER
from edgekit.records import Launch, Samples

if TYPE_CHECKING:
    from edgekit.profiles import Profile


def check_wishes(options: BenchOptions) -> None:
    """Raises InputError E_PLAN for what is told of one model, not of two against each other."""
    asked = {
        "sustained_minutes": options.sustained_minutes,
        "op_profile": options.op_profile,
        "evaluation": options.evaluation,
        "meter": options.meter not in (None, NO_METER),
        "gates": options.gates,
        "baseline": options.baseline is not None,
    }
    refuse_wishes(asked, "a comparison", "bench each of the two for that")


def compare_releases(
    a: Release,
    b: Release,
    device: Device,
    *,
    profile: Profile | None,
    options: BenchOptions,
    resolution: float | None = None,
    sink: Sink = ignore,
) -> tuple[Compared, tuple[Samples, Samples]]:
    """Measure two releases that are on the device against each other; they may be the same one.

    `options.launches` is the number of pairs. With `resolution` (0.02 is 2 %) a pilot of 5 pairs says how many find
    a difference of that size in 9 of 10 runs; so many are run after it, at most 50. Raises what `measure` raises.
    """
    check_resolution(resolution)
    check_wishes(options)
    plan = make_plan(profile, options)
    check_cpus(plan.cpus, device)
    chosen = [chosen_for(one, device, profile, options) for one in (a, b)]
    require_comparable(*chosen)
    own_inputs = [load_inputs(one, device, options) for one in (a, b)]
    started_at = utc_now()
    with ExitStack() as stack:
        purpose = f"compare {a.manifest.name} and {b.manifest.name}"
        stack.enter_context(device.leased(purpose, options.lease_wait_seconds))
        installed = [install(device, one, sink) for one in chosen]
        scratch = [stack.enter_context(device.scratch()) for _ in chosen]
        ready = stack.enter_context(made_ready(device, plan))
        plan = ready.plan
        before = device.snapshot(files_first=False)
        plans = [
            with_inputs(plan, own, device, folder) for own, folder in zip(own_inputs, scratch, strict=True)
        ]
        pairs = Pairs(
            LaunchSeries(a, plans[0], installed[0], device, scratch[0]),
            LaunchSeries(b, plans[1], installed[1], device, scratch[1]),
            plan.seed,
        )
        with sampled(device) as series:
            planned = pairs.run_all(plan, resolution, device, sink)
            ran = (pairs.a.finish(), pairs.b.finish())
        after = device.snapshot(files_first=True)
        device.agent.lease_renew()
    own = [one.own_cpu_us for one in ran if one.own_cpu_us is not None]
    own_cpu_us = sum(own) if len(own) == len(ran) else None
    around = Around(before, after, series, ready, own_cpu_us)
    done = msgspec.structs.replace(plans[0], launches=len(pairs.medians))
    (record_a, samples_a), (record_b, samples_b) = (
        judged(
            release,
            device,
            profile,
            done,
            options,
            there,
            launches,
            around,
            started_at=started_at,
            how="compared",
        )
        for release, there, launches in zip((a, b), installed, ran, strict=True)
    )
    counted = pairs.medians[PILOT_PAIRS if resolution is not None else 0 :]
    step_us = max(told_step_us(record) for record in (record_a, record_b))
    found = compare_pairs([one for one, _ in counted], [one for _, one in counted], step_us)
    verdict, reasons, notes = conclude(found, record_a, record_b, resolution, planned)
    compared = Compared(
        a=f"{a.manifest.name}@{a.manifest.version}",
        b=f"{b.manifest.name}@{b.manifest.version}",
        found=found,
        verdict=verdict,
        reasons=reasons,
        notes=notes,
        records=(record_a, record_b),
        order=tuple(pairs.order),
        seed=plan.seed,
        resolution=resolution,
        planned_pairs=planned,
        pilot_pairs=PILOT_PAIRS if resolution is not None else 0,
    )
    return compared, (samples_a, samples_b)


class Pairs:
    """Runs pairs and keeps their medians (means, of a tool that tells no median; None where a launch failed) and the order
    they were run in."""

    def __init__(self, a: LaunchSeries, b: LaunchSeries, seed: int) -> None:
        self.a = a
        self.b = b
        self.seed = seed
        self.medians: list[tuple[float | None, float | None]] = []
        self.order: list[str] = []
        self.runtime = a.installed.runtime.name

    def run_all(self, plan: BenchPlan, resolution: float | None, device: Device, sink: Sink) -> int | None:
        """The pairs of the plan, or the pilot and as many more as it asks for; says how many it asked for."""
        self._run_to(plan.launches if resolution is None else PILOT_PAIRS, device, sink)
        if resolution is None:
            return None
        both = [(a, b) for a, b in self.medians if a and b]
        if len(both) < len(self.medians):
            return None  # a launch failed: the runs are invalid, and more of them would not help
        wanted = planned_pairs([a for a, _ in both], [b for _, b in both], resolution)
        self._run_to(PILOT_PAIRS + min(wanted, MAX_PAIRS), device, sink)
        return wanted

    def _run_to(self, pairs: int, device: Device, sink: Sink) -> None:
        spread = Spread(device, self.a.plan, pairs)
        while len(self.medians) < pairs:
            spread.wait_for(len(self.medians))
            done: dict[str, Launch] = {}
            for name in pair_order(self.seed, len(self.medians)):
                tell(sink, device, len(self.order), 2 * pairs, self.runtime)
                done[name] = (self.a if name == "a" else self.b).run_one(len(self.order))
                self.order.append(name)
            self.medians.append((centre_us(done["a"]), centre_us(done["b"])))
        tell(sink, device, len(self.order), 2 * pairs, self.runtime)
