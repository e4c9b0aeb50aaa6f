"""What is wrong with this host or a device, and the command that mends it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from importlib.util import find_spec
from typing import Literal

import msgspec

from edgekit.cache import cache_dir, data_dir
from edgekit.config import Config
from edgekit.errors import DeviceError, EdgekitError, HostError
from edgekit.events import Sink, ignore

SPARE_BYTES = 1 << 30
ABIS = ("x86_64", "arm64-v8a", "armeabi-v7a")


class Check(msgspec.Struct, frozen=True, kw_only=True):
    what: str
    state: Literal["ok", "warning", "error"]
    message: str
    hint: str | None = None
    exit_code: int = 0


def check_host(config: Config, sink: Sink = ignore) -> list[Check]:
    """This host: Python, disk, tools, binaries, extras, settings. Switches on the USB ports that a crash left off."""
    checks = [
        _python(),
        _disk(),
        _native(),
        _tool("ssh", "OpenSSH's client: apt install openssh-client"),
        _adb(),
        _usb_power(sink),
    ]
    for extra, module in (
        ("litert", "ai_edge_quantizer"),
        ("torch", "litert_torch"),
        ("tensorflow", "tensorflow"),
    ):
        there = find_spec(module) is not None
        checks.append(
            Check(
                what=f"extra {extra}",
                state="ok",
                message="installed" if there else "not installed (needed only to convert)",
                hint=None if there else f"pip install 'edgekit-sdk[{extra}]'",
            )
        )
    checks.append(
        Check(what="settings", state="ok", message=f"{len(config.devices)} devices in edgekit.yaml")
    )
    return checks


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    return Check(what="Python", state="ok", message=version)


def _disk() -> Check:
    try:
        folders = (cache_dir(), data_dir())
    except HostError as error:
        return Check(
            what="disk", state="error", message=error.message, hint=error.hint, exit_code=error.exit_code
        )
    free = min(shutil.disk_usage(folder).free for folder in folders)
    text = f"{free / 1e9:.1f} GB free for the cache {folders[0]} and the results {folders[1]}"
    if free < SPARE_BYTES:
        return Check(what="disk", state="warning", message=text, hint="edgekit cache clear")
    return Check(what="disk", state="ok", message=text)


def _native() -> Check:
    from edgekit.agent.binaries import find_binary

    abis = [abi for abi in ABIS if _has(find_binary, abi)]
    if not abis:
        return Check(
            what="agent",
            state="error",
            message="this installation has no agent for any device",
            hint="in a source checkout: python scripts/build_native --all",
            exit_code=HostError.exit_code,
        )
    return Check(what="agent", state="ok", message=f"for {', '.join(abis)}")


def _has(find: Callable[[str], object], abi: str) -> bool:
    try:
        find(abi)
    except HostError:
        return False
    return True


def _tool(name: str, hint: str) -> Check:
    path = shutil.which(name)
    if path is None:
        return Check(what=name, state="warning", message="not found", hint=hint)
    return Check(what=name, state="ok", message=path)


def _adb() -> Check:
    from edgekit.transports.adb import list_devices

    try:
        found = list_devices()
    except EdgekitError as error:
        return Check(what="adb", state="warning", message=error.message, hint=error.hint)
    return Check(what="adb", state="ok", message=f"{len(found)} devices attached")


def _usb_power(sink: Sink) -> Check:
    from edgekit.devices.usb_power import FOLDER, given_back, notes

    ports = notes()
    back = given_back(sink)
    left = len(notes()) if ports else 0
    if not ports:
        return Check(what="USB ports left off", state="ok", message="none")
    return Check(
        what="USB ports left off",
        state="warning",
        message=f"{back} switched on now" + (f", {left} in use or not to be switched" if left else ""),
        hint=f"edgekit doctor again; or by hand, as the files in {data_dir(FOLDER)} say (then remove them): "
        "uhubctl -l LOCATION -p PORT -a on"
        if left
        else None,
    )


def check_device(address: str, config: Config, sink: Sink) -> list[Check]:
    """Open the device (which restores what a crash left) and look at what a run would need."""
    from edgekit.api.devices import connect
    from edgekit.devices.discovery import matching_profile

    try:
        with connect(address, config=config, sink=sink) as device:
            hello = device.agent.hello
            restored = hello.knobs_restored
            space = device.agent.disk_space(device.layout.root)
            checks = [
                Check(what=device.address, state="ok", message=f"agent runs ({hello.abi}, uid {hello.uid})"),
                Check(
                    what="settings left by a crash",
                    state="warning" if restored else "ok",
                    message=f"{restored} restored now" if restored else "none",
                ),
                Check(
                    what="space",
                    state="error"
                    if space.read_only
                    else "warning"
                    if space.available_bytes < 64 << 20
                    else "ok",
                    message="read-only" if space.read_only else f"{space.available_bytes / 1e6:.0f} MB free",
                    exit_code=DeviceError.exit_code if space.read_only else 0,
                ),
            ]
            profile = matching_profile(device.facts)
            checks.append(
                Check(
                    what="profile",
                    state="ok" if profile else "warning",
                    message=profile or "none matches",
                    hint=None if profile else f"edgekit profile probe -d {address}",
                )
            )
            zones, policies = len(device.sensors.zones), len(device.sensors.frequencies)
            checks.append(
                Check(
                    what="sensors", state="ok", message=f"{zones} thermal zones, {policies} CPU frequencies"
                )
            )
            return checks
    except EdgekitError as error:
        return [
            Check(
                what=address, state="error", message=error.message, hint=error.hint, exit_code=error.exit_code
            )
        ]
