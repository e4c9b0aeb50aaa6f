"""Opening a device, with the profile that goes with it."""

from __future__ import annotations

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
    none does, with a warning."""
    from edgekit.profiles import load_profile, match_profile, profile_heads

    settings = config if config is not None else load_config()
    named = wanted or device.target.profile or settings.profile
    if named is not None:
        return load_profile(named)
    found = match_profile(device.facts, profile_heads())
    if found.name is not None:
        return load_profile(found.name)
    why = f"these fit equally: {', '.join(found.ties)}" if found.ties else "none fits"
    sink(
        Event(
            "profile",
            f"no profile for this device ({why}); give -p, or write one: edgekit profile probe -d {device.address}",
            level="warning",
        )
    )
    return None
