"""A run that was done again, held against the first one: what it says, and what of the first was not done again. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from edgekit.benchmarking.difference import Difference
from edgekit.benchmarking.gates import GateResult
from edgekit.benchmarking.outcome import Outcome
from edgekit.errors import GateError, VerdictError
from edgekit.records import Record, to_builtins

OTHER_INPUTS = "the inputs are other ones than those of the first run"
OTHER_DATA = "the evaluation data are other ones than those of the first run"
_TOLD_APART = ("inputs", "inputs_sha256", "configurations")
"""Of the plan: what is told in other words, as it is known before."""


@dataclass(frozen=True)
class Rerun:
    """`verdict`: of the latency, `faster` and the like as of `edgekit compare`; untested where there are too few launches.
    `not_repeated`: what was otherwise than in the first run, in words. `gates`: those of the first run, held again; `second`: what
    was measured once more, as one against the baseline failed."""

    first: Record
    record: Record
    difference: Difference
    not_repeated: tuple[str, ...]
    gates: tuple[GateResult, ...] = ()
    second: Record | None = None

    @property
    def verdict(self) -> str:
        if "invalid" in (self.first.verdict.state, self.record.verdict.state):
            return "invalid"
        by_name = {one.metric: one.change for one in self.difference.metrics}
        changes = [by_name.get(name, "unknown") for name in ("median_latency", "mean_latency")]
        known = next((one for one in changes if one not in ("unknown", "untested")), "untested")
        return {"better": "faster", "worse": "slower"}.get(known, known)

    @property
    def outcome(self) -> Outcome:
        """Of the new run alone, as `edgekit bench` would tell it."""
        return Outcome(self.record, self.gates, self.second)

    def exit_code(self, *, strict: bool = False) -> int:
        """4 where one of the runs is invalid (with `strict` also where one is suspect), 5 where a gate failed, else 0: slower is
        an answer."""
        suspect = "suspect" in (self.first.verdict.state, self.record.verdict.state)
        if self.verdict == "invalid" or (strict and suspect):
            return VerdictError.exit_code
        code = self.outcome.exit_code(strict=strict)
        return code if code in (VerdictError.exit_code, GateError.exit_code) else 0

    def document(self) -> dict[str, Any]:
        """As JSON knows it; gates and a second measurement only where there are any."""
        return {
            "run": self.first.id,
            "rerun": self.record.id,
            "verdict": self.verdict,
            "not_repeated": list(self.not_repeated),
            "difference": self.difference,
            "record": to_builtins(self.record),
            **self.outcome.beside(),
        }


def missing_after(old: Record, new: Record) -> tuple[str, ...]:
    """What the first run has and the second one does not, or not so, for whatever reason."""
    return (*_by_what(old, new), *_plan(old, new), *_energy(old, new), *_data(old, new), *_parts(old, new))


def _by_what(old: Record, new: Record) -> Iterator[str]:
    """Another device, system, runtime, host or edgekit: what the plan says nothing of."""
    a, b = old.device, new.device
    if _changed(a.fingerprint, b.fingerprint) or a.address.partition(":")[0] != b.address.partition(":")[0]:
        yield f"it was measured on {a.model or a.address}; now on {b.model or b.address}, another device"
    elif _changed(a.build_sha256, b.build_sha256):
        yield "it is another device of its kind, or its system was updated"
    one, other = old.runtime, new.runtime
    if _changed(one.version, other.version) or _changed(one.sha256, other.sha256):
        yield f"the runtime was {_runtime(old)}; now {_runtime(new)}"
    if _changed(one.actual_accelerator, other.actual_accelerator):
        yield f"it ran on {one.actual_accelerator}; now on {other.actual_accelerator}"
    if _changed(old.model.recipe_sha256, new.model.recipe_sha256):
        yield "the release with these bytes was made with another recipe"
    was, now = old.environment, new.environment
    if old.edgekit_version != new.edgekit_version:
        yield f"edgekit was {old.edgekit_version}; now {new.edgekit_version}"
    if was is None or now is None:
        return
    if _changed(was.agent_sha256, now.agent_sha256) and old.device.abi == new.device.abi:
        yield "the agent on the device is another build"
    if was.host != now.host:
        yield "it is another host, or its system was updated"
    moved = [
        f"{name} {version}, now {now.versions[name]}"
        for name, version in was.versions.items()
        if name in now.versions and now.versions[name] != version
    ]
    if moved:
        yield f"versions on the host: {'; '.join(moved)}"


def _plan(old: Record, new: Record) -> Iterator[str]:
    was, now = msgspec.to_builtins(old.plan), msgspec.to_builtins(new.plan)
    pairs = [(name, was[name], now[name]) for name in was if name != "other"]
    pairs += [(name, value, now["other"].get(name)) for name, value in was["other"].items()]
    for name, before, after in pairs:
        if name not in _TOLD_APART and before is not None and before != after:
            yield f"plan: {name} was {before}; now {after if after is not None else 'none'}"
    wanted = old.plan.governor
    was_set, is_set = (one.conditions.before.governor for one in (old, new))
    if wanted is not None and was_set == wanted and _changed(wanted, is_set):
        yield f"the governor was {wanted}; now {is_set}"


def _energy(old: Record, new: Record) -> Iterator[str]:
    was, now = old.energy.meter, new.energy.meter
    if was is not None and was != now:
        text = f"now by {now}" if now is not None else f"now it is not: {new.energy.unavailable}"
        yield f"energy was measured by {was}; {text}"


def _data(old: Record, new: Record) -> Iterator[str]:
    if old.accuracy.scored_on == new.accuracy.scored_on == "device" and _changed(
        old.accuracy.data_sha256, new.accuracy.data_sha256
    ):
        yield OTHER_DATA
    was, now = (one.plan.other.get("inputs_sha256") for one in (old, new))
    if _changed(was, now):
        yield OTHER_INPUTS
    elif old.plan.inputs not in (None, "own", new.plan.inputs):
        yield f"{old.plan.inputs} inputs were timed; now {new.plan.inputs} ones"


def _parts(old: Record, new: Record) -> Iterator[str]:
    parts = {"a sustained load": "sustained", "operators": "operators", "throughput": "throughput"}
    gone = [name for name, part in parts.items() if getattr(old, part) and not getattr(new, part)]
    if old.accuracy.scored_on == "device" != new.accuracy.scored_on:
        gone.append("a score on the device")
    notes = "; ".join(new.verdict.notes)
    for name in gone:
        yield f"the first run has {name}, this one has not ({notes or 'no reason is known'})"


def _changed(a: object, b: object) -> bool:
    """What is not known of one of them tells nothing."""
    return a is not None and b is not None and a != b


def _runtime(record: Record) -> str:
    return " ".join(part for part in (record.runtime.name, record.runtime.version) if part)
