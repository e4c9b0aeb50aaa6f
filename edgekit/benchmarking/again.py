"""A kept run done again: the plan that its record tells, and what of it cannot be had any more. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec import structs

from edgekit.benchmarking.difference import Difference
from edgekit.benchmarking.plan import BenchOptions, BenchPlan, make_plan
from edgekit.errors import InputError, VerdictError
from edgekit.records import Record, Scalar, to_builtins

if TYPE_CHECKING:
    from edgekit.profiles import Profile

_KNOB = "knob "
_ASSUMED = ("threads", "seed", "warmup_iterations", "iterations", "min_seconds")
_OTHER_WAYS = {
    "compared": "it was measured in pairs with another model; now alone",
    "side by side": "it was measured side by side with other thread counts; now alone",
    "unplugged": "it was measured while the cable was out; now with it in",
}


@dataclass(frozen=True)
class Again:
    """`options`: what is asked of the runtime, the meter and the host's files; `plan`: all the rest. `untold`: what will be
    otherwise, in words."""

    options: BenchOptions
    plan: BenchPlan
    untold: tuple[str, ...]


def again(record: Record, profile: Profile | None, *, exists: Callable[[str], bool]) -> Again:
    """`profile`: the one that the record names; None where it names none, or it is not here any more. `exists`: whether
    there is a file of this path.

    Raises InputError E_RERUN for a record that does not say which model ran, E_PLAN and others for values that cannot be.
    """
    if record.model.sha256 is None:
        raise InputError(
            f"{record.id} does not say which bytes were measured: it was imported, or is of another tool",
            code="E_RERUN",
            hint="measure the model anew: edgekit bench MODEL -d DEVICE",
        )
    inputs, inputs_note = _file(_asked(record, "inputs"), record.plan.inputs == "own", "inputs", exists)
    scored = record.accuracy.scored_on == "device"
    evaluation, evaluation_note = _file(_asked(record, "evaluation"), scored, "evaluation data", exists)
    options = _options(record, inputs, evaluation)
    untold = (*_untold(record), *(note for note in (inputs_note, evaluation_note) if note is not None))
    return Again(options, _plan(record, profile, options), untold)


def _asked(record: Record, name: str) -> str | None:
    found: str | None = getattr(record.environment.asked, name) if record.environment is not None else None
    return found


def _file(
    path: str | None, needed: bool, what: str, exists: Callable[[str], bool]
) -> tuple[str | None, str | None]:
    """The path to take, and what to say where it cannot be taken."""
    if path is not None and exists(path):
        return path, None
    if path is None and not needed:
        return None, None
    where = f"{path} is gone" if path is not None else "the record does not say which file they were"
    instead = "golden or random ones are timed" if what == "inputs" else "nothing is scored on the device"
    return None, f"{what}: {where}; {instead} (--{what.partition(' ')[0]} FILE names them)"


def _options(record: Record, inputs: str | None, evaluation: str | None) -> BenchOptions:
    plan, asked = record.plan, record.environment.asked if record.environment is not None else None
    return BenchOptions(
        launches=plan.launches,
        iterations=plan.iterations,
        warmup_iterations=plan.warmup_iterations,
        min_seconds=plan.min_seconds,
        threads=plan.threads,
        cpus=plan.cpus,
        runtime=record.runtime.name,
        seed=plan.seed,
        privileged=plan.other.get("privileged") is True,
        labels=record.labels,
        sustained_minutes=_number(plan.other, "sustained_minutes"),
        spread_seconds=_number(plan.other, "spread_seconds"),
        # a battery may be a meter only while the cable is out
        meter=asked.meter if asked is not None and asked.how != "unplugged" else None,
        evaluation=evaluation,
        priority=plan.priority,
        frequency=plan.frequency,
        screen=plan.screen or "any",
        charging=plan.charging or "any",
        min_battery_percent=plan.min_battery_percent,
        ready_timeout_seconds=plan.ready_timeout_seconds,
        inputs=inputs,
        streams=plan.streams,
        accelerator=record.runtime.requested_accelerator,
        require_accelerator=asked is not None and asked.require_accelerator,
        runtime_flags=asked.runtime_flags if asked is not None else (),
        op_profile=asked.op_profile if asked is not None else record.operators is not None,
        rerun_of=record.id,
    )


def _number(other: Mapping[str, Scalar], name: str) -> float:
    value = other.get(name)
    return float(value) if isinstance(value, int | float) else 0.0


def _plan(record: Record, profile: Profile | None, options: BenchOptions) -> BenchPlan:
    """Checked as any plan is; then what the profile would say today gives way to what was done."""
    was, checked = record.plan, make_plan(profile, options)
    return structs.replace(
        checked,
        cpus=checked.cpus if was.cpus else (),
        governor=was.governor,
        knobs={
            name.removeprefix(_KNOB): str(value)
            for name, value in was.other.items()
            if name.startswith(_KNOB)
        },
        max_seconds=checked.max_seconds if was.max_seconds is None else was.max_seconds,
        cool_to_mc=was.cool_to_mc,
        cool_timeout_s=was.cool_timeout_seconds or 0.0,
        priority=was.priority,
        frequency=checked.frequency if was.frequency else None,
        min_battery_percent=was.min_battery_percent,
    )


def _untold(record: Record) -> Iterator[str]:
    how = record.environment.asked.how if record.environment is not None else "alone"
    if how == "alone" and "configurations" in record.plan.other:
        how = "side by side"
    if how in _OTHER_WAYS:
        yield _OTHER_WAYS[how]
    if record.environment is None:
        yield "an older record: it does not say which meter or which flags of the runtime were asked for"
    if missing := [name for name in _ASSUMED if getattr(record.plan, name) is None]:
        yield f"the record does not say {', '.join(missing)}: defaults are taken"


def missing_after(old: Record, new: Record) -> tuple[str, ...]:
    """What the first run has and the second one does not, for whatever reason."""
    energy_was, energy_is = old.energy.meter, new.energy.meter
    told = []
    if energy_was is not None and energy_was != energy_is:
        now = f"now by {energy_is}" if energy_is is not None else f"now it is not: {new.energy.unavailable}"
        told.append(f"energy was measured by {energy_was}; {now}")
    data_was, data_is = old.accuracy.data_sha256, new.accuracy.data_sha256
    if old.accuracy.scored_on == new.accuracy.scored_on == "device" and data_was != data_is:
        told.append("the evaluation data are other ones than those of the first run")
    inputs = [one.plan.other.get("inputs_sha256") for one in (old, new)]
    if None not in inputs and inputs[0] != inputs[1]:
        told.append("the inputs are other ones than those of the first run")
    parts = {"a sustained load": "sustained", "operators": "operators", "throughput": "throughput"}
    gone = [name for name, part in parts.items() if getattr(old, part) and not getattr(new, part)]
    if old.accuracy.scored_on == "device" != new.accuracy.scored_on:
        gone.append("a score on the device")
    notes = "; ".join(new.verdict.notes)
    told += [f"the first run has {name}, this one has not ({notes or 'no reason is known'})" for name in gone]
    return tuple(told)


@dataclass(frozen=True)
class Rerun:
    """`verdict`: of the latency, `faster` and the like as of `edgekit compare`; untested where there are too few launches.
    `not_repeated`: what was otherwise than in the first run, in words."""

    first: Record
    record: Record
    difference: Difference
    not_repeated: tuple[str, ...]

    @property
    def verdict(self) -> str:
        if "invalid" in (self.first.verdict.state, self.record.verdict.state):
            return "invalid"
        by_name = {one.metric: one.change for one in self.difference.metrics}
        changes = [by_name.get(name, "unknown") for name in ("median_latency", "mean_latency")]
        known = next((one for one in changes if one not in ("unknown", "untested")), "untested")
        return {"better": "faster", "worse": "slower"}.get(known, known)

    def exit_code(self, *, strict: bool = False) -> int:
        """4 where one of the runs is invalid (with `strict` also where one is suspect), else 0: slower is an answer."""
        suspect = "suspect" in (self.first.verdict.state, self.record.verdict.state)
        return VerdictError.exit_code if self.verdict == "invalid" or (strict and suspect) else 0

    def document(self) -> dict[str, object]:
        """As JSON knows it."""
        return {
            "run": self.first.id,
            "rerun": self.record.id,
            "verdict": self.verdict,
            "not_repeated": list(self.not_repeated),
            "difference": self.difference,
            "record": to_builtins(self.record),
        }
