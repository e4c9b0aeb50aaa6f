"""A kept run done again: the plan that its record tells, and what of it cannot be had any more. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec import structs

from edgekit.benchmarking.plan import BenchOptions, BenchPlan, make_plan
from edgekit.benchmarking.repeated import OTHER_DATA, OTHER_INPUTS
from edgekit.benchmarking.trusting import is_run, knobs_of, refuse_impossible
from edgekit.records import Record, Scalar

if TYPE_CHECKING:
    from edgekit.profiles import Profile

MAX_COOL_SECONDS = 86_400.0
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


def again(
    record: Record,
    profile: Profile | None,
    *,
    sha256_of: Callable[[str], str | None],
    given: Mapping[str, str] | None = None,
) -> Again:
    """`profile`: the one that the record names; None where it names none, or it is not here any more. `sha256_of`: of the file of
    this path, None where there is none. `given`: where the user says that `inputs` and `evaluation` are now; a path of the
    record's is taken only where the bytes there are those that were measured.

    Raises InputError E_RERUN for a record that does not say which model ran or that no edgekit made, E_PLAN and others for
    values that cannot be.
    """
    refuse_impossible(record)
    given = given or {}
    data_sha256 = record.accuracy.data_sha256 if (scored := record.accuracy.scored_on == "device") else None
    files = (
        _File("inputs", _asked(record, "inputs"), record.plan.inputs == "own", _inputs_sha256(record)),
        _File("evaluation", _asked(record, "evaluation"), scored, data_sha256),
    )
    (inputs, inputs_note), (evaluation, evaluation_note) = (
        one.found(given.get(one.name), sha256_of) for one in files
    )
    options = _options(record, inputs, evaluation)
    untold = (*_untold(record), *(note for note in (inputs_note, evaluation_note) if note is not None))
    return Again(options, _plan(record, profile, options), untold)


def _inputs_sha256(record: Record) -> str | None:
    found = record.plan.other.get("inputs_sha256")
    return found if isinstance(found, str) else None


def _asked(record: Record, name: str) -> str | None:
    found: str | None = getattr(record.environment.asked, name) if record.environment is not None else None
    return found


@dataclass(frozen=True)
class _File:
    """Data of the user's own. `path`, `sha256`: as the record has them; `needed`: the run did not do without."""

    name: str
    path: str | None
    needed: bool
    sha256: str | None

    def found(
        self, given: str | None, sha256_of: Callable[[str], str | None]
    ) -> tuple[str | None, str | None]:
        """The path to take, and what to say of it."""
        if given is not None:
            other = OTHER_INPUTS if self.name == "inputs" else OTHER_DATA
            return given, other if self.sha256 not in (None, sha256_of(given)) else None
        if self.path is None:
            where = "the record does not say which file they were"
            return None, self._without(where) if self.needed else None
        now = sha256_of(self.path)
        if now is not None and now == self.sha256:
            return self.path, None
        if now is None:
            return None, self._without(f"{self.path} is gone")
        if self.sha256 is None:
            return None, self._without(f"the record does not say which bytes {self.path} had")
        return None, self._without(f"{self.path} has changed since")

    def _without(self, where: str) -> str:
        what, instead = self.name, "golden or random ones are timed"
        if self.name == "evaluation":
            what, instead = "evaluation data", "nothing is scored on the device"
        return f"{what}: {where}; {instead} (--{self.name} FILE names them)"


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
        gates=asked.gates if asked is not None else (),
        baseline=asked.baseline if asked is not None and is_run(asked.baseline or "") else None,
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
        knobs=knobs_of(record),
        max_seconds=_within(was.max_seconds, checked.max_seconds, checked.max_seconds),
        cool_to_mc=was.cool_to_mc,
        cool_timeout_s=_within(was.cool_timeout_seconds, 0.0, MAX_COOL_SECONDS),
        priority=was.priority,
        frequency=checked.frequency if was.frequency else None,
        min_battery_percent=was.min_battery_percent,
    )


def _within(value: float | None, default: float, most: float) -> float:
    """What `make_plan` does not check as no option sets it: no record makes a run wait for ever."""
    return default if value is None else min(max(value, 0.0), most)


def _untold(record: Record) -> Iterator[str]:
    asked = record.environment.asked if record.environment is not None else None
    how = asked.how if asked is not None else "alone"
    if how == "alone" and "configurations" in record.plan.other:
        how = "side by side"
    if how in _OTHER_WAYS:
        yield _OTHER_WAYS[how]
    if record.environment is None:
        yield "an older record: it does not say which meter, which flags of the runtime or which gates were asked for"
    if asked is not None and asked.baseline is not None and not is_run(asked.baseline):
        yield "the baseline that it names is no run"
    if missing := [name for name in _ASSUMED if getattr(record.plan, name) is None]:
        yield f"the record does not say {', '.join(missing)}: defaults are taken"
