"""`convert`: from a model anywhere to an artifact, verified against its source."""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit import events, registry
from edgekit.cache import cache_dir, host_errors
from edgekit.conversion import store
from edgekit.conversion.checks import require_runnable
from edgekit.conversion.job import Job, Result, Weigh
from edgekit.conversion.making import make_model, read_job, rescued_result, verified
from edgekit.conversion.options import ConvertOptions
from edgekit.conversion.packing import write
from edgekit.conversion.recipes import ProfileLike, Recipe, load_recipe, with_method
from edgekit.conversion.samples import Samples
from edgekit.conversion.targets.base import Target
from edgekit.conversion.verify import past_limit
from edgekit.errors import HostDiskFull, InputError, ToolError, VerificationError
from edgekit.events import Event, Sink
from edgekit.models.artifact import Artifact, is_artifact
from edgekit.models.manifest import SUFFIX, Verification
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
    job = read_job(source, target, recipe, profile, options, sink)
    label = label or safe_name(job.source.name)
    with host_errors(str(output)[:200]):
        folder = output_folder(output, label)
    began = time.monotonic()
    prepared, result, samples = make_model(job, scratch)
    job.seconds["convert"] = time.monotonic() - began
    began = time.monotonic()
    verification = verified(job, result, samples)
    if options.rescue and verification.state == "failed":
        result, verification = rescued_result(job, prepared, result, samples, verification, weigh)
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
