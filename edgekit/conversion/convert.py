"""`convert`: from a model anywhere to an artifact, verified against its source."""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit import events, registry
from edgekit.cache import cache_dir, host_errors
from edgekit.conversion import store
from edgekit.conversion.calibration import CalibrationData, far_apart, load_calibration
from edgekit.conversion.checks import require_runnable
from edgekit.conversion.datasets import load_dataset
from edgekit.conversion.extras import is_function
from edgekit.conversion.hosts.base import to_stored
from edgekit.conversion.job import Job, Result, Weigh
from edgekit.conversion.layout import Pairing, pair, with_sizes
from edgekit.conversion.options import ConvertOptions
from edgekit.conversion.packing import write
from edgekit.conversion.recipes import Choice, ProfileLike, Recipe, choose, load_recipe, with_method
from edgekit.conversion.samples import Samples, samples_for_verification
from edgekit.conversion.sources.base import LoadOptions, find_source
from edgekit.conversion.targets.base import Made, Prepared, Request, Stream, Target
from edgekit.conversion.task import load_metric
from edgekit.conversion.verify import compare, judge, past_limit
from edgekit.errors import BugError, HostDiskFull, InputError, ToolError, VerificationError
from edgekit.events import Event, Sink
from edgekit.models.artifact import (
    SUFFIX,
    Artifact,
    Verification,
    is_artifact,
)
from edgekit.models.info import Signature, TensorSpec
from edgekit.names import checked_name

if TYPE_CHECKING:
    from edgekit.conversion.auto import Auto
    from edgekit.conversion.layers import LayerReport


@dataclass(frozen=True)
class Conversion:
    """An artifact, and how it came about. `seconds` by phase: read, convert, verify, write (nothing but `cached`
    where it came from the cache)."""

    artifact: Artifact
    seconds: dict[str, float]
    cached: bool = False
    layers: LayerReport | None = None
    auto: Auto | None = None
    """With recipe auto: what it was picked from."""


def convert(
    source: str | Path,
    *,
    profile: ProfileLike | None = None,
    options: ConvertOptions | None = None,
    output: str | Path | None = None,
    name: str | None = None,
    debug_layers: bool = False,
    weigh: Weigh | None = None,
    sink: Sink = events.ignore,
) -> Conversion:
    """Convert, quantize and verify a model; write the artifact `output` (default NAME.ekm in the current folder).

    `source`: a model file or folder, or `package.module:factory`. `name`: as a release may be called (InputError
    E_NAME); without it the source's, made into one. A conversion of the same bytes with the same options, tools and
    data comes from the cache. `debug_layers`: also trace both models operator by operator. `weigh`: told of a rescue, it measures
    what that costs in time.

    The artifact's verification is "passed" or "inconclusive"; a conversion that failed it is not written.
    Raises InputError (data, recipe), ModelError (the source), MissingExtra, ToolError, HostError,
    VerificationError: E_ACCURACY_DROP, E_CONVERSION_MISMATCH, E_SIGNATURE, E_NOTHING_QUANTIZED.
    """
    asked = options or ConvertOptions()
    label = _checked(name)
    recipe = with_method(load_recipe(asked.recipe), asked.calibration_method) if asked.recipe else None
    target = find_target(profile, asked.to)
    require_runnable(profile, target, None, recipe.name if recipe else target.recipes[0])
    key = None if debug_layers else store.key_of(source, asked, target, profile, label)
    if (
        key is not None
        and (found := store.recall(key)) is not None
        and not (
            weigh is not None and found.artifact.manifest.rescue is not None
        )  # its price is another device's
    ):
        sink(Event("convert", f"{source} was converted before: taken from the cache"))
        artifact = found.copied_to(output_folder(output, found.name))
        return Conversion(artifact, {"cached": 0.0}, cached=True)
    scratch = _scratch()
    try:
        with host_errors(scratch):
            done = _convert(
                source, target, recipe, profile, asked, output, label, scratch, debug_layers, weigh, sink
            )
    except ToolError as error:
        raise _disk_full(error) or error from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    rescue = done.artifact.manifest.rescue
    measured = rescue is not None and rescue.latency is not None
    if key is not None and not measured and key == store.key_of(source, asked, target, profile, label):
        store.remember(key, done.artifact)
    return done


def _convert(
    source: str | Path,
    target: Target,
    recipe: Recipe | None,
    profile: ProfileLike | None,
    options: ConvertOptions,
    output: str | Path | None,
    label: str | None,
    scratch: Path,
    debug_layers: bool,
    weigh: Weigh | None,
    sink: Sink,
) -> Conversion:
    job = _read(source, target, recipe, profile, options, sink)
    label = label or safe_name(job.source.name)
    with host_errors(str(output)[:200]):
        folder = output_folder(output, label)
    began = time.monotonic()
    prepared, result, samples = _make(job, scratch)
    job.seconds["convert"] = time.monotonic() - began
    began = time.monotonic()
    verification = _verify(job, result, samples)
    if options.rescue and verification.state == "failed":
        result, verification = _rescued(job, prepared, result, samples, verification, weigh)
    layers = _layers_of(job, result, samples) if debug_layers else None
    job.seconds["verify"] = time.monotonic() - began
    try:
        _enforce(verification, _no_rescue(job, result) if options.rescue else "")
    except VerificationError as error:
        error.layers = layers
        raise
    began = time.monotonic()
    artifact = write(job, result, samples, verification, label, folder)
    job.seconds["write"] = time.monotonic() - began
    return Conversion(artifact, {k: round(v, 3) for k, v in job.seconds.items()}, layers=layers)


