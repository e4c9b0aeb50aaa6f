"""A quantized model that fell short of its limit, brought back: equalized, biases corrected, its worst layers in float."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import msgspec

from edgekit.conversion.hosts.base import to_stored
from edgekit.conversion.job import Job, Result, Weigh
from edgekit.conversion.layers import probes_for
from edgekit.conversion.layers.onnx_probe import OnnxProbe
from edgekit.conversion.layout import pair
from edgekit.conversion.rescue.attempts import Attempt, Outcome, Tries, first_samples, short
from edgekit.conversion.rescue.bias import bias_corrected
from edgekit.conversion.rescue.equalize import equalized
from edgekit.conversion.rescue.layers import worst_layers
from edgekit.conversion.rescue.onnx_bias import onnx_bias_corrected
from edgekit.conversion.rescue.onnx_equalize import equalized_onnx
from edgekit.conversion.samples import Samples
from edgekit.conversion.targets.base import Prepared
from edgekit.errors import ModelError
from edgekit.events import Event
from edgekit.models.manifest import Rescue, Verification

RESCUABLE = ("tflite", "onnx")
"""Formats whose operators can be run one by one here, which is how the worst layers are found."""
_RANGE_SAMPLES = 32


def rescued(
    job: Job, prepared: Prepared, samples: Samples, fallen: Outcome, attempt: Attempt
) -> Outcome | None:
    """What to take in place of a result that failed its verification; None where nothing passes it.

    Cross-layer equalization and bias correction first, which cost nothing; then the layers with the largest error of their own stay
    float, the fewest that do. Recipes with integers only, and of RESCUABLE formats. Raises what `attempt` does but VerificationError.
    """
    recipe = fallen.result.recipe
    if job.target.format not in RESCUABLE or recipe.arithmetic != "integer" or prepared.path is None:
        return None
    tries = Tries(job, attempt, prepared.request.folder)
    before = short(fallen.verification)
    try:
        float_file, notes = _equalized(job, prepared, samples)
        best = tries(float_file, recipe) if notes else fallen
        if best is None or not _better(best.verification, fallen.verification):
            float_file, notes, best = prepared, (), fallen
        if best.verification.state != "failed":
            return _told(best, fallen, [f"rescued from {before}", *notes])
        if (corrected := _corrected(job, float_file, samples, best, tries)) is not None:
            return _told(corrected, fallen, [f"rescued from {before}", *notes, *corrected.notes])
        found = worst_layers(job, float_file, samples, best, tries)
    except ModelError as error:  # it cannot be looked into: what it was stays the answer
        job.sink(Event("verify", f"no rescue: {error.message}"))
        return None
    return None if found is None else _told(found, fallen, [f"rescued from {before}", *notes, *found.notes])


def weighed(result: Result, fallen: Path, weigh: Weigh | None) -> Result:
    """The result with what its rescue costs in time, where that can be measured."""
    if result.rescue is None or weigh is None or (found := weigh(fallen, result.made.path)) is None:
        return result
    change = 100 * (found.after_us / found.before_us - 1)
    told = f"the rescue's price on {found.device}: {found.before_us:.4g} us became {found.after_us:.4g} ({change:+.1f} %)"
    rescue = msgspec.structs.replace(result.rescue, latency=found)
    return replace(result, rescue=rescue, notes=(*result.notes, told))


def why_not(job: Job, result: Result) -> str:
    """Why --rescue was asked for and there is no result that passes."""
    if job.target.format not in RESCUABLE:
        return f"--rescue is for {' and '.join(RESCUABLE)}, not for {job.target.name}"
    if result.recipe.arithmetic != "integer":
        return f"--rescue is for integers only, not for {result.recipe.name}"
    return "nothing that --rescue tries passes"


def _equalized(job: Job, prepared: Prepared, samples: Samples) -> tuple[Prepared, tuple[str, ...]]:
    """The float model with its channels made alike, and what was done; the same one where there is nothing to do."""
    path, info = prepared.path, prepared.info
    if path is None or info is None or info.signature is None:
        return prepared, ()
    pairing = pair(job.source.signature, info.signature, job.options.layout)
    data = job.calibration if job.calibration is not None else samples.inputs
    given = [
        [to_stored(v, s) for v, s in zip(pairing.to_result(sample), info.signature.inputs, strict=True)]
        for sample in islice(data, _RANGE_SAMPLES)
    ]
    changed = prepared.request.folder / f"equalized{job.target.suffix}"
    if job.target.format == "onnx":
        links = equalized_onnx(path, info.signature, given, changed)
    else:
        found = equalized(path.read_bytes(), info.signature, given)
        links = 0 if found is None else found.links
        if found is not None:
            changed.write_bytes(found.data)
    if not links:
        return prepared, ()
    words = f"cross-layer equalization of {links} groups of layers (float outputs bit for bit equal)"
    return replace(prepared, path=changed), (words,)


def _corrected(job: Job, prepared: Prepared, samples: Samples, best: Outcome, tries: Tries) -> Outcome | None:
    """The same with its biases corrected, where that passes."""
    probes = (
        None if prepared.path is None else probes_for(job.target.format, prepared.path, best.result.made.path)
    )
    if probes is None:
        return None
    data = best.result.made.path.read_bytes()
    given = first_samples(job, samples, best.result, _RANGE_SAMPLES)
    before, after = probes
    if isinstance(before, OnnxProbe) and isinstance(after, OnnxProbe):
        corrected, count = onnx_bias_corrected(data, before, after, given)
    else:
        corrected, count = bias_corrected(data, before, after, given)
    # the same float file by the same recipe gives the same bytes: these are the corrected ones
    made = (
        tries(prepared, best.result.recipe, lambda again: corrected if again == data else again)
        if count
        else None
    )
    if made is None or made.verification.state == "failed":
        return None
    return replace(made, notes=(f"bias correction of {count} operators",))


def _better(new: Verification, old: Verification) -> bool:
    if new.state != "failed" or old.state != "failed":
        return new.state != "failed"
    if new.accuracy is not None and old.accuracy is not None and new.accuracy.drop != old.accuracy.drop:
        return new.accuracy.drop < old.accuracy.drop
    return (new.snr_db or 0.0) > (old.snr_db or 0.0)


def _told(found: Outcome, fallen: Outcome, notes: Sequence[str]) -> Outcome:
    """With the price in bytes; what it costs in time only a device can tell."""
    before, after = (outcome.result.made.path.stat().st_size for outcome in (fallen, found))
    price = f"{before:,} bytes became {after:,} ({100 * (after / before - 1):+.1f} %)"
    told = f"{'; '.join(notes)}; now {short(found.verification)}; {price}"
    rescue = Rescue(steps=tuple(notes[1:]), size_bytes_before=before, size_bytes=after)
    result = replace(found.result, notes=(*found.result.notes, told), rescue=rescue)
    return replace(found, result=result, notes=(told,))
