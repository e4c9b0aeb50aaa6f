"""Root on the device, by the means it has: already root, `sudo -n`, `su`, `adb root` (A6). Never a password.

`sudo` and `su` start a second agent, as root, beside the first. `adb root` restarts the device's adbd and so ends
whatever runs over it: it is tried while the device is being opened, where the others would not do.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgekit.clock import Deadline
from edgekit.devices.opening import Target, open_transport
from edgekit.errors import DeviceLost, DeviceNotFound, DeviceOffline, DeviceTimeout, EdgekitError
from edgekit.transports import Transport

if TYPE_CHECKING:
    from edgekit.agent.client import AgentClient
    from edgekit.devices.device import Device

START_SECONDS = 10.0
SILENCE_MS = 15_000


@dataclass(frozen=True)
class Privileged:
    """An agent that runs as root, how it came to, or why there is none."""

    agent: AgentClient | None
    means: str | None
    reason: str


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


def prefixes(is_android: bool) -> tuple[tuple[str, ...], ...]:
    """What may be put before a command to run it as root, in order of trial."""
    sudo = ("sudo", "-n", "--")
    if is_android:
        return (("su", "0"), ("su", "root"), sudo)
    return (sudo,)


@contextmanager
def privileged_agent(device: Device) -> Iterator[Privileged]:
    """A second agent as root for the time of the block; None where no means works, with every reason."""
    if device.agent.hello.uid == 0:
        yield Privileged(None, "root", "the agent is root already")
        return
    reasons: list[str] = [device.adb_root] if device.adb_root else []
    found: Privileged | None = None
    for prefix in prefixes(device.agent.hello.is_android):
        agent = _start(device, prefix, reasons)
        if agent is not None:
            found = Privileged(agent, " ".join(prefix), "")
            break
    if found is None:
        yield Privileged(None, None, "; ".join(reasons))
        return
    try:
        yield found
    finally:
        assert found.agent is not None
        found.agent.close()


def _start(device: Device, prefix: Sequence[str], reasons: list[str]) -> AgentClient | None:
    from edgekit.agent.binaries import find_binary
    from edgekit.agent.client import AgentClient

    hello = device.agent.hello
    program = f"{hello.root}/agent/{find_binary(hello.abi).sha256}"
    argv = [*prefix, program, "serve", "--root", hello.root, "--silence-ms", str(SILENCE_MS)]
    try:
        stream = device.transport.open(argv, timeout=START_SECONDS)
        agent = AgentClient.start(stream, timeout=START_SECONDS, device=device.address)
    except EdgekitError as error:
        reasons.append(f"{prefix[0]}: {error.message}")
        return None
    if agent.hello.uid != 0:
        reasons.append(f"{prefix[0]}: it runs as uid {agent.hello.uid}")
        agent.close()
        return None
    return agent
