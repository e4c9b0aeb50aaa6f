"""A device that is charged by the cable it hangs on, kept from charging for the time of a measurement, and given back.

Two means: a setting of its charger's driver, which is a knob (the agent's journal and guardian put it back, whatever ends the
command); and the power of its USB port (usb_power.py), for a device that is reached by another way. `dumpsys battery unplug` is none:
it changes what Android says, not what flows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from edgekit.addresses import Address
from edgekit.devices.device import Device
from edgekit.devices.usb_power import power_cut
from edgekit.errors import ToolError

BATTERY = "/sys/class/power_supply/battery"
KNOWN = ((f"{BATTERY}/input_suspend", "1"), (f"{BATTERY}/charging_enabled", "0"))
"""Of Qualcomm's chargers (qpnp-smb, qcom,smb5), the first that is there: input_suspend runs the device from its battery,
charging_enabled only stops the charging. Other makers' go into the profile (power: charging_off)."""


@dataclass(frozen=True)
class Means:
    """`knobs`: to write on the device; where there are none, its USB port is cut."""

    knobs: Mapping[str, str]


def charging_means(device: Device, wanted: Mapping[str, str]) -> Means:
    """The profile's settings, else the known one that the device has."""
    if wanted:
        return Means(wanted)
    root = device.target.sysroot.rstrip("/")
    texts = device.read_texts([f"{root}{path}" for path, _ in KNOWN])
    there = [(path, value) for path, value in KNOWN if texts.get(f"{root}{path}") is not None]
    return Means(dict(there[:1]))


@contextmanager
def charging_off(device: Device, means: Means, changed: Mapping[str, str]) -> Iterator[tuple[str, ...]]:
    """For the time of the block, after the knobs were set (`changed`: to what they say now). Gives why it charges on, in words, where
    nothing switches it off: a state that the caller waits for all the same."""
    root = device.target.sysroot.rstrip("/")
    if any(changed.get(f"{root}{path}") == value for path, value in means.knobs.items()):
        yield ()
        return
    with ExitStack() as stack:
        why = _cut(device, means, stack)
        yield (f"charging was not switched off: {why}",) if why else ()


def hangs_on_usb(address: Address) -> bool:
    """Whether the link to it may be its cable: adb, but for a HOST:PORT and what wireless debugging announces (the adb server's
    names for those, adb-ABC123-x1._adb-tls-connect._tcp)."""
    serial = address.serial or ""
    return address.kind in ("adb", "adb+ssh") and ":" not in serial and "._adb" not in serial


def _cut(device: Device, means: Means, stack: ExitStack) -> str | None:
    """Until `stack` ends; or why not."""
    port = device.target.usb_port
    if port is None:
        setting = "its charger's setting was not set" if means.knobs else "the device shows no setting for it"
        return f"{setting}, and edgekit.yaml names no usb_port of it"
    if hangs_on_usb(device.target.address):
        return "it is reached over the USB port that would lose its power (use adb over Wi-Fi)"
    try:
        stack.enter_context(power_cut(port, device.sink, device.address))
    except ToolError as error:
        return error.message
    return None
