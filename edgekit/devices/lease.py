"""Taking turns on a device: two hosts neither push nor measure at once (A8).

The lease is a file on the device that the agent keeps alive while this host is heard, and that runs out by
itself; see docs/agent-protocol.md.
"""

from __future__ import annotations

import getpass
import os
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from edgekit.agent import requests
from edgekit.agent.requests import Request
from edgekit.clock import Deadline
from edgekit.devices.files import LOOK_SECONDS
from edgekit.errors import DeviceBusy
from edgekit.events import Event, Sink

if TYPE_CHECKING:
    from edgekit.agent.client import AgentClient

LEASE_SECONDS = 30.0
ASK_AGAIN_SECONDS = 0.5


def holder(purpose: str) -> str:
    """Who holds it, for the other host's message: user@host pid purpose."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()} pid {os.getpid()} ({purpose})"


@contextmanager
def leased(
    agent: AgentClient,
    purpose: str,
    *,
    wait_seconds: float,
    device: str,
    sink: Sink,
    then: Sequence[Request[Any]] = (),
) -> Iterator[list[Any]]:
    """Hold the device's lease; wait for another's to end, saying so once. Raises DeviceBusy when it does not.

    `then` is asked in the same round trip, once the lease is held; its answers are what the block gets."""
    try:
        yield _acquire(agent, holder(purpose), Deadline.after(wait_seconds), device, sink, then)
    finally:
        _quietly(lambda: agent.post(requests.lease_release()))


def _acquire(
    agent: AgentClient, who: str, deadline: Deadline, device: str, sink: Sink, then: Sequence[Request[Any]]
) -> list[Any]:
    told = False
    while True:
        try:
            items = [requests.lease_acquire(who, ttl_s=LEASE_SECONDS), *then]
            return agent.batch(items, timeout=LOOK_SECONDS)[1:]
        except DeviceBusy as busy:
            if deadline.expired():
                raise
            if not told:
                sink(Event("lease", message=f"waiting: {busy.message}", device=device))
                told = True
            threading.Event().wait(deadline.within(ASK_AGAIN_SECONDS))


def _quietly(release: Callable[[], object]) -> None:
    """Releasing what is not held changes nothing; the lease runs out by itself, and a lost device has its own error
    already."""
    from edgekit.errors import EdgekitError

    try:
        release()
    except EdgekitError:
        return
