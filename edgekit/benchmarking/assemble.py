"""From a finished measurement to its record. Pure."""

from __future__ import annotations

from msgspec import structs

from edgekit._version import __version__
from edgekit.benchmarking.evaluation import Evaluated
from edgekit.benchmarking.evidence import Seen
from edgekit.benchmarking.held_back import mean_frequencies_khz
from edgekit.benchmarking.memory import memory_part
from edgekit.benchmarking.plan import BenchPlan
from edgekit.benchmarking.streams import throughput_part
from edgekit.benchmarking.verdict import Verdict
from edgekit.deployment.release import ReleaseManifest
from edgekit.profiles import Profile
from edgekit.profiles.facts import DeviceFacts
from edgekit.records import (
    Accuracy,
    BeforeAfter,
    Conditions,
    Device,
    Energy,
    Environment,
    Latency,
    Model,
    Operators,
    Plan,
    Record,
    Runtime,
)
from edgekit.records import Profile as ProfilePart
from edgekit.records import Verdict as VerdictPart
from edgekit.records.sustained import Sustained


def told_model(address: str, facts: DeviceFacts) -> str | None:
    """The device's model as runs tell it. A simulated phone has to bear the real one's model for its profile to know it; in
    a list of runs it must not look like one that was measured."""
    if facts.model is None or not address.startswith("sim:") or "simulated" in facts.model:
        return facts.model
    return f"{facts.model} (simulated)"


def device_part(address: str, facts: DeviceFacts) -> Device:
    return Device(
        address=address,
        model=told_model(address, facts),
        soc=facts.soc,
        abi=facts.abi,
        os=" ".join(part for part in (facts.os_name or facts.os, facts.os_version) if part) or None,
        kernel=facts.kernel,
        fingerprint=facts.fingerprint,
        build_sha256=facts.build_sha256,
        libc=f"glibc {facts.glibc_version}" if facts.glibc_version else None,
        cpu_count=len(facts.cpus) or None,
        memory_bytes=facts.memory_bytes,
    )


def accuracy_part(release: ReleaseManifest, seen: Seen, evaluated: Evaluated | None) -> Accuracy:
    """Accuracy as this device scored, else as the conversion found it; the outputs as this device gave them."""
    found = release.accuracy
    if evaluated is not None:
        same = found is not None and (found.metric, found.data_sha256) == (
            evaluated.metric,
            evaluated.data_sha256,
        )
        return Accuracy(
            metric=evaluated.metric,
            value=evaluated.value,
            source_value=found.source_value if found is not None and same else None,
            samples=evaluated.samples,
            scored_on="device",
            data_sha256=evaluated.data_sha256,
            flips=seen.golden.flips,
            golden=seen.golden.state,
            max_abs_error=seen.golden.max_abs_error,
        )
    return Accuracy(
        metric=found.metric if found else None,
        value=found.value if found else None,
        source_value=found.source_value if found else None,
        flips=found.flips if found else seen.golden.flips,
        samples=found.samples if found else None,
        scored_on="host" if found else None,
        data_sha256=found.data_sha256 if found else None,
        golden=seen.golden.state,
        max_abs_error=seen.golden.max_abs_error,
    )


def plan_part(plan: BenchPlan, inputs: str) -> Plan:
    waits = any(wish is not None for wish in (plan.screen, plan.charging, plan.min_battery_percent))
    return Plan(
        launches=plan.launches,
        threads=plan.threads,
        cpus=",".join(map(str, plan.cpus)) or None,
        seed=plan.seed,
        warmup_iterations=plan.warmup_iterations,
        iterations=plan.iterations,
        min_seconds=plan.min_seconds,
        max_seconds=plan.max_seconds,
        governor=plan.governor,
        cool_to_mc=plan.cool_to_mc,
        cool_timeout_seconds=plan.cool_timeout_s,
        inputs=inputs,
        streams=plan.streams,
        priority=plan.priority,
        frequency=plan.frequency,
        screen=plan.screen,
        charging=plan.charging,
        min_battery_percent=plan.min_battery_percent,
        ready_timeout_seconds=plan.ready_timeout_s if waits else None,
        other={
            "privileged": plan.privileged,
            **({"inputs_sha256": plan.inputs_sha256} if plan.inputs_sha256 else {}),
            **({"spread_seconds": plan.spread_seconds} if plan.spread_seconds else {}),
            **({"sustained_minutes": plan.sustained_minutes} if plan.sustained_minutes else {}),
            **({"configurations": ",".join(map(str, plan.configurations))} if plan.configurations else {}),
            **{f"knob {path}": value for path, value in plan.knobs.items()},
        },
    )


def _after(seen: Seen) -> Conditions:
    """With the mean frequencies of the whole run."""
    conditions = seen.after.conditions
    means = {f"{name}_mean_khz": khz for name, khz in mean_frequencies_khz(seen.before, seen.after).items()}
    return structs.replace(conditions, other={**conditions.other, **means})


def make_record(
    *,
    run_id: str,
    started_at: str,
    device: Device,
    release: ReleaseManifest,
    profile: Profile | None,
    runtime: Runtime,
    plan: Plan,
    latency: Latency,
    seen: Seen,
    verdict: Verdict,
    labels: dict[str, str],
    energy: Energy,
    environment: Environment,
    evaluated: Evaluated | None = None,
    sustained: Sustained | None = None,
    operators: Operators | None = None,
    notes: tuple[str, ...] = (),
) -> Record:
    return Record(
        id=run_id,
        started_at=started_at,
        edgekit_version=__version__,
        model=Model(
            name=release.name,
            version=release.version,
            sha256=release.sha256,
            format=release.format,
            recipe=release.recipe,
            recipe_sha256=release.recipe_sha256,
            size_bytes=release.model.size_bytes,
        ),
        profile=ProfilePart(name=profile.name, sha256=profile.sha256) if profile is not None else None,
        device=device,
        runtime=runtime,
        plan=plan,
        conditions=BeforeAfter(before=seen.before.conditions, after=_after(seen)),
        latency=latency,
        throughput=throughput_part(seen.launches, plan.streams),
        memory=memory_part(seen.launches, runtime.requested_accelerator),
        energy=energy,
        accuracy=accuracy_part(release, seen, evaluated),
        sustained=sustained,
        operators=operators,
        verdict=VerdictPart(state=verdict.state, reasons=verdict.reasons, notes=verdict.notes),
        environment=environment,
        labels=labels,
        launches=seen.launches,
        notes=notes,
    )