def _scratch() -> Path:
    """A folder of this conversion's own. Those of processes that were killed are cleared away."""
    parent = cache_dir("scratch")
    for folder in parent.glob("convert-*-*"):
        owner = folder.name.split("-")[1]
        if owner.isdecimal() and not Path(f"/proc/{owner}").exists() and Path("/proc/self").exists():
            shutil.rmtree(folder, ignore_errors=True)
    with host_errors(parent):
        return Path(tempfile.mkdtemp(prefix=f"convert-{os.getpid()}-", dir=parent))


def _disk_full(error: ToolError) -> HostDiskFull | None:
    """A tool that failed for want of disk is not at fault."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
            return HostDiskFull(
                f"this host's disk is full: {error.message}", hint="free space, or set EDGEKIT_CACHE_DIR"
            )
        cause = cause.__cause__ or cause.__context__
    return None


def _checked(name: str | None) -> str | None:
    """The name as devices take it."""
    return None if name is None else checked_name(name, "model name")


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
    if path.is_file() or path.suffix in (".tflite", ".onnx", ".pte", ".mlpackage"):
        raise InputError(
            f"the output {path} is named like a file, an artifact is a folder",
            code="E_OUTPUT",
            hint=f"use -o {path.with_suffix(SUFFIX)}",
        )
    return path


def find_target(profile: ProfileLike | None, to: str | None) -> Target:
    """The target plug-in for a format. Raises InputError E_NO_TARGET."""
    wanted = (
        (to,) if to is not None else tuple(profile.formats) if profile and profile.formats else ("tflite",)
    )
    for name in wanted:
        if name in registry.plugins("targets"):
            plugin = registry.load("targets", name)
            target: Target = plugin() if isinstance(plugin, type) else plugin
            return target
    known = ", ".join(sorted(registry.plugins("targets"))) or "nothing"
    hint = "Core ML is a package of its own: pip install edgekit-ios" if "coreml" in wanted else None
    raise InputError(
        f"nothing installed here makes {' or '.join(wanted)} (there is: {known})",
        code="E_NO_TARGET",
        hint=hint or "`edgekit plugins` lists the targets",
    )


def _read(
    source: str | Path,
    target: Target,
    recipe: Recipe | None,
    profile: ProfileLike | None,
    options: ConvertOptions,
    sink: Sink,
) -> Job:
    began = time.monotonic()
    sink(Event("convert", f"reading {source}"))
    plugin = find_source(source)
    loaded = plugin.load(str(source), LoadOptions(options.trust, dict(options.shapes), sink))
    specs = loaded.signature.inputs
    evaluation = str(options.evaluation) if options.evaluation is not None else None
    own = evaluation is not None and is_function(evaluation)
    job = Job(
        source=loaded,
        target=target,
        options=options,
        recipe=recipe,
        profile=profile,
        calibration=load_calibration(
            options.calibration, specs, preprocess=options.preprocess, trust=options.trust, sink=sink
        )
        if options.calibration is not None
        else None,
        evaluation=load_dataset(Path(evaluation), specs, role="evaluation")
        if evaluation is not None and not own
        else None,
        metric=load_metric(evaluation, trust=options.trust) if evaluation is not None and own else None,
        sink=sink,
    )
    job.seconds["read"] = time.monotonic() - began
    return job


def _make(job: Job, scratch: Path) -> tuple[Prepared, Result, Samples]:
    """The converted model. Inputs to judge it by are made up first: text inputs end here, not after the work."""
    samples = samples_for_verification(
        job.source.signature.inputs, job.evaluation, job.calibration, job.source.token_limits
    )
    prepared = job.target.prepare(Request(job.source, job.options.layout, scratch, job.sink))
    choice = choose(
        prepared.info,
        requested=job.recipe,
        profile=job.profile,
        has_calibration=job.calibration is not None,
        possible=job.target.recipes,
        target=job.target.name,
        came=prepared.came.info if prepared.came else None,
        untaken=prepared.untaken,
    )
    if prepared.info is not None:
        require_runnable(job.profile, job.target, prepared.info, choice.recipes[0])
    recipe, made, notes = _first_possible(job, prepared, choice)
    return prepared, _opened(job, recipe, made, notes), samples


def _opened(job: Job, recipe: Recipe, made: Made, notes: tuple[str, ...]) -> Result:
    """What was made, loaded on this host, and whether the profile's runtimes can run it."""
    notes = (*notes, *require_runnable(job.profile, job.target, made.info, recipe.name))
    if job.calibration is not None and job.evaluation is not None:
        notes = (*notes, *far_apart(job.calibration, job.evaluation.arrays))
    pairing = pair(job.source.signature, made.signature, job.options.layout)
    sized = with_sizes(made.signature, job.source.signature, job.options.layout)
    host = job.target.open(made.path, sized, f"the {recipe.name} model")
    return Result(recipe, made, host, pairing, notes)


