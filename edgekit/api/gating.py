"""Measure, keep, and hold the run against its gates; against a baseline, if need be, twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edgekit.cache import host_errors
from edgekit.errors import InputError
from edgekit.events import Event, Sink

if TYPE_CHECKING:
    from edgekit.benchmarking import BenchOptions, Gate, Outcome
    from edgekit.benchmarking.plan import BenchPlan
    from edgekit.deployment import Release
    from edgekit.devices import Device
    from edgekit.profiles import Profile
    from edgekit.records import Record, Samples
    from edgekit.results.store import Store

Keep = Callable[["Record", "Samples"], None]


def gates_of(profile: Profile | None, options: BenchOptions) -> list[Gate]:
    """What was asked for, and the profile's limits. Raises InputError for a gate that cannot be."""
    from edgekit.benchmarking.gates import limit_gates, parse_gate

    gates = [parse_gate(text) for text in options.gates]
    return gates + list(limit_gates(profile.limits)) if profile is not None else gates


def measured(
    release: Release,
    device: Device,
    profile: Profile | None,
    options: BenchOptions,
    open_store: Callable[[], Store],
    keep: Keep,
    sink: Sink,
    plan: BenchPlan | None = None,
    limits: bool = True,
) -> tuple[Outcome, Samples]:
    """The outcome, and the samples of its first run. A gate against a baseline that fails is measured once more. `plan`:
    instead of what profile and options would make. `limits`: the profile's are gates as well.

    Raises InputError E_NO_BASELINE, where a gate needs one, before anything is measured if that can be known.
    """
    from edgekit.benchmarking import Outcome
    from edgekit.benchmarking.gates import check_gate
    from edgekit.benchmarking.measure import measure
    from edgekit.benchmarking.regression import confirm

    gates = gates_of(profile if limits else None, options)
    needed = any(gate.baseline for gate in gates)
    profile_name = profile.name if profile is not None else None
    named = require_baseline(profile, options, release.manifest.name, open_store)
    if named is not None and options.baseline is not None:
        options = msgspec.structs.replace(options, baseline=named.id)  # a file may be another one by tomorrow
    record, samples = measure(release, device, profile=profile, options=options, plan=plan, sink=sink)
    keep(record, samples)
    baseline = named if options.baseline is not None else None  # read before: by now this run is the `latest`
    if needed and baseline is None:
        baseline = baseline_of(options, record.model.name, profile_name, record.runtime.name, open_store)
    results = [check_gate(gate, record, baseline) for gate in gates]
    doubtful = [gate.baseline and not found.passed for gate, found in zip(gates, results, strict=True)]
    if baseline is None or not any(doubtful):
        return Outcome(record, tuple(results)), samples
    sink(Event("measure", "a gate against the baseline failed: measuring once more", level="info"))
    failed = [gate for gate, again in zip(gates, doubtful, strict=True) if again]
    fewer = options_again(options, failed)
    second, second_samples = measure(
        release, device, profile=profile, options=fewer, plan=_fewer(plan, fewer), sink=sink
    )
    keep(second, second_samples)
    results = [
        confirm(gate, record, second, baseline) if again else found
        for gate, found, again in zip(gates, results, doubtful, strict=True)
    ]
    return Outcome(record, tuple(results), second), samples


def _fewer(plan: BenchPlan | None, options: BenchOptions) -> BenchPlan | None:
    return plan and msgspec.structs.replace(plan, sustained_minutes=options.sustained_minutes)


def options_again(options: BenchOptions, failed: Sequence[Gate]) -> BenchOptions:
    """What the second measurement needs, to decide on the gates that failed: launches, and a score or a long load only
    where a gate is on it."""
    metrics = {gate.metric for gate in failed}
    return msgspec.structs.replace(
        options,
        sustained_minutes=options.sustained_minutes if "sustained_slowdown" in metrics else 0.0,
        evaluation=options.evaluation if "accuracy" in metrics else None,
        op_profile=False,
    )


def require_baseline(
    profile: Profile | None, options: BenchOptions, model_name: str | None, open_store: Callable[[], Store]
) -> Record | None:
    """The baseline, before anything is sent or measured, where a gate needs one; `model_name`: None where it is not
    known yet, which leaves out only the store's baseline. Raises InputError E_NO_BASELINE, E_RECORD or E_NO_RUN."""
    if not any(gate.baseline for gate in gates_of(profile, options)):
        return None
    if options.baseline is None and model_name is None:
        return None
    profile_name = profile.name if profile is not None else None
    return baseline_of(options, model_name or "", profile_name, None, open_store)


def baseline_of(
    options: BenchOptions,
    model_name: str,
    profile_name: str | None,
    runtime: str | None,
    open_store: Callable[[], Store],
) -> Record:
    """The record to compare with: the file or run that was named, else the store's. Raises InputError E_NO_BASELINE."""
    from edgekit.benchmarking.outcome import decode_printed

    if options.baseline is not None and Path(options.baseline).is_file():
        with host_errors(options.baseline):
            data = Path(options.baseline).read_bytes()
        return decode_printed(data)
    if options.baseline is not None:
        return open_store().get(options.baseline)
    found = open_store().baseline(model_name, profile_name, runtime)
    if found is None:
        where = f"profile {profile_name or 'none'}" + (f", runtime {runtime}" if runtime else "")
        raise InputError(
            f"no baseline is set for {model_name} ({where})",
            code="E_NO_BASELINE",
            hint="edgekit results baseline RUN, or --baseline RUN|FILE",
        )
    return found
