"""Files to the device and back, over a Link."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from edgekit.agent.encoding import patch_chunks, source_chunks, zstd_chunks
from edgekit.agent.encoding import source_size as source_size
from edgekit.agent.link import Link, Pending
from edgekit.agent.pace import BURST_S, Counter, Throttle
from edgekit.agent.protocol import ENCODING_BYTES, PUT_KEEP, Encoding, Packer, Type
from edgekit.agent.requests import checked
from edgekit.cache import atomic_path, host_errors, sha256_file
from edgekit.clock import Deadline
from edgekit.errors import BugError, DeviceTimeout, InputError
from edgekit.transports.base import Progress

SLOWEST_BYTES_PER_S = 20_000
"""A put's default deadline allows for a link as slow as this, and a minute."""


@dataclass(frozen=True, kw_only=True)
class PutSpec:
    """One file to put. `sha256` (hex) is computed from the source where it is not given."""

    source: Path | bytes
    remote: str
    mode: int = 0o644
    sha256: str | None = None
    resume_from: int = 0
    """Bytes that `.NAME.ek-tmp` on the device already holds; the agent checks the hash over all of them."""
    keep_partial: bool = False
    encoding: Encoding = "raw"
    base: str | None = None
    """For "patch" and "copy": the file of the device that is referred to."""
    base_source: Path | bytes | None = None
    """For "patch": the same bytes on this host, unless `wire` is given."""
    wire: Path | bytes | None = None
    """What to send, already encoded from `resume_from` on; otherwise it is made while it is sent."""
    level: int = 1
    bandwidth_bytes_per_s: float | None = None
    """Of several files in one go, the lowest that is given holds for all of them together."""


def source_sha256(source: Path | bytes) -> str:
    if isinstance(source, bytes):
        return hashlib.sha256(source).hexdigest()
    with host_errors(source):
        return sha256_file(source)


def put_deadline(size_bytes: int, timeout: float | None, throttle: Throttle | None = None) -> Deadline:
    """A throttle slower than the slowest link has the time it needs, and half as much again."""
    if timeout is not None:
        return Deadline.after(timeout)
    throttled = 1.5 * size_bytes / throttle.bytes_per_s if throttle is not None else 0.0
    return Deadline.after(60.0 + max(size_bytes / SLOWEST_BYTES_PER_S, throttled))


def throttle_of(specs: Sequence[PutSpec]) -> Throttle | None:
    """One for all of them, as slow as the slowest. Raises InputError for a rate that is none."""
    rates = [s.bandwidth_bytes_per_s for s in specs if s.bandwidth_bytes_per_s is not None]
    if any(not rate > 0 for rate in rates):
        raise InputError(f"a bandwidth of {min(rates)} bytes per second", code="E_BANDWIDTH")
    return Throttle(min(rates)) if rates else None


@dataclass(frozen=True)
class Sending:
    """What the puts of one connection share while they are sent."""

    link: Link
    deadline: Deadline
    sent: Counter
    throttle: Throttle | None = None
    progress: Progress | None = None
    after: int = 0
    """Id of the request that must have gone well; 0: none."""


def send_put(go: Sending, spec: PutSpec, *, behind: bool = False) -> Pending:
    """Send a whole put without waiting for its answer (an early error ends the sending). `behind`: see Link."""
    size = source_size(spec.source)
    digest = bytes.fromhex(spec.sha256 or source_sha256(spec.source))
    packer = Packer().text(checked(spec.remote)).u32(spec.mode).u64(size).u64(spec.resume_from)
    packer.raw(digest).u8(PUT_KEEP * spec.keep_partial).u8(ENCODING_BYTES[spec.encoding])
    pending = go.link.request(Type.PUT, packer.text(_base(spec)).u32(go.after).done(), behind=behind)
    try:
        _send_data(go, pending, spec, size)
    except BaseException:
        go.link.abandon(pending)
        go.link.forget(pending)
        raise
    return pending


def _base(spec: PutSpec) -> str:
    if spec.encoding in ("patch", "copy"):
        return checked(spec.base or "")
    return ""


