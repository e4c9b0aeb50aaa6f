"""`--recipe auto`: every recipe that is possible is made, and run where there is a device; one is picked, the rest told why not."""

from __future__ import annotations

import secrets
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from edgekit.errors import (
    EdgekitError,
    GateError,
    InputError,
    ModelError,
    ToolError,
    VerificationError,
)
from edgekit.events import Event, Sink, ignore

if TYPE_CHECKING:
    from edgekit.benchmarking import BenchOptions
    from edgekit.benchmarking.race import Lap
    from edgekit.conversion import Conversion
    from edgekit.conversion.auto import Candidate, Limits
    from edgekit.conversion.options import ConvertWishes
    from edgekit.conversion.targets.base import Target
    from edgekit.deployment import Release
    from edgekit.devices import Device
    from edgekit.models import Artifact, ModelInfo
    from edgekit.profiles import Profile

AUTO = "auto"
TOO_LARGE_THERE = ("E_DEVICE_FULL", "E_DEVICE_MEMORY")
"""What the device says of one candidate, and not of a smaller one."""
FIRST = "float32"
"""Made first: where it cannot be, no other can, and its error is the answer."""


def convert_auto(
    source: str | Path,
    *,
    profile: Profile | None,
    output: Path,
    name: str | None,
    device: Device | None = None,
    options: BenchOptions | None = None,
    sink: Sink = ignore,
    **wishes: Unpack[ConvertWishes],
) -> Conversion:
    """The conversion that is picked, written to `output`, with what it was picked from (`Conversion.auto`).

    With a device each candidate is put there (and taken away again) and run, interleaved with the others. Raises what a
    conversion of float32 raises, GateError E_LIMIT where every candidate failed or is past a limit of the profile, and
    what the device raises.
    """
    from edgekit.conversion.auto import Auto, pick, reasons_against
    from edgekit.conversion.convert import Conversion, find_target, output_folder

    target = find_target(profile, wishes.get("to"))
    recipes = _possible(target, profile)
    labels = {what: label for label, what in recipes.items()}
    made: dict[str, Artifact] = {}
    candidates = []
    for i, (recipe, what) in enumerate(recipes.items()):
        sink(Event("convert", f"recipe {recipe}", i, len(recipes), "recipes"))
        asked: ConvertWishes = {**wishes, "recipe": what}
        candidates.append(_try(recipe, made, source, profile=profile, name=name, sink=sink, wishes=asked))
    sink(Event("convert", "", len(recipes), len(recipes), "recipes"))
    if device is not None:
        candidates = _measured(candidates, made, device, profile, options, sink)
    wished = profile.recipe.prefer if profile is not None else ()
    limits, prefer = _limits(profile), tuple(labels[what] for what in wished if what in labels)
    picked = pick(candidates, limits, prefer)
    if picked is None:
        reasons = "; ".join(f"{recipe}: {why}" for recipe, why in reasons_against(candidates, limits).items())
        raise GateError(
            f"no recipe is within the limits ({reasons})",
            code="E_LIMIT",
            hint="give another profile or limit, evaluation data, or a --recipe to see its error in full",
        )
    chosen = made[picked.recipe]
    artifact = chosen.copied_to(output_folder(output, chosen.name), notes=picked.notes())
    return Conversion(artifact, {}, auto=Auto(picked, tuple(candidates)))


def _possible(target: Target, profile: Profile | None) -> dict[str, str]:
    """What the target makes and a runtime of the profile takes: the built-in recipes, and those that the profile prefers;
    float32 first. Recipes as `load_recipe` takes them, by what they are called: a file that is called like another one goes by its path."""
    from edgekit.conversion.recipes import RECIPES, allowed, load_recipe
    from edgekit.conversion.recipes.choose import not_made

    preferred = profile.recipe.prefer if profile is not None else ()
    found = {FIRST: FIRST}
    for what in dict.fromkeys((*RECIPES, *preferred)):
        recipe = load_recipe(what)
        if (
            what != FIRST
            and allowed(recipe, profile)
            and not_made(recipe, target.recipes, target.name) is None
        ):
            found[recipe.name if recipe.name not in found else what] = what
    return found


