"""`convert`: from a model anywhere to an artifact, verified against its source."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from edgekit import events, registry
from edgekit._version import __version__
from edgekit.conversion.datasets import DataSet, load_dataset
from edgekit.conversion.extras import versions
from edgekit.conversion.interpreter import HostModel, to_stored
from edgekit.conversion.recipes import Choice, ProfileLike, choose
from edgekit.conversion.samples import (
    GOLDEN_COUNT,
    Samples,
    raw,
    samples_for_calibration,
    samples_for_verification,
    spread,
)
from edgekit.conversion.sources.base import LoadedSource, find_source
from edgekit.conversion.targets.base import Converted, Target
from edgekit.conversion.verify import compare, judge
from edgekit.devices.layout import checked_name
from edgekit.errors import BugError, InputError, ModelError, VerificationError
from edgekit.events import Event, Sink
from edgekit.models.artifact import (
    SUFFIX,
    Artifact,
    Golden,
    Manifest,
    Named,
    Verification,
    entry_for,
    is_artifact,
    write_artifact,
)
from edgekit.models.info import ModelInfo, Signature
from edgekit.models.inspect import inspect_tflite

_GOLDEN_INPUTS, _GOLDEN_OUTPUTS = "golden/inputs.bin", "golden/outputs.bin"
GOLDEN_TOLERANCES = {"float32": 1e-5, "float16": 2e-3}
"""Another processor picks other kernels, which add in another order; integer models round differently too."""
_INTEGER_GOLDEN_TOLERANCE = 0.05


@dataclass(frozen=True)
class _Job:
    """What one conversion works on."""

    source: LoadedSource
    info: ModelInfo
    signature: Signature
    profile: ProfileLike | None
    calibration: DataSet | None
    evaluation: DataSet | None
    sink: Sink


def convert(
    source: str | Path,
    *,
    profile: ProfileLike | None = None,
    recipe: str | None = None,
    calibration: str | Path | None = None,
    evaluation: str | Path | None = None,
    output: str | Path | None = None,
    name: str | None = None,
    to: str | None = None,
    sink: Sink = events.ignore,
) -> Artifact:
    """Convert, quantize and verify a model; write the artifact `output` (default NAME.ekm in the current folder).

    `source`: a .tflite, Keras or .pt2 file, a SavedModel folder, or `package.module:factory`. `recipe`: float32,
    float16, int8-dynamic, int8-static or as-is; None takes the first one of the profile's preferences that is
    possible here. `calibration`, `evaluation`: .npz files (see edgekit.conversion.datasets). `to`: the format to
    make (default: the first of the profile's formats that can be made here, else tflite). `name`: as a release
    may be called (InputError E_NAME); without it the source's, made into one.

    The artifact's verification is "passed" or "inconclusive"; a conversion that failed it is not written.
    Raises InputError (data, recipe), ModelError (the source), MissingExtra, ToolError, HostError,
    VerificationError: E_ACCURACY_DROP, E_CONVERSION_MISMATCH, E_SIGNATURE, E_NOTHING_QUANTIZED.
    """
    label = checked_name(name, "model name") if name is not None else None
    sink(Event("convert", f"reading {source}"))
    target = _target(profile, to)
    loaded = find_source(source).load(str(source), sink)
    label = label or safe_name(loaded.name)
    folder = output_folder(output, label)
    job = _prepare(loaded, profile, calibration, evaluation, sink)
    choice = choose(job.info, requested=recipe, profile=profile, has_calibration=job.calibration is not None)
    recipe_used, made, notes = _first_possible(job, target, choice, fixed=recipe is not None)
    after = inspect_tflite(made.data, f"the {recipe_used} model")
    _same_signature(job.signature, after)
    result = HostModel(made.data, f"the {recipe_used} model")
    verification, samples = _verify(job, result, recipe_used)
    _enforce(verification)
    golden, files = _golden(result, samples, recipe_used)
    model = entry_for(f"model{target.suffix}", made.data)
    manifest = Manifest(
        name=label,
        format=target.format,
        recipe=recipe_used,
        model=model,
        source=loaded.origin,
        profile=Named(name=profile.name, sha256=profile.sha256) if profile else None,
        calibration=_named(job.calibration),
        evaluation=_named(job.evaluation),
        tools={"edgekit": __version__, **versions("numpy"), **loaded.tools, **made.tools},
        signature=after.signature or job.signature,
        quantization=after.quantization,
        verification=verification,
        golden=golden,
        notes=(*loaded.notes, *notes, *made.notes),
    )
    return write_artifact(folder, manifest, {model.file: made.data, **files})


def safe_name(name: str) -> str:
    """A model's name as folders on devices take it: letters, digits, `.`, `_`, `-`, at most 100."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip(".-")[:100] or "model"


def output_folder(output: str | Path | None, name: str) -> Path:
    """Where the artifact goes: `output` itself, or NAME.ekm in it where it is a folder that is no artifact.

    Raises InputError E_OUTPUT where `output` is a file or is named like a model file.
    """
    if output is None:
        return Path(f"{name}{SUFFIX}")
    path = Path(output)
    if path.is_dir() and not is_artifact(path) and path.suffix != SUFFIX:
        return path / f"{name}{SUFFIX}"
    if path.is_file() or path.suffix in (".tflite", ".onnx", ".pte"):
        raise InputError(
            f"the output {path} is named like a file, an artifact is a folder",
            code="E_OUTPUT",
            hint=f"use -o {path.with_suffix(SUFFIX)}",
        )
    return path


def _target(profile: ProfileLike | None, to: str | None) -> Target:
    """The target plug-in for a format. Raises InputError E_NO_TARGET."""
    wanted = (to,) if to else tuple(profile.formats) if profile and profile.formats else ("tflite",)
    for name in wanted:
        if name in registry.plugins("targets"):
            plugin = registry.load("targets", name)
            target: Target = plugin() if isinstance(plugin, type) else plugin
            return target
    known = ", ".join(sorted(registry.plugins("targets"))) or "nothing"
    raise InputError(
        f"nothing installed here makes {' or '.join(wanted)} (there is: {known})",
        code="E_NO_TARGET",
        hint="`edgekit plugins` lists the targets",
    )


def _prepare(
    loaded: LoadedSource,
    profile: ProfileLike | None,
    calibration: str | Path | None,
    evaluation: str | Path | None,
    sink: Sink,
) -> _Job:
    info = inspect_tflite(loaded.tflite, loaded.origin.name)
    if info.signature is None or not info.signature.inputs or not info.signature.outputs:
        raise ModelError(f"{loaded.origin.name} has no inputs or no outputs", code="E_MODEL_INPUT")
    specs = info.signature.inputs
    return _Job(
        source=loaded,
        info=info,
        signature=info.signature,
        profile=profile,
        calibration=load_dataset(Path(calibration), specs, role="calibration") if calibration else None,
        evaluation=load_dataset(Path(evaluation), specs, role="evaluation") if evaluation else None,
        sink=sink,
    )


def _first_possible(
    job: _Job, target: Target, choice: Choice, *, fixed: bool
) -> tuple[str, Converted, tuple[str, ...]]:
    """Make the model with the first recipe that changes it; a recipe the user asked for is the only one."""
    notes = list(choice.notes)
    samples = samples_for_calibration(job.calibration)
    for recipe in choice.recipes:
        try:
            return recipe, target.make(job.source.tflite, job.info, recipe, samples, job.sink), tuple(notes)
        except VerificationError as error:
            if fixed or recipe == choice.recipes[-1] or error.code != "E_NOTHING_QUANTIZED":
                raise
            notes.append(f"not {recipe}: {error.message}")
    raise BugError("no recipe was chosen")


def _same_signature(before: Signature, after: ModelInfo) -> None:
    """Names, types and shapes of inputs and outputs stay: what calls the model does not have to change."""

    def interface(signature: Signature | None) -> list[tuple[str, str, tuple[int, ...]]]:
        specs = (*signature.inputs, *signature.outputs) if signature else ()
        return [(spec.name, spec.dtype, spec.shape) for spec in specs]

    if interface(before) != interface(after.signature):
        raise VerificationError(
            f"the conversion changed inputs or outputs: {interface(before)} became {interface(after.signature)}",
            code="E_SIGNATURE",
            hint="try another --recipe",
        )


def _verify(job: _Job, result: HostModel, recipe: str) -> tuple[Verification, Samples]:
    samples = samples_for_verification(job.signature.inputs, job.evaluation, job.calibration)
    max_drop = job.profile.recipe.max_accuracy_drop if job.profile else None
    names = [spec.name for spec in job.signature.outputs]
    compared = compare(job.source.run, result.run_real, samples, names, max_drop, job.sink)
    return judge(compared, recipe, samples), samples


def _enforce(verification: Verification) -> None:
    """Raises VerificationError where the result is wrong; an inconclusive one is for the caller to accept."""
    if verification.state != "failed":
        return
    fell = any(reason.startswith("accuracy fell") for reason in verification.reasons)
    raise VerificationError(
        "; ".join(verification.reasons),
        code="E_ACCURACY_DROP" if fell else "E_CONVERSION_MISMATCH",
        hint="try another --recipe, or calibration data that is more like what the model will see",
    )


def _golden(result: HostModel, samples: Samples, recipe: str) -> tuple[Golden, dict[str, bytes]]:
    """A few samples with what the converted model gives for them here, for the check on the device."""
    picked = [samples.inputs[i] for i in spread(len(samples.inputs), GOLDEN_COUNT)]
    given = [[to_stored(v, d) for v, d in zip(sample, result.inputs, strict=True)] for sample in picked]
    inputs, outputs = raw(given), raw([result.run(sample) for sample in given])
    golden = Golden(
        samples=len(picked),
        inputs=entry_for(_GOLDEN_INPUTS, inputs),
        outputs=entry_for(_GOLDEN_OUTPUTS, outputs),
        tolerance=GOLDEN_TOLERANCES.get(recipe, _INTEGER_GOLDEN_TOLERANCE),
    )
    return golden, {_GOLDEN_INPUTS: inputs, _GOLDEN_OUTPUTS: outputs}


def _named(data: DataSet | None) -> Named | None:
    return Named(name=data.name, sha256=data.sha256, samples=len(data)) if data else None