def _send_data(go: Sending, pending: Pending, spec: PutSpec, size: int) -> None:
    start = spec.resume_from if spec.encoding == "raw" else 0
    for chunk, total in _wire_chunks(spec, size):
        for piece in _pieces(chunk, go.throttle):
            # An error that came early is kept in `pending`: whoever waits for the answer gets it.
            if not _may_send(go, pending, spec, len(piece)):
                return
            go.link.send(Type.DATA, pending.id, piece)
            go.sent.add(len(piece))
            start += len(piece)
            if go.progress:
                go.progress(start, max(total, start))
    if spec.encoding in ("zstd", "patch") and not pending.has_answer():
        go.link.send(Type.DATA, pending.id)  # that was all


def _pieces(chunk: bytes, throttle: Throttle | None) -> Iterator[bytes]:
    step = throttle.burst_bytes if throttle else len(chunk) or 1
    for at in range(0, len(chunk), step):
        yield chunk[at : at + step]


def _may_send(go: Sending, pending: Pending, spec: PutSpec, count: int) -> bool:
    """Waits for its turn. False where the put was answered already."""
    until = time.monotonic() + (go.throttle.take(count) if go.throttle else 0.0)
    while True:
        if pending.has_answer():
            return False
        if go.deadline.expired():
            raise DeviceTimeout(f"{spec.remote}: not sent in time", device=go.link.device)
        left = until - time.monotonic()
        if left <= 0:
            return True
        time.sleep(min(left, BURST_S))


def _wire_chunks(spec: PutSpec, size: int) -> Iterator[tuple[bytes, int]]:
    """What goes over the wire, each piece with how much that will be in all, as far as it can be told by then."""
    offset = spec.resume_from
    if spec.encoding == "copy":
        return
    if spec.encoding == "raw":
        for chunk in source_chunks(spec.source, offset, size):
            yield chunk, size
        return
    if spec.wire is not None:
        total = source_size(spec.wire)
        for chunk in source_chunks(spec.wire, 0, total):
            yield chunk, total
        return
    made = 0
    for chunk, taken in _encoded(spec, size):
        made += len(chunk)
        yield chunk, made * (size - offset) // taken if taken else made


def _encoded(spec: PutSpec, size: int) -> Iterator[tuple[bytes, int]]:
    if spec.encoding == "zstd":
        return zstd_chunks(spec.source, spec.resume_from, size, spec.level)
    if spec.base_source is None:
        raise BugError(f"{spec.remote}: a patch needs its base on this host")
    return patch_chunks(spec.source, spec.base_source, spec.resume_from, size, spec.level)


def get_bytes(link: Link, remote: str, offset: int, length: int | None, deadline: Deadline) -> bytes:
    parts: list[bytes] = []
    _receive(link, remote, offset, length, parts.append, deadline)
    return b"".join(parts)


def get_file(link: Link, remote: str, target: Path, progress: Progress | None, deadline: Deadline) -> int:
    """Whole into `target`, or not at all. Returns its size in bytes."""
    done = 0

    with atomic_path(target) as temporary, host_errors(target), open(temporary, "wb") as file:

        def take(chunk: bytes) -> None:
            nonlocal done
            _write(file, chunk)
            done += len(chunk)
            if progress:
                progress(done, done)

        _receive(link, remote, 0, None, take, deadline)
    return done


def _write(file: BinaryIO, chunk: bytes) -> None:
    file.write(chunk)


def _receive(
    link: Link,
    remote: str,
    offset: int,
    length: int | None,
    take: Callable[[bytes], None],
    deadline: Deadline,
) -> None:
    wanted = (1 << 64) - 1 if length is None else length
    pending = link.request(Type.GET, Packer().text(checked(remote)).u64(offset).u64(wanted).done())
    try:
        while (frame := pending.next(deadline)).type != Type.RESULT:
            take(frame.payload)
    finally:
        if not pending.finished:
            link.abandon(pending)
        link.forget(pending)
