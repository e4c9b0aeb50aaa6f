"""What whoever gets the lease does first: the layout's version is there, what was cut off is finished, garbage goes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from edgekit.agent import requests
from edgekit.agent.failures import EISDIR
from edgekit.agent.requests import Request
from edgekit.devices import journal
from edgekit.devices.layout import LAYOUT_VERSION, Layout
from edgekit.errors import DeviceLost, EdgekitError
from edgekit.events import Event, Sink

if TYPE_CHECKING:
    from edgekit.agent.client import AgentClient

GARBAGE_MAX_BYTES = 1 << 20
"""Of the list of what deletions left; more of it waits for the next lease."""


def claim_requests(layout: Layout) -> list[Request[Any]]:
    """Asked together with the lease. Scratch folders of runs are nobody's once the lease is ours."""
    return [
        requests.read([layout.version_file(), layout.journal()]),
        requests.remove(layout.runs(), recursive=True),
        requests.glob(layout.gone_patterns(), max_total_bytes=GARBAGE_MAX_BYTES),
    ]


def finish_claim(agent: AgentClient, layout: Layout, answers: Sequence[Any], sink: Sink) -> bool:
    """Act on the answers to `claim_requests`; no round trip where all is as it should be. Whether something changed
    that others look at."""
    (version, cut_off), _, garbage = answers[:3]
    todo: list[Request[Any]] = []
    if version.errno:
        todo.append(requests.write(layout.version_file(), f"{LAYOUT_VERSION}\n".encode()))
    found = journal.decode(cut_off.data) if not cut_off.errno else None
    if found is not None:
        todo += _finish(agent, layout, found, sink)
    elif cut_off.errno in (0, EISDIR):
        todo.append(requests.remove(layout.journal(), recursive=True, sync=True))
    if todo:
        agent.batch(todo)
    if garbage:
        _clear(agent, [entry.path for entry in garbage], sink)
    return not cut_off.errno


def _clear(agent: AgentClient, paths: Sequence[str], sink: Sink) -> None:
    """Garbage that stays (another user's, a damaged disk's) is in nobody's way: no push may fail for it."""
    answers = agent.pipelined([[requests.remove(path, recursive=True)] for path in paths])
    for answer in answers:
        if isinstance(answer, DeviceLost):
            raise answer
        if isinstance(answer, EdgekitError):
            sink(Event("claim", message=f"left of a deletion, and stays: {answer.message}", level="warning"))


def _finish(agent: AgentClient, layout: Layout, found: journal.Entry, sink: Sink) -> list[Request[Any]]:
    staging = layout.staging(found.name, found.version, found.content)
    final = layout.release(found.name, found.version)
    (staged, named, current), there = agent.batch(
        [
            requests.read([f"{staging}/manifest.json", f"{final}/manifest.json", layout.current(found.name)]),
            requests.stat(final),
        ]
    )
    sink(Event("recover", message=f"finishing a push of {found.name}@{found.version} that was cut off"))
    return journal.recovery(
        found,
        layout,
        staged=None if staged.errno else staged.data,
        named=None if named.errno else named.data,
        named_there=there is not None,
        in_the_way=current.errno == EISDIR,
    )
