"""Files to a device in one go, models and runtimes alike: what is known of the link, one progress over all of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgekit.agent.encoding import sample_ratio
from edgekit.agent.requests import Request
from edgekit.agent.transfer import PutSpec
from edgekit.deployment import rates
from edgekit.deployment.travel import LOCAL_BYTES_PER_S, Link, zstd_may_pay, zstd_pays
from edgekit.devices import Device
from edgekit.events import Event, Sink


def link_to(device: Device, memory_bytes: int | None = None) -> Link:
    usual = LOCAL_BYTES_PER_S if device.kind == "local" else None
    return Link(rates.last_rate(device.address) or usual, memory_bytes)


def zstd_ratio(source: Path, size_bytes: int, link: Link) -> float | None:
    """How much a file shrinks, by a sample; None where compressing it does not pay on this link."""
    if not zstd_may_pay(size_bytes, link):
        return None
    ratio = sample_ratio(source)
    return ratio if zstd_pays(ratio, link) else None


def put_files(
    device: Device,
    specs: Sequence[PutSpec],
    task: str,
    wire_bytes: int,
    sink: Sink,
    before: Sequence[Request[Any]] = (),
) -> None:
    """In one round trip, with one progress over all that goes over the wire; `wire_bytes`: as far as that is known."""
    start = device.agent.sent_bytes

    def tell(done: int, total: int) -> None:
        sink(Event(task, "", done, total, "bytes", device.address))

    def progress(_sent: int, _size: int) -> None:
        done = device.agent.sent_bytes - start
        tell(done, max(wire_bytes, done + 1))  # an estimate that was passed is not the end

    device.agent.put_many(specs, before=before, progress=progress)
    if done := device.agent.sent_bytes - start:
        tell(done, done)
