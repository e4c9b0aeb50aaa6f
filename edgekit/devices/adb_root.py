"""`adb root`: an Android device's adbd restarted as root (A6). It ends whatever runs over it, so it is tried while the
device is being opened, and only where `su` does not do."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from edgekit.clock import Deadline
from edgekit.devices.opening import Target, open_transport
from edgekit.errors import DeviceLost, DeviceNotFound, DeviceOffline, DeviceTimeout
from edgekit.transports import Transport

START_SECONDS = 10.0


def prefixes(is_android: bool) -> tuple[tuple[str, ...], ...]:
    """What may be put before a command to run it as root, in order of trial."""
    sudo = ("sudo", "-n", "--")
    if is_android:
        return (("su", "0"), ("su", "root"), sudo)
    return (sudo,)


def adb_root(transport: Transport, target: Target, deadline: Deadline) -> tuple[Transport, str | None]:
    """Restart an Android device's adbd as root where that is needed for root, and connect again. Returns the
    transport to go on with, and why it is not root where it was refused."""
    from edgekit.transports.adb import AdbTransport

    if not isinstance(transport, AdbTransport) or _is_root(transport, (), deadline):
        return transport, None
    if any(_is_root(transport, prefix, deadline) for prefix in prefixes(is_android=True)):
        return transport, None
    said = transport.restart_adbd("root", timeout=deadline.within(START_SECONDS))
    if "restarting" not in said:
        return transport, f"adb root: {said or 'refused'}"
    transport.close()
    return _connect_again(target, deadline), None


def _is_root(transport: Transport, prefix: Sequence[str], deadline: Deadline) -> bool:
    try:
        done = transport.run([*prefix, "id", "-u"], timeout=deadline.within(START_SECONDS))
    except DeviceTimeout:
        return False
    return done.exit_code == 0 and done.stdout.strip() == b"0"


def _connect_again(target: Target, deadline: Deadline) -> Transport:
    """adbd needs a moment: until then the device is offline or not there. Raises its last error in the end."""
    pause = threading.Event()
    while True:
        try:
            return open_transport(target, deadline.within(START_SECONDS))
        except (DeviceOffline, DeviceNotFound, DeviceLost):
            if deadline.expired():
                raise
            pause.wait(0.25)
