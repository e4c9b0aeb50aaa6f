"""Root on the device, by the means it has: already root, `sudo -n`, `su`, `adb root` (A6). Never a password.

`sudo` and `su` start a second agent, as root, beside the first; `adb root` is tried earlier (adb_root.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgekit.devices.adb_root import START_SECONDS, prefixes
from edgekit.devices.device import Device
from edgekit.errors import EdgekitError

if TYPE_CHECKING:
    from edgekit.agent.client import AgentClient

SILENCE_MS = 15_000


@dataclass(frozen=True)
class Privileged:
    """An agent that runs as root, how it came to, or why there is none."""

    agent: AgentClient | None
    means: str | None
    reason: str


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