def _try(
    recipe: str,
    made: dict[str, Artifact],
    source: str | Path,
    *,
    profile: Profile | None,
    name: str | None,
    sink: Sink,
    wishes: ConvertWishes,
) -> Candidate:
    """One conversion, into the cache. What fails in this recipe only is its reason."""
    from edgekit.api.models import convert
    from edgekit.conversion.auto import Candidate

    try:
        artifact = convert(source, profile=profile, name=name, sink=sink, **wishes)
    except (VerificationError, ModelError, InputError, ToolError) as error:
        if recipe == FIRST:
            raise
        return Candidate(recipe, failed=error.message)
    made[recipe] = artifact
    found = artifact.manifest.verification
    largest = max((output.largest_output for output in found.outputs), default=0.0)
    relative = None if found.rms_error is None else found.rms_error / largest if largest else 0.0
    return Candidate(
        recipe,
        size_bytes=artifact.manifest.model.size_bytes,
        state=found.state,
        drop=found.accuracy.drop if found.accuracy is not None else None,
        error=relative,
    )


def _limits(profile: Profile | None) -> Limits:
    from edgekit.conversion.auto import Limits

    if profile is None:
        return Limits()
    return Limits(
        size_bytes=profile.limits.model_size_bytes,
        latency_us=profile.limits.median_latency_us,
        peak_rss_bytes=profile.limits.peak_rss_bytes,
        drop=profile.recipe.max_accuracy_drop,
    )


def _measured(
    candidates: list[Candidate],
    made: dict[str, Artifact],
    device: Device,
    profile: Profile | None,
    options: BenchOptions | None,
    sink: Sink,
) -> list[Candidate]:
    """The same candidates with what the device says of them. What was put there for it is taken away again."""
    from edgekit.benchmarking import BenchOptions as Options
    from edgekit.benchmarking.race import race
    from edgekit.devices.layout import candidates_name

    asked = options if options is not None else Options()
    name = candidates_name(secrets.token_hex(4))
    placed: dict[str, Release] = {}
    refused: dict[str, EdgekitError] = {}
    try:
        for recipe, artifact in made.items():
            try:
                placed[recipe] = put_candidate(artifact, device, name, profile, asked, sink)
            except EdgekitError as error:
                if not isinstance(error, InputError | GateError | VerificationError) and not _too_large(
                    error
                ):
                    raise
                refused[recipe] = error
        if refused and not placed and all(map(_too_large, refused.values())):
            raise next(iter(refused.values()))
        laps = race(list(placed.values()), device, profile=profile, options=asked, sink=sink)
    finally:
        take_away(device, name, sink)
    ran = dict(zip(placed, laps, strict=True))
    return [_with(one, ran.get(one.recipe), refused.get(one.recipe)) for one in candidates]


def put_candidate(
    artifact: Artifact | ModelInfo,
    device: Device,
    name: str,
    profile: Profile | None,
    options: BenchOptions,
    sink: Sink,
) -> Release:
    """A model on the device under a name that is for measuring only: not active, not tried."""
    from edgekit.api.pushing import push
    from edgekit.deployment import release_on_device

    wait = options.lease_wait_seconds
    sent = push(
        artifact,
        device,
        profile=profile,
        name=name,
        activate=False,
        smoke=False,
        lease_wait_seconds=wait,
        sink=sink,
    )
    return release_on_device(device, sent.name, sent.version)


def _too_large(error: EdgekitError) -> bool:
    return error.code in TOO_LARGE_THERE


def take_away(device: Device, name: str, sink: Sink) -> None:
    """Where that fails, as the device is gone, it is told and no error: one that is under way says more."""
    from edgekit.deployment.switching import remove

    try:
        remove(device, name)
    except InputError:
        pass  # nothing was put there
    except EdgekitError as error:
        words = f"candidates may be left on the device ({error.message}): edgekit remove {name}, or in a day edgekit gc"
        sink(Event("convert", words, device=device.address, level="warning"))


def _with(one: Candidate, lap: Lap | None, refused: EdgekitError | None) -> Candidate:
    if refused is not None:
        return replace(one, failed=f"the device does not take it: {refused.message}")
    if lap is None:
        return one
    return replace(one, failed=lap.failed, latency_us=lap.median_us, peak_rss_bytes=lap.peak_rss_bytes)
