"""From what a user typed to a connected transport: names of edgekit.yaml, and adb devices that went offline."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from edgekit.addresses import Address, parse
from edgekit.clock import Deadline
from edgekit.config import Config, UsbPort, load_config
from edgekit.errors import DeviceError, DeviceNotFound, DeviceOffline, InputError
from edgekit.transports import Transport, connect

CONNECT_SECONDS = 20.0
RECONNECT_SECONDS = 8.0


@dataclass(frozen=True)
class Target:
    """A resolved address with what edgekit.yaml says about it."""

    address: Address
    label: str
    """As the user named it."""
    profile: str | None = None
    root: str | None = None
    sysroot: str = ""
    usb_port: UsbPort | None = None
    recipe: str | None = None
    meter: str | None = None


def resolve(text: str, config: Config | None = None) -> Target:
    """Raises InputError E_ADDRESS for a word that is no address and no entry of `devices:`."""
    address = parse(text)
    if address.kind != "name":
        return Target(address, text)
    settings = config if config is not None else load_config()
    entry = settings.entry(text)
    if entry is None:
        known = ", ".join(sorted(settings.devices)) or "none"
        raise InputError(
            f"no device is called '{text}'",
            code="E_ADDRESS",
            hint=f"{_colon(text)}names in edgekit.yaml: {known}; addresses look like local:, ssh://pi@host, adb:SERIAL",
        )
    inner = parse(entry.address)
    if inner.kind == "name":
        raise InputError(
            f"the device '{text}' names another name, '{entry.address}'",
            code="E_ADDRESS",
            hint="an entry of edgekit.yaml is an address: local:, ssh://pi@host, adb:SERIAL",
        )
    root = entry.root and device_root(entry.root, inner.kind, text)
    return Target(
        inner, text, entry.profile, root, entry.sysroot or "", entry.usb_port, entry.recipe, entry.meter
    )


def _colon(text: str) -> str:
    """`local` for `local:` is an easy slip."""
    return f"did you mean `{text}:`, with the colon? " if text in ("local", "adb", "sim") else ""


def device_root(root: str, kind: str, device: str) -> str:
    """`root` as the agent takes it, where nothing expands `~`: over ssh a path is relative to the login folder
    anyway. Raises InputError E_CONFIG for a home folder that cannot be known."""
    if not root.startswith("~"):
        return root
    if kind == "local":
        with suppress(RuntimeError):  # nobody is called so
            return str(Path(root).expanduser())
    if kind == "ssh" and root.rstrip("/") == "~":
        return "."
    if kind == "ssh" and root.startswith("~/"):
        return root[2:].lstrip("/") or "."
    raise InputError(
        f"the root '{root}' of the device '{device}' cannot be told: `~` is not known there",
        code="E_CONFIG",
        hint="write the whole path: root: /...",
    )


def open_transport(target: Target, timeout: float = CONNECT_SECONDS) -> Transport:
    """Connect; an adb device on the network that is offline, or not known (any more), is connected anew, once.

    After such a device restarts, adb says "already connected" and stays offline until it is told otherwise.
    """
    deadline = Deadline.after(timeout)
    try:
        return connect(target.address, timeout=deadline.within(timeout))
    except (DeviceOffline, DeviceNotFound) as error:
        serial = target.address.serial or ""
        if target.address.kind != "adb" or ":" not in serial:
            raise
        _reconnect(serial, deadline.within(RECONNECT_SECONDS), error)
        return connect(target.address, timeout=deadline.within(timeout))


def _reconnect(serial: str, timeout: float, reason: DeviceError) -> None:
    """Raises `reason` where that does not help: it is what the user has to know."""
    from edgekit.transports.adb_server import reconnect

    try:
        reconnect(serial, timeout=timeout)
    except DeviceError as error:
        raise reason from error
