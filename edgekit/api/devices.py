"""Opening a device, with the profile that goes with it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from edgekit.config import Config, load_config
from edgekit.devices import Device, open_device
from edgekit.events import Event, Sink, ignore

if TYPE_CHECKING:
    from edgekit.profiles import Profile


def connect(
    address: str = "adb:",
    *,
    config: Config | None = None,
    timeout: float = 30.0,
    privileged: bool = False,
    sink: Sink = ignore,
) -> Device:
    """Open a device: connect, start the agent there (putting it first where it is not), undo what a crash left.

    `address`: local:, ssh://[USER@]HOST[:PORT], adb:[SERIAL], adb+ssh://..., or a name of edgekit.yaml.
    `privileged`: allow `adb root`, which restarts the device's adbd, where only that gives root.
    Use as a context manager. Raises DeviceError and its kinds, InputError for an address that is none.
    """
    return open_device(address, config=config, timeout=timeout, privileged=privileged, sink=sink)


def profile_for(
    device: Device, wanted: str | None, *, config: Config | None = None, sink: Sink = ignore
) -> Profile | None:
    """-p, else the device's entry in edgekit.yaml, else the settings, else the profile that matches; None where
    none does, with a warning. What edgekit.yaml says of recipes is preferred before what the profile says."""
    from edgekit.profiles import load_profile, match_profile, profile_heads

    settings = config if config is not None else load_config()
    named = wanted or device.target.profile or settings.profile
    if named is not None:
        return with_recipe(load_profile(named), default_recipe(device.target.recipe, settings))
    found = match_profile(device.facts, profile_heads())
    if found.name is not None:
        return with_recipe(load_profile(found.name), default_recipe(device.target.recipe, settings))
    why = f"these fit equally: {', '.join(found.ties)}" if found.ties else "none fits"
    sink(
        Event(
            "profile",
            f"no profile for this device ({why}); give -p, or write one: edgekit profile probe -d {device.address}",
            level="warning",
        )
    )
    return None


def default_recipe(of_device: str | None, settings: Config) -> str | None:
    """EDGEKIT_RECIPE, else what the device's entry in edgekit.yaml says, else the settings."""
    return os.environ.get("EDGEKIT_RECIPE") or of_device or settings.recipe


def with_recipe(profile: Profile, recipe: str | None) -> Profile:
    """The profile with this recipe before those that it prefers. Where it is not possible for a model, they are tried as ever.

    Raises InputError E_RECIPE, RecipeError where there is no such recipe."""
    if recipe is None:
        return profile
    import msgspec

    from edgekit.conversion.recipes import load_recipe

    load_recipe(recipe)
    prefer = tuple(dict.fromkeys((recipe, *profile.recipe.prefer)))
    return msgspec.structs.replace(profile, recipe=msgspec.structs.replace(profile.recipe, prefer=prefer))
