"""Requests that go together: batches, several of them at once, files with a batch before and behind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from edgekit.agent.answers import read_failure
from edgekit.agent.failures import error_of
from edgekit.agent.link import Link, Pending
from edgekit.agent.pace import Counter
from edgekit.agent.protocol import Packer, Type, Unpacker
from edgekit.agent.requests import Request
from edgekit.agent.transfer import PutSpec, Sending, put_deadline, send_put, source_size, throttle_of
from edgekit.clock import Deadline
from edgekit.errors import BugError, DeviceLost, DeviceTimeout, EdgekitError
from edgekit.transports.base import Progress

MAX_FILES = 1000
"""In one put_many: the agent remembers as many outcomes for the batch behind them."""


def batch_payload(items: Sequence[Request[Any]], after: Sequence[int]) -> bytes:
    """`after`: ids of requests that must have gone well."""
    packer = Packer().u32(len(after))
    for request_id in after:
        packer.u32(request_id)
    packer.u32(len(items))
    for item in items:
        packer.u8(item.type).blob(item.payload)
    return packer.done()


def read_batch(payload: bytes, items: Sequence[Request[Any]], device: str | None) -> list[Any]:
    """The results, or the error of the item at which it ended."""
    unpacker = Unpacker(payload)
    results: list[Any] = []
    for item, _ in zip(items, range(unpacker.u32()), strict=False):
        ok, answer = unpacker.u8(), unpacker.blob()
        if not ok:
            raise error_of(read_failure(answer), device)
        results.append(item.read(answer))
    return results


@contextmanager
def _answered(link: Link, ended: Type) -> Iterator[list[Pending]]:
    """Requests that are under way together: whatever happens, nobody waits for them afterwards, and those of the
    kind `ended` do not go on on the device."""
    pendings: list[Pending] = []
    try:
        yield pendings
    finally:
        for pending in pendings:
            if pending.kind == ended and not pending.finished and not pending.has_answer():
                link.abandon(pending)
            link.forget(pending)


def pipelined(
    link: Link, batches: Sequence[Sequence[Request[Any]]], timeout: float | None
) -> list[list[Any] | EdgekitError]:
    """See AgentClient.pipelined."""
    deadline = Deadline.after(timeout)
    outcomes: list[list[Any] | EdgekitError] = []
    with _answered(link, Type.BATCH) as pendings:
        for batch in batches:
            pendings.append(link.request(Type.BATCH, batch_payload(batch, ()), behind=bool(pendings)))
        for pending, batch in zip(pendings, batches, strict=True):
            try:
                outcomes.append(read_batch(pending.next(deadline).payload, batch, link.device))
            except (DeviceLost, DeviceTimeout):
                raise
            except EdgekitError as error:
                outcomes.append(error)
    return outcomes


def put_many(
    link: Link,
    sent: Counter,
    specs: Sequence[PutSpec],
    before: Sequence[Request[Any]],
    then: Sequence[Request[Any]],
    progress: Progress | None,
    timeout: float | None,
) -> list[Any]:
    """See AgentClient.put_many."""
    if len(specs) > MAX_FILES:
        raise BugError(f"more than {MAX_FILES} files in one put_many")
    throttle = throttle_of(specs)
    deadline = put_deadline(sum(source_size(s.source) for s in specs), timeout, throttle)
    with _answered(link, Type.PUT) as pendings:
        if before:
            pendings.append(link.request(Type.BATCH, batch_payload(before, ())))
        after = pendings[0].id if before else 0
        go = Sending(link, deadline, sent, throttle, progress, after)
        for spec in specs:
            pendings.append(send_put(go, spec, behind=bool(pendings)))
        last = None
        if then:
            after_all = batch_payload(then, [p.id for p in pendings])
            last = link.request(Type.BATCH, after_all, behind=bool(pendings))
            pendings.append(last)
        if before:
            read_batch(pendings[0].next(deadline).payload, before, link.device)
        for pending in pendings:
            if pending.kind == Type.PUT:
                pending.next(deadline)
        return read_batch(last.next(deadline).payload, then, link.device) if last else []
