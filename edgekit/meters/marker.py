"""Markers: pulses of load that the agent's program plays on the device, at times told by the device's clock. An external
meter sees them on its own (edgekit.stats.markers)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgekit.agent.binaries import find_binary
from edgekit.devices import Device
from edgekit.errors import RemoteError
from edgekit.stats.energy import Span
from edgekit.stats.traces import Refused

if TYPE_CHECKING:
    from edgekit.agent.client import AgentClient

UNITS = (1.5, 2.5, 4.0, 2.0, 1.0, 4.5, 2.5)
"""Pulse, pause, pulse, ...: no two pulses and no two pauses of one length, so that they fit in one place only."""
LEAST_UNIT_MS = 250
PERIODS = 4.0
"""Of the meter, in the shortest pulse."""
SLOW_US, SLOW_PERIODS = 0.5e6, 2.5
"""So many are enough (`stats.markers` needs two), where four would take minutes: of a meter that is slower."""
SPARE_SECONDS = 15.0


def parts_ms(period_us: float, *, mirrored: bool = False) -> tuple[int, ...]:
    """Lengths of pulses and pauses that a meter with this period can tell apart."""
    unit_ms = max(LEAST_UNIT_MS, PERIODS * min(period_us, SLOW_US) / 1000, SLOW_PERIODS * period_us / 1000)
    parts = tuple(round(unit * unit_ms) for unit in UNITS)
    return parts[::-1] if mirrored else parts


def load_argv(agent: AgentClient, parts: tuple[int, ...]) -> list[str]:
    """The agent's program as a load; docs/agent-protocol.md. It is where the agent was started from."""
    hello = agent.hello
    program = f"{hello.root}/agent/{find_binary(hello.abi).sha256}"
    return [program, "load", *map(str, parts)]


def play(device: Device, parts: tuple[int, ...]) -> tuple[Span, ...] | Refused:
    """The pulses as they were, on the device's clock. Raises DeviceLost."""
    seconds = sum(parts) / 1000 + SPARE_SECONDS
    try:
        done = device.agent.run(load_argv(device.agent, parts), deadline_s=seconds)
    except RemoteError as error:
        return Refused(f"the marker could not be played: {error.message}")
    pulses = read_pulses(done.stdout.decode("utf-8", "replace"))
    if not done.ok or len(pulses) != (len(parts) + 1) // 2:
        return Refused(f"the marker could not be played: exit code {done.exit_code}")
    return pulses


def read_pulses(text: str) -> tuple[Span, ...]:
    """Of lines `BEGIN_NS END_NS`; pure."""
    rows = [line.split() for line in text.splitlines()]
    return tuple(
        Span(int(row[0]) / 1000, int(row[1]) / 1000)
        for row in rows
        if len(row) == 2 and all(word.isascii() and word.isdigit() for word in row)
    )
