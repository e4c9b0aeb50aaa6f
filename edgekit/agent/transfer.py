"""Files to the device and back, over a Link."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from edgekit.agent.link import Link, Pending
from edgekit.agent.protocol import DATA_BYTES, PUT_KEEP, Packer, Type
from edgekit.agent.requests import checked
from edgekit.cache import atomic_path, host_errors, sha256_file
from edgekit.clock import Deadline
from edgekit.errors import DeviceTimeout, VerificationError
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


def source_size(source: Path | bytes) -> int:
    if isinstance(source, bytes):
        return len(source)
    with host_errors(source):
        return source.stat().st_size


def source_sha256(source: Path | bytes) -> str:
    if isinstance(source, bytes):
        return hashlib.sha256(source).hexdigest()
    with host_errors(source):
        return sha256_file(source)


def put_deadline(size_bytes: int, timeout: float | None) -> Deadline:
    return Deadline.after(60.0 + size_bytes / SLOWEST_BYTES_PER_S if timeout is None else timeout)


def send_put(link: Link, spec: PutSpec, progress: Progress | None, deadline: Deadline) -> Pending:
    """Send a whole put without waiting for its answer (an early error ends the sending)."""
    size = source_size(spec.source)
    digest = bytes.fromhex(spec.sha256 or source_sha256(spec.source))
    packer = Packer().text(checked(spec.remote)).u32(spec.mode).u64(size).u64(spec.resume_from)
    pending = link.request(Type.PUT, packer.raw(digest).u8(PUT_KEEP * spec.keep_partial).done())
    try:
        _send_data(link, pending, spec, size, progress, deadline)
    except BaseException:
        link.abandon(pending)
        link.forget(pending)
        raise
    return pending


def _send_data(
    link: Link, pending: Pending, spec: PutSpec, size: int, progress: Progress | None, deadline: Deadline
) -> None:
    done = spec.resume_from
    for chunk in _chunks(spec, size):
        # An error that came early is kept in `pending`: whoever waits for the answer gets it.
        if pending.has_answer():
            return
        if deadline.expired():
            raise DeviceTimeout(f"{spec.remote}: {done} of {size} bytes sent in time", device=link.device)
        link.send(Type.DATA, pending.id, chunk)
        done += len(chunk)
        if progress:
            progress(done, size)


def _chunks(spec: PutSpec, size: int) -> Iterator[bytes]:
    if isinstance(spec.source, bytes):
        for at in range(spec.resume_from, size, DATA_BYTES):
            yield spec.source[at : at + DATA_BYTES]
        return
    with host_errors(spec.source), open(spec.source, "rb") as file:
        file.seek(spec.resume_from)
        left = size - spec.resume_from
        while left and (chunk := file.read(min(DATA_BYTES, left))):
            left -= len(chunk)
            yield chunk
    if left:
        raise VerificationError(f"{spec.source} became shorter while it was sent", code="E_SOURCE_CHANGED")


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
