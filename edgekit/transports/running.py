"""What all transports share: the end of a stderr, and a command run to its end over a stream."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Protocol

from edgekit.clock import Deadline
from edgekit.errors import DeviceError, DeviceLost, DeviceTimeout
from edgekit.transports.base import Completed, Stream

TAIL_BYTES = 8192
RECV_BYTES = 1 << 20
_SHOWN_BYTES = 2000


class Tail:
    """The last `limit` bytes of what was added (everything where `limit` is None); safe between threads."""

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._data = bytearray()
        self._lock = threading.Lock()

    def add(self, data: bytes) -> None:
        with self._lock:
            self._data += data
            if self._limit is not None and len(self._data) > self._limit:
                del self._data[: len(self._data) - self._limit]

    def value(self) -> bytes:
        with self._lock:
            return bytes(self._data)

    def text(self) -> str:
        return self.value()[-TAIL_BYTES:].decode("utf-8", "replace")


class RunStream(Stream, Protocol):
    """A stream that keeps all of stderr, for `run_to_end`."""

    def stderr_bytes(self) -> bytes:
        """What the command wrote to stderr so far (all of it, or the last 8 KiB of a plain stream)."""


def run_to_end(
    stream: RunStream, argv: Sequence[str], stdin: bytes, deadline: Deadline, device: str
) -> Completed:
    """Feed `stdin`, collect both outputs, wait for the exit code; the stream is closed or aborted after.

    Raises DeviceTimeout (with what was printed until then) past `deadline`, DeviceLost where the
    connection ended without an exit code.
    """
    feeder = threading.Thread(target=_feed, args=(stream, stdin), name="edgekit-stdin", daemon=True)
    output = bytearray()
    done = False
    try:
        feeder.start()
        while True:
            chunk = stream.recv(RECV_BYTES, _left(deadline))
            if chunk is None:
                raise _timed_out(argv, bytes(output), stream.stderr_bytes(), device)
            if not chunk:
                break
            output += chunk
        try:
            code = stream.wait(_left(deadline))
        except DeviceTimeout as error:
            raise _timed_out(argv, bytes(output), stream.stderr_bytes(), device) from error
        result = Completed(code, bytes(output), stream.stderr_bytes())
        done = True
        return result
    finally:
        if not done:
            stream.abort()
        stream.close()
        feeder.join(1.0)


def _feed(stream: Stream, stdin: bytes) -> None:
    """A command may end without reading its input: that is not an error, and its exit code tells the rest."""
    try:
        if stdin:
            stream.send(stdin)
        stream.close_stdin()
    except DeviceError:
        return


def _left(deadline: Deadline) -> float:
    remaining = deadline.remaining()
    return 86400.0 if remaining is None else remaining


def _timed_out(argv: Sequence[str], stdout: bytes, stderr: bytes, device: str) -> DeviceTimeout:
    shown = f"'{_short(argv)}' did not end in time"
    for name, data in (("stdout", stdout), ("stderr", stderr)):
        if data:
            shown += f"; {name} until then: {data[-_SHOWN_BYTES:].decode('utf-8', 'replace')!r}"
    return DeviceTimeout(
        shown, device=device, hint="give it longer with --timeout, or see what the device is busy with"
    )


def _short(argv: Sequence[str]) -> str:
    text = " ".join(argv)
    return text if len(text) <= 200 else text[:197] + "..."


def lost(message: str, device: str, reason: BaseException | None = None) -> DeviceLost:
    """A DeviceLost with the usual hint; `reason` is what the library below said."""
    if reason is not None and str(reason):
        message = f"{message} ({reason})"
    return DeviceLost(message, device=device, hint="check the cable or the network, then try again")