def _rescued(
    job: Job,
    prepared: Prepared,
    result: Result,
    samples: Samples,
    verification: Verification,
    weigh: Weigh | None,
) -> tuple[Result, Verification]:
    """A result that passes in place of one that failed, and its price; the same one where there is none."""
    from edgekit.conversion.rescue import Edit, Outcome, rescued, weighed  # not needed where all is well

    def attempt(prepared: Prepared, recipe: Recipe, edit: Edit | None = None) -> Outcome:
        made = job.target.make(prepared, recipe, _stored(job, prepared))
        if edit is not None:
            made.path.write_bytes(edit(made.path.read_bytes()))
        again = _opened(job, recipe, made, result.notes)
        return Outcome(again, _verify(job, again, samples))

    found = rescued(job, prepared, samples, Outcome(result, verification), attempt)
    if found is None:
        return result, verification
    return weighed(found.result, result.made.path, weigh), found.verification


def _first_possible(job: Job, prepared: Prepared, choice: Choice) -> tuple[Recipe, Made, tuple[str, ...]]:
    """Make the model with the first recipe that changes it; a recipe the user asked for is the only one."""
    notes, fixed = list(choice.notes), job.options.recipe is not None
    samples = _stored(job, prepared)
    for recipe in choice.loaded:
        try:
            return recipe, job.target.make(prepared, recipe, samples), tuple(notes)
        except VerificationError as error:
            if fixed or recipe == choice.loaded[-1] or error.code != "E_NOTHING_QUANTIZED":
                raise
            notes.append(f"not {recipe.name}: {error.message}")
    raise BugError("no recipe was chosen")


def _stored(job: Job, prepared: Prepared) -> Stream:
    """The calibration data as the prepared model takes them."""
    if job.calibration is None:
        return ()
    if prepared.info is None or prepared.info.signature is None:
        return job.calibration
    pairing = pair(job.source.signature, prepared.info.signature, job.options.layout)
    return _Stored(job.calibration, pairing, prepared.info.signature.inputs)


@dataclass(frozen=True)
class _Stored:
    """The source's samples as the prepared model takes them, one at a time."""

    data: CalibrationData
    pairing: Pairing
    specs: tuple[TensorSpec, ...]

    def __len__(self) -> int:
        return len(self.data)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        for sample in self.data:
            given = self.pairing.to_result(sample)
            yield tuple(to_stored(v, s) for v, s in zip(given, self.specs, strict=True))


def _verify(job: Job, result: Result, samples: Samples) -> Verification:
    max_drop = job.profile.recipe.max_accuracy_drop if job.profile else None
    names = [spec.name for spec in job.source.signature.outputs]
    compared = compare(job.source.run, result.run, samples, names, max_drop, job.sink)
    if job.metric is not None:
        signature = job.source.signature
        accuracy = job.metric.accuracy(
            _by_name(job.source.run, signature), _by_name(result.run, signature), max_drop
        )
        compared = replace(compared, accuracy=accuracy)
    return judge(compared, result.recipe.arithmetic, samples)


def _by_name(
    run: Callable[[Any], list[Any]], signature: Signature
) -> Callable[[Mapping[str, Any]], Mapping[str, Any]]:
    def by_name(given: Mapping[str, Any]) -> Mapping[str, Any]:
        import numpy as np

        values = [np.asarray(given[spec.name], dtype=spec.dtype) for spec in signature.inputs]
        return dict(zip([spec.name for spec in signature.outputs], run(values), strict=True))

    return by_name


def _layers_of(job: Job, result: Result, samples: Samples) -> LayerReport:
    from edgekit.conversion.debugging import layers_of  # not needed by a conversion that is not looked into

    return layers_of(job, result, samples)


def _no_rescue(job: Job, result: Result) -> str:
    from edgekit.conversion.rescue import why_not

    return why_not(job, result)


def _enforce(verification: Verification, no_rescue: str = "") -> None:
    """Raises VerificationError where the result is wrong; an inconclusive one is for the caller to accept. `no_rescue`: why it
    was not brought back, where that was asked for."""
    if verification.state != "failed":
        return
    found = verification.accuracy
    fell = found is not None and past_limit(found)
    raise VerificationError(
        "; ".join((*verification.reasons, *([no_rescue] if no_rescue else []))),
        code="E_ACCURACY_DROP" if fell else "E_CONVERSION_MISMATCH",
        hint="--debug-layers tells where source and result part; try another --recipe, --rescue (TFLite, ONNX), or calibration"
        " data that is more like what the model will see",
    )
