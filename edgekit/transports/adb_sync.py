"""Putting a file through adb's sync service: it needs no program on the device, and is adb's fastest way.

Source of the format: AOSP packages/modules/adb, SYNC.TXT: id of four letters, length (4 bytes, little-endian),
then that many bytes; SEND "PATH,MODE", DATA..., DONE with the time, then OKAY or FAIL with a text.
"""

from __future__ import annotations

import posixpath
import stat
import struct
import time
from pathlib import Path

from edgekit.clock import Deadline
from edgekit.errors import DeviceError, DeviceLost, DeviceTimeout, RemoteError
from edgekit.transports.adb_host import Closed, Link, link_errors, recv_exactly, send_all
from edgekit.transports.adb_pulse import Pulse
from edgekit.transports.base import Progress
from edgekit.transports.files import chunks, errno_of_text, size_of, write_error
from edgekit.transports.running import lost

_CHUNK_BYTES = 1 << 16  # the most that a DATA packet may hold
_STALL_SECONDS = 8.0


def send_file(
    link: Link,
    pulse: Pulse,
    source: Path | bytes,
    remote: str,
    *,
    mode: int,
    deadline: Deadline,
    device: str,
    progress: Progress | None,
) -> None:
    """Write `source` on a link that speaks sync. Raises DeviceLost where nothing moves for 8 s, DeviceTimeout,
    DeviceFull, DeviceReadOnly, DevicePermission, RemoteError."""
    gone: list[DeviceLost] = []

    def cut(reason: DeviceLost) -> None:
        gone.append(reason)
        link.abort()

    try:
        with pulse.watching(cut), link_errors(deadline, device):
            _need_folder(link, remote, device)
            said = _transfer(link, pulse, source, remote, mode, deadline, device, progress)
    except DeviceError as error:
        if gone:
            raise gone[0] from error
        raise
    if said is not None:
        raise write_error(errno_of_text(said), remote, device, said)


def _need_folder(link: Link, remote: str, device: str) -> None:
    """adbd would make missing folders; no other transport does."""
    folder = posixpath.dirname(remote) or "/"
    send_all(link, _packet(b"STAT", folder.encode("utf-8", "surrogateescape")))
    answer, mode, _, _ = struct.unpack("<4sIII", recv_exactly(link, 16))
    if answer != b"STAT":
        raise Closed(f"adbd answers STAT with {answer!r}")
    if mode and stat.S_ISDIR(mode):
        return
    raise RemoteError(
        f"cannot write {remote}: there is no folder {folder} (or it may not be looked into)",
        code="E_REMOTE_NO_FOLDER",
        device=device,
    )


def _transfer(
    link: Link,
    pulse: Pulse,
    source: Path | bytes,
    remote: str,
    mode: int,
    deadline: Deadline,
    device: str,
    progress: Progress | None,
) -> str | None:
    """None, or what adbd said when it refused."""
    total = size_of(source)
    done = 0
    target = f"{remote},{stat.S_IFREG | mode}".encode("utf-8", "surrogateescape")
    try:
        send_all(link, _packet(b"SEND", target))
        for piece in chunks(source, _CHUNK_BYTES):
            if deadline.expired():
                raise DeviceTimeout(f"{remote}: {done} of {total} bytes written in time", device=device)
            link.settimeout(max(0.05, deadline.within(_STALL_SECONDS)))
            _send_data(link, pulse, piece)
            done += len(piece)
            if progress is not None:
                progress(done, total)
            if link.ready():
                break  # adbd says something before the end: it has refused
        else:
            send_all(link, struct.pack("<4sI", b"DONE", int(time.time())))
    except TimeoutError as error:
        if deadline.expired():
            raise
        raise lost(f"{remote}: nothing moved for {_STALL_SECONDS:g} s", device, error) from error
    except OSError:
        # adbd ends the connection after a refusal; what it said may still be there to read.
        return _answer(link, deadline)
    return _answer(link, deadline)


def _send_data(link: Link, pulse: Pulse, piece: bytes | memoryview) -> None:
    view = memoryview(_packet(b"DATA", piece))
    while view:
        view = view[link.send(view) :]
        pulse.seen()  # a full transfer moves only as far as the device takes it


def _answer(link: Link, deadline: Deadline) -> str | None:
    link.settimeout(max(0.05, deadline.within(3600)))
    kind, size = struct.unpack("<4sI", recv_exactly(link, 8))
    if kind == b"OKAY":
        return None
    if kind != b"FAIL":
        raise Closed(f"adbd answers SEND with {kind!r}")
    return recv_exactly(link, min(size, 1 << 16)).decode("utf-8", "replace")


def _packet(kind: bytes, data: bytes | memoryview) -> bytes:
    return struct.pack("<4sI", kind, len(data)) + data
