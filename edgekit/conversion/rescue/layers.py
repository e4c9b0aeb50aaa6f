"""The layers with the largest errors of their own computed in float, or in 16 bits, as few as bring a model back."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

import msgspec

from edgekit.conversion.job import Job
from edgekit.conversion.layers import probes_for, quantized_layers
from edgekit.conversion.layers.quantized import Probe, ProbedOp, plain_name
from edgekit.conversion.layers.quantized_report import QuantizedReport
from edgekit.conversion.recipes import ProfileLike, Recipe, load_recipe
from edgekit.conversion.recipes.schema import FLOAT, Rule
from edgekit.conversion.rescue.attempts import Outcome, Tries, first_samples
from edgekit.conversion.rescue.choice import Candidate, fewest, in_order
from edgekit.conversion.samples import Samples
from edgekit.conversion.targets.base import Prepared

_ROUNDS = 8
_NAMED = 8
WEIGHTS_ONLY, INT16 = "int8-weight-only", "int16x8"
_FUSED = " + "
"""Between the types of operators of the float model that are one in the quantized one (ONNX)."""
_HOW = {FLOAT: "stay float", INT16: "compute in 16 bits"}


def worst_layers(
    job: Job, prepared: Prepared, samples: Samples, best: Outcome, tries: Tries
) -> Outcome | None:
    """The worst layers in float (in 16 bits where the profile's runtimes take no float), twice as many in each round, until the
    verification passes; then as few as do.

    Each round looks anew: the error of a layer that became float is now that of the conversion in front of the next one.
    """
    recipe, now, target = best.result.recipe, best, job.target
    scheme = wider_scheme(job.profile, target.recipes)
    if prepared.path is None:
        return None
    chosen: list[tuple[str, ...]] = []
    for number in range(_ROUNDS):
        probes = probes_for(job.target.format, prepared.path, now.result.made.path)
        if probes is None:
            return None
        given = first_samples(job, samples, now.result)
        found = in_order(candidates(quantized_layers(*probes, given), *probes, _flat(chosen)))
        failed = len(chosen)
        chosen += [(one.name, *one.parts) for one in found[: 2**number]]
        wider = eased(recipe, _flat(chosen), target.name, scheme)
        made = tries(prepared, wider) if len(chosen) > failed else None
        if made is None:
            return None
        now = made
        if made.verification.state != "failed":
            return _fewer(prepared, recipe, target.name, scheme, chosen, failed, made, tries)
    return None


def wider_scheme(profile: ProfileLike | None, makes: Sequence[str]) -> str:
    """What the worst layers become: float, or int16x8 where the profile's runtimes compute in 16 bits and not in float. Pure."""
    known = {one for precisions in profile.precisions.values() for one in precisions} if profile else set()
    return INT16 if known and "float32" not in known and "int16" in known and INT16 in makes else FLOAT


def _fewer(
    prepared: Prepared,
    recipe: Recipe,
    target: str,
    scheme: str,
    chosen: list[tuple[str, ...]],
    failed: int,
    made: Outcome,
    tries: Tries,
) -> Outcome:
    """As few of the chosen layers as pass, and their weights in int8 where that passes too: most often it is the values
    between layers that do not fit into 8 bits."""

    def passing(count: int, scheme: str = scheme) -> Outcome | None:
        again = tries(prepared, eased(recipe, _flat(chosen[:count]), target, scheme))
        return None if again is None or again.verification.state == "failed" else again

    count, made = fewest(failed, len(chosen), passing) or (len(chosen), made)
    smaller = passing(count, WEIGHTS_ONLY) if scheme == FLOAT else None
    eased_ones = _flat(chosen[:count])
    count = len(eased_ones)
    names = ", ".join(name[:60] for name in eased_ones[:_NAMED])
    more = f" and {count - _NAMED} more" if count > _NAMED else ""
    how = "compute in float, with int8 weights" if smaller is not None else _HOW[scheme]
    return replace(smaller or made, notes=(f"{count} operators {how}: {names}{more}",))


def _flat(chosen: Sequence[tuple[str, ...]]) -> list[str]:
    return list(dict.fromkeys(name for names in chosen for name in names))


def candidates(
    report: QuantizedReport, before: Probe, after: Probe, chosen: Sequence[str] = ()
) -> list[Candidate]:
    """Operators that could stay float, by the float model's name of what they make, without those that do already.

    The error of a conversion (QUANTIZE) is that of the operators which read it: they need what it gives.
    """
    makers: dict[str, ProbedOp] = {before.tensors[op.outputs[0]].name: op for op in before.ops if op.outputs}
    numbers = {name: at for at, name in enumerate(makers)}
    gains: dict[str, float] = {}
    parts: dict[str, tuple[str, ...]] = {}
    made = {after.tensors[op.outputs[0]].name: op for op in after.ops if op.outputs}
    for row in report.ops:
        error = row.own_by_channel if row.own_by_channel is not None else row.own
        if error is None:
            continue
        names = [row.name]
        if row.op == "QUANTIZE":
            readers = [op for op in after.ops if any(after.tensors[n].name == row.name for n in op.inputs)]
            names = [after.tensors[op.outputs[0]].name for op in readers if op.outputs]
        for name in {plain_name(name, numbers) for name in names} - set(chosen):
            if name in makers:
                gains[name] = gains.get(name, 0.0) + error**2
        if _FUSED in row.op and row.name in gains:
            given = {plain_name(after.tensors[n].name, numbers) for n in made[row.name].inputs}
            parts[row.name] = _between(given, row.name, before, makers)

    def cost(name: str) -> int:
        return sum(
            3 * before.elements(n) for one in (name, *parts.get(name, ())) for n in makers[one].weights
        )

    return [Candidate(name, gain, cost(name), parts.get(name, ())) for name, gain in gains.items()]


def _between(given: set[str], last: str, before: Probe, makers: Mapping[str, ProbedOp]) -> tuple[str, ...]:
    """What else the float model computes between `given` and `last`, none where `given` is not all that this starts from. Only the
    last of it in float would leave the rounding where it was: in front of it."""
    found: dict[str, None] = {}
    waiting = [last]
    while waiting:
        for number in makers[waiting.pop()].inputs:
            name = before.tensors[number].name
            if name in given or name in found:
                continue
            if name not in makers:
                return ()
            found[name] = None
            waiting.append(name)
    return tuple(found)


def eased(recipe: Recipe, names: Sequence[str], target: str, scheme: str = FLOAT) -> Recipe:
    """The recipe with these layers in float, before its own rules; or in another scheme, the name of a built-in recipe."""
    why = "its error was too large"
    rules = [Rule(layer=f"^{re.escape(name)}$", target=target, scheme=scheme, why=why) for name in names]
    schemes = (
        dict(recipe.schemes) if scheme == FLOAT else {**recipe.schemes, scheme: load_recipe(scheme).base}
    )
    return msgspec.structs.replace(recipe, rules=(*rules, *recipe.rules), schemes=schemes)
