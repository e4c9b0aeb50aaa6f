"""What a frame of the host is about, so that cuts can be counted by the part of a push that they hit. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edgekit.agent.protocol import Type, Unpacker

Direction = Literal["to", "from"]
"""Seen from the host: to the device, from the device."""
PINGS = (Type.PING, Type.PONG)
"""They come by the clock, so they are neither counted nor cut at."""


@dataclass(frozen=True)
class Seen:
    """One frame that went over the stream. `size_bytes`: its header included."""

    direction: Direction
    type: int
    id: int
    size_bytes: int
    phase: str


def phase_of(kind: int, payload: bytes) -> str:
    """Of one request: look, lease, claim, recover, put, smoke, complete, switch, delete, release."""
    if kind == Type.LEASE_RELEASE:
        return "release"
    if kind in (Type.RUN, Type.GET) or b"/runtimes/" in payload[:2000] or b"/run/" in payload[:2000]:
        return "smoke" if Type.LEASE_ACQUIRE not in _types(kind, payload) else "lease"
    if kind == Type.PUT:
        return "put"
    return _of_batch(_types(kind, payload), payload)


def _of_batch(types: set[int], payload: bytes) -> str:
    if Type.LEASE_ACQUIRE in types:
        return "lease"
    if Type.LEASE_RENEW in types and b"/journal" in payload:
        return "complete"
    if Type.REMOVE in types and b"/journal" in payload:
        return "recover"
    if Type.RENAME in types and b".ek-gone" in payload:
        return "delete"
    if Type.WRITE in types and b"/current" in payload:
        return "switch"
    if Type.WRITE in types and b"/layout" in payload:
        return "claim"
    if Type.MKDIR in types and b".ek-tmp" in payload:
        return "put"
    return "look"


def _types(kind: int, payload: bytes) -> set[int]:
    """The request's own type, or those of a batch's items."""
    if kind != Type.BATCH:
        return {kind}
    reader = Unpacker(payload)
    for _ in range(reader.u32()):
        reader.u32()
    found = set()
    for _ in range(reader.u32()):
        found.add(reader.u8())
        reader.blob()
    return found
