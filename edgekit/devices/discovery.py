"""What devices there are: this machine, what adb sees, what edgekit.yaml names. Nothing is put on any of them."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec

from edgekit.config import Config
from edgekit.devices.facts import facts_argv, read_facts
from edgekit.devices.opening import Target, open_transport, resolve
from edgekit.errors import EdgekitError
from edgekit.profiles.facts import DeviceFacts

LOOK_SECONDS = 15.0
MAX_AT_ONCE = 8
STATE_HINTS = {
    "unauthorized": "unlock the device and allow this computer in its dialog",
    "offline": "plug it in again, or: adb reconnect offline",
    "no permissions": "let your user use it: apt install android-sdk-platform-tools-common, then plug it in again",
    "authorizing": "unlock the device and allow this computer in its dialog",
    "recovery": "reboot it: adb reboot",
    "bootloader": "reboot it: fastboot reboot",
}


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """One device. `state` is in words; `hint` says what to do where it is not "ready"."""

    address: str
    name: str | None = None
    model: str | None = None
    soc: str | None = None
    abi: str | None = None
    os: str | None = None
    state: str
    hint: str | None = None
    profile: str | None = None


def discover(config: Config, only: Sequence[str] = ()) -> list[Found]:
    """Every device, each asked for itself, all at once; the order is local, adb, settings. `only`: these, and no others."""
    rows: list[Found | Target] = [] if only else [resolve("local:", config), *_attached(config)]
    for name in only or config.devices:
        try:
            rows.append(resolve(name, config))
        except EdgekitError as error:
            rows.append(Found(address=name, name=name, state=error.message, hint=error.hint))
    with ThreadPoolExecutor(max_workers=MAX_AT_ONCE) as pool:
        return list(pool.map(_row, rows))


def _attached(config: Config) -> Sequence[Found | Target]:
    from edgekit.transports.adb import list_devices

    try:
        attached = list_devices()
    except EdgekitError as error:
        return [Found(address="adb:", state=f"adb does not work: {error.message}", hint=error.hint)]
    rows: list[Found | Target] = []
    for device in attached:
        address = f"adb:{device.serial}"
        if device.state == "device":
            rows.append(resolve(address, config))
        else:
            hint = STATE_HINTS.get(device.state)
            rows.append(Found(address=address, state=device.state, hint=hint, model=device.model))
    return rows


def _row(found: Found | Target) -> Found:
    if isinstance(found, Found):
        return found
    address = str(found.address)
    name = found.label if found.label != address else None
    try:
        facts = facts_of(found)
        profile = found.profile or matching_profile(facts)
    except EdgekitError as error:
        return Found(address=address, name=name, state=error.message, hint=error.hint)
    os = " ".join(part for part in (facts.os_name or facts.os, facts.os_version) if part)
    return Found(
        address=address,
        name=name,
        model=facts.model,
        soc=facts.soc,
        abi=facts.abi,
        os=os or None,
        state="ready",
        profile=profile,
    )


def facts_of(target: Target) -> DeviceFacts:
    """Look at a device without putting anything there."""
    transport = open_transport(target, LOOK_SECONDS)
    try:
        done = transport.run(facts_argv(target.sysroot), timeout=LOOK_SECONDS)
        return read_facts(done.stdout, transport.kind, target.sysroot, transport.address).facts
    finally:
        transport.close()


def matching_profile(facts: DeviceFacts) -> str | None:
    from edgekit.profiles import match_profile, profile_heads

    return match_profile(facts, profile_heads()).name
