"""A TFLite model that fell short of its limit, brought back: equalized, then with its worst layers in float."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from edgekit.conversion.hosts.base import to_stored
from edgekit.conversion.job import Job, Result
from edgekit.conversion.layers import probes_for, quantized_layers
from edgekit.conversion.layers.quantized import MAX_SAMPLES, Probe, ProbedOp, plain_name
from edgekit.conversion.layers.quantized_report import QuantizedReport
from edgekit.conversion.recipes import Recipe, load_recipe
from edgekit.conversion.recipes.schema import FLOAT, Rule
from edgekit.conversion.rescue.bias import bias_corrected
from edgekit.conversion.rescue.choice import Candidate, fewest, in_order
from edgekit.conversion.rescue.equalize import equalized
from edgekit.conversion.samples import Samples
from edgekit.conversion.targets.base import Prepared
from edgekit.errors import ModelError, VerificationError
from edgekit.events import Event
from edgekit.models.artifact import Verification

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_RANGE_SAMPLES = 32
_ROUNDS = 8
WEIGHTS_ONLY = "int8-weight-only"
_NAMED = 8


@dataclass(frozen=True)
class Outcome:
    """A result, its verification, and what was done for it in words."""

    result: Result
    verification: Verification
    notes: tuple[str, ...] = ()


class Attempt(Protocol):
    def __call__(self, prepared: Prepared, recipe: Recipe, edit: Edit | None = None) -> Outcome:
        """Make a model of another float file, by another recipe, or with its file edited, and verify it. Raises
        VerificationError, ToolError."""


Edit = Callable[[bytes], bytes]


def rescued(
    job: Job, prepared: Prepared, samples: Samples, fallen: Outcome, attempt: Attempt
) -> Outcome | None:
    """What to take in place of a result that failed its verification; None where nothing passes it.

    Cross-layer equalization and bias correction first, which cost nothing; then the layers with the largest error of their own stay
    float, the fewest that do. Only for TFLite by recipes with integers. Raises what `attempt` does but VerificationError.
    """
    recipe = fallen.result.recipe
    if job.target.format != "tflite" or recipe.arithmetic != "integer" or prepared.path is None:
        return None
    tries = _Tries(job, attempt, prepared.request.folder)
    before = _short(fallen.verification)
    try:
        float_file, notes = _equalized(job, prepared, samples)
        best = tries(float_file, recipe) if notes else fallen
        if best is None or not _better(best.verification, fallen.verification):
            float_file, notes, best = prepared, (), fallen
        if best.verification.state != "failed":
            return _told(best, fallen, [f"rescued from {before}", *notes])
        if (corrected := _corrected(job, float_file, samples, best, tries)) is not None:
            return _told(corrected, fallen, [f"rescued from {before}", *notes, *corrected.notes])
        found = _worst_in_float(job, float_file, samples, best, tries)
    except ModelError as error:  # it cannot be looked into: what it was stays the answer
        job.sink(Event("verify", f"no rescue: {error.message}"))
        return None
    return None if found is None else _told(found, fallen, [f"rescued from {before}", *notes, *found.notes])


class _Tries:
    """Attempts, each in a folder of its own: the file of an earlier one is still needed."""

    def __init__(self, job: Job, attempt: Attempt, folder: Path) -> None:
        self._job, self._attempt, self._folder, self._count = job, attempt, folder, 0

    def __call__(self, prepared: Prepared, recipe: Recipe, edit: Edit | None = None) -> Outcome | None:
        self._count += 1
        folder = self._folder / f"rescue-{self._count}"
        folder.mkdir()
        try:
            apart = replace(prepared, request=replace(prepared.request, folder=folder))
            made = self._attempt(apart, recipe, edit)
        except VerificationError as error:
            self._job.sink(Event("verify", f"rescue, attempt {self._count}: {error.message}"))
            return None
        self._job.sink(Event("verify", f"rescue, attempt {self._count}: {_short(made.verification)}"))
        return made


def _equalized(job: Job, prepared: Prepared, samples: Samples) -> tuple[Prepared, tuple[str, ...]]:
    """The float model with its channels made alike, and what was done; the same one where there is nothing to do."""
    path, info = prepared.path, prepared.info
    if path is None or info is None or info.signature is None:
        return prepared, ()
    given = [
        [to_stored(value, spec) for value, spec in zip(sample, info.signature.inputs, strict=True)]
        for sample in islice(
            job.calibration if job.calibration is not None else samples.inputs, _RANGE_SAMPLES
        )
    ]
    found = equalized(path.read_bytes(), info.signature, given)
    if found is None:
        return prepared, ()
    changed = prepared.request.folder / "equalized.tflite"
    changed.write_bytes(found.data)
    words = f"cross-layer equalization of {found.links} pairs of layers (float outputs bit for bit equal)"
    return replace(prepared, path=changed), (words,)


def _corrected(
    job: Job, prepared: Prepared, samples: Samples, best: Outcome, tries: _Tries
) -> Outcome | None:
    """The same with its biases corrected, where that passes."""
    probes = (
        None if prepared.path is None else probes_for(job.target.format, prepared.path, best.result.made.path)
    )
    if probes is None:
        return None
    data = best.result.made.path.read_bytes()
    corrected, count = bias_corrected(data, *probes, _first(job, samples, best.result, _RANGE_SAMPLES))
    # the same float file by the same recipe gives the same bytes: these are the corrected ones
    made = (
        tries(prepared, best.result.recipe, lambda again: corrected if again == data else again)
        if count
        else None
    )
    if made is None or made.verification.state == "failed":
        return None
    return replace(made, notes=(f"bias correction of {count} operators",))


def _first(job: Job, samples: Samples, result: Result, count: int = MAX_SAMPLES) -> list[list[Array]]:
    """The first samples as the result takes them, of the calibration data where there are some."""
    data = job.calibration if job.calibration is not None else samples.inputs
    return [result.pairing.to_result(sample) for sample in islice(data, count)]


def _worst_in_float(
    job: Job, prepared: Prepared, samples: Samples, best: Outcome, tries: _Tries
) -> Outcome | None:
    """The worst layers in float, twice as many in each round, until the verification passes; then as few as do.

    Each round looks anew: the error of a layer that became float is now that of the conversion in front of the next one.
    """
    recipe, now = best.result.recipe, best
    if prepared.path is None:
        return None
    chosen: list[str] = []
    for number in range(_ROUNDS):
        probes = probes_for(job.target.format, prepared.path, now.result.made.path)
        if probes is None:
            return None
        given = _first(job, samples, now.result)
        found = in_order(candidates(quantized_layers(*probes, given), *probes, chosen))
        failed = len(chosen)
        chosen += [one.name for one in found[: 2**number]]
        made = tries(prepared, in_float(recipe, chosen)) if len(chosen) > failed else None
        if made is None:
            return None
        now = made
        if made.verification.state != "failed":
            return _fewer(prepared, recipe, chosen, failed, made, tries)
    return None


def _fewer(
    prepared: Prepared, recipe: Recipe, chosen: list[str], failed: int, made: Outcome, tries: _Tries
) -> Outcome:
    """As few of the chosen layers as pass, and their weights in int8 where that passes too: most often it is the values
    between layers that do not fit into 8 bits."""

    def passing(count: int, scheme: str = FLOAT) -> Outcome | None:
        again = tries(prepared, in_float(recipe, chosen[:count], scheme))
        return None if again is None or again.verification.state == "failed" else again

    count, made = fewest(failed, len(chosen), passing) or (len(chosen), made)
    smaller = passing(count, WEIGHTS_ONLY)
    names = ", ".join(name[:60] for name in chosen[: min(count, _NAMED)])
    more = f" and {count - _NAMED} more" if count > _NAMED else ""
    how = "stay float" if smaller is None else "compute in float, with int8 weights"
    return replace(smaller or made, notes=(f"{count} operators {how}: {names}{more}",))


def candidates(
    report: QuantizedReport, before: Probe, after: Probe, chosen: Sequence[str] = ()
) -> list[Candidate]:
    """Operators that could stay float, by the float model's name of what they make, without those that do already.

    The error of a conversion (QUANTIZE) is that of the operators which read it: they need what it gives.
    """
    makers: dict[str, ProbedOp] = {before.tensors[op.outputs[0]].name: op for op in before.ops if op.outputs}
    numbers = {name: at for at, name in enumerate(makers)}
    gains: dict[str, float] = {}
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
    costs = {name: sum(3 * before.elements(n) for n in makers[name].weights) for name in gains}
    return [Candidate(name, gain, costs[name]) for name, gain in gains.items()]


def in_float(recipe: Recipe, names: Sequence[str], scheme: str = FLOAT) -> Recipe:
    """The recipe with these layers in float, before its own rules; or in another scheme, the name of a built-in recipe."""
    why = "its error was too large"
    rules = [Rule(layer=f"^{re.escape(name)}$", target="tflite", scheme=scheme, why=why) for name in names]
    schemes = (
        dict(recipe.schemes) if scheme == FLOAT else {**recipe.schemes, scheme: load_recipe(scheme).base}
    )
    return msgspec.structs.replace(recipe, rules=(*rules, *recipe.rules), schemes=schemes)


def _better(new: Verification, old: Verification) -> bool:
    if new.state != "failed" or old.state != "failed":
        return new.state != "failed"
    if new.accuracy is not None and old.accuracy is not None and new.accuracy.drop != old.accuracy.drop:
        return new.accuracy.drop < old.accuracy.drop
    return (new.snr_db or 0.0) > (old.snr_db or 0.0)


def _short(verification: Verification) -> str:
    found = verification.accuracy
    parts = [] if found is None else [f"{found.metric} {found.value:.4f} (source {found.source_value:.4f})"]
    parts += [] if verification.snr_db is None else [f"SNR {verification.snr_db:.1f} dB"]
    return ", ".join(parts) or "; ".join(verification.reasons)


def _told(found: Outcome, fallen: Outcome, notes: Sequence[str]) -> Outcome:
    """With the price: bytes here; what it costs in time, a bench on the device tells."""
    sizes = [outcome.result.made.path.stat().st_size for outcome in (fallen, found)]
    price = f"{sizes[0]:,} bytes became {sizes[1]:,} ({100 * (sizes[1] / sizes[0] - 1):+.1f} %)"
    told = f"{'; '.join(notes)}; now {_short(found.verification)}; {price}"
    result = replace(found.result, notes=(*found.result.notes, told))
    return replace(found, result=result, notes=(told,))
