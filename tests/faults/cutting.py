"""A real transport whose one long stream is cut at a chosen frame or byte. Nothing else is changed: the agent, the
transport and the bytes are the real ones, up to the cut."""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgekit.agent.protocol import HEADER_BYTES, MAGIC, Type
from edgekit.errors import DeviceLost
from edgekit.transports.base import Completed, Progress, Stream, Transport
from tests.faults.phases import PINGS, Direction, Seen, phase_of

How = Literal["closed", "silent", "agent killed", "host killed", "event"]
_HEADER = struct.Struct("<IIB")


@dataclass(frozen=True)
class Cut:
    """After `frames` whole frames in `direction`, and `extra_bytes` of the one behind them. `closed`: the device sees
    the end of its input, the host that of its stream; `silent`: neither sees anything any more; `event`: something else happens there."""

    direction: Direction
    frames: int
    how: How
    extra_bytes: int = 0


class Wire:
    """What one stream carried, and the cut, which comes once."""

    def __init__(self, cut: Cut | None = None, at_cut: Callable[[], object] | None = None) -> None:
        """`at_cut`: what kills, where the cut is one that kills."""
        self.cut = cut
        self.seen: list[Seen] = []
        self.fired: str | None = None
        """The phase in which the cut came."""
        self.at_cut = at_cut
        self._phases: dict[int, str] = {}
        self._lock = threading.Lock()
        self.held: list[Stream] = []

    def count(self, direction: Direction) -> int:
        return sum(each.direction == direction for each in self.seen)

    def phase(self, kind: int, request_id: int, payload: bytes | None = None) -> str:
        """Of a frame of the device, or, with its payload, of the host."""
        if payload is not None and kind != Type.DATA:
            self._phases[request_id] = phase_of(kind, payload)
        return self._phases.get(request_id, "start")

    def record(self, direction: Direction, kind: int, request_id: int, size_bytes: int, phase: str) -> None:
        with self._lock:
            self.seen.append(Seen(direction, kind, request_id, size_bytes, phase))

    def due(self, direction: Direction, *, within: bool) -> bool:
        """Whether the cut comes now: at the boundary behind the last frame, or `within` the one that follows."""
        cut = self.cut
        if cut is None or self.fired is not None or cut.direction != direction:
            return False
        return self.count(direction) == cut.frames and (cut.extra_bytes > 0) == within

    def fire(self, stream: Stream, phase: str, *, local: bool) -> None:
        assert self.cut is not None
        self.fired = phase
        if self.cut.how in ("agent killed", "host killed", "event"):
            assert self.at_cut is not None
            self.at_cut()
        elif self.cut.how == "closed":
            # A local stream's abort kills the agent; what is to be seen here is how it ends by itself.
            if local:
                stream.close_stdin()
            else:
                stream.abort()

    def free(self) -> None:
        """Close what the host side had to leave open."""
        for stream in self.held:
            stream.close()
        self.held.clear()


class CuttingStream:
    """Stands between the link and a real stream."""

    def __init__(self, inner: Stream, wire: Wire, *, local: bool) -> None:
        self._inner = inner
        self._wire = wire
        self._local = local
        self._tail = bytearray()
        self._magic = False
        self._aborted = threading.Event()
        self._mine = False
        """Whether this very stream is the one that was cut: after a cut at the start there is a second one."""

    def _gone(self) -> bool:
        return self._mine and self._wire.cut is not None and self._wire.cut.how in ("closed", "silent")

    def _silent(self) -> bool:
        return self._gone() and self._wire.cut is not None and self._wire.cut.how == "silent"

    def _fire(self, phase: str) -> None:
        self._mine = True
        self._wire.held.append(self._inner)
        self._wire.fire(self._inner, phase, local=self._local)

    def _lost(self) -> DeviceLost:
        return DeviceLost("the stream was cut by the test")

    def send(self, data: bytes | memoryview) -> None:
        frame = bytes(data)
        if self._silent():
            return
        if self._gone():
            raise self._lost()
        size, request_id, kind = _HEADER.unpack_from(frame)
        if kind in PINGS:
            self._inner.send(frame)
            return
        phase = self._wire.phase(kind, request_id, frame[HEADER_BYTES:])
        if self._wire.due("to", within=True):
            assert self._wire.cut is not None
            part = min(self._wire.cut.extra_bytes, len(frame) - 1)
            self._inner.send(frame[:part])
            self._fire(phase)
            self.send(frame[part:]) if self._gone() else self._inner.send(frame[part:])
            return
        self._inner.send(frame)
        self._wire.record("to", kind, request_id, HEADER_BYTES + size, phase)
        if self._wire.due("to", within=False):
            self._fire(phase)

    def recv(self, max_bytes: int, timeout: float) -> bytes | None:
        if self._wire.due("from", within=False):
            self._fire("start")
        if self._gone():
            return self._after(timeout)
        data = self._inner.recv(max_bytes, timeout)
        if self._gone():
            return self._after(0.0)
        return self._through(data) if data else data

    def _after(self, timeout: float) -> bytes | None:
        if not self._silent():
            return b""
        if self._aborted.wait(timeout):
            raise self._lost()
        return None

    def _through(self, data: bytes) -> bytes:
        """The bytes that get through, the cut done where it falls into them."""
        before = len(self._tail)
        self._tail += data
        at = self._skip_magic()
        if at is None:
            return data
        while (frame := self._frame_at(at)) is not None:
            size, request_id, kind = frame
            end = at + HEADER_BYTES + size
            phase = self._wire.phase(kind, request_id)
            if kind not in PINGS and self._wire.due("from", within=True):
                assert self._wire.cut is not None
                upto = at + min(self._wire.cut.extra_bytes, HEADER_BYTES + size - 1)
                if len(self._tail) >= upto:
                    self._fire(phase)
                    return data[: max(0, upto - before)] if self._gone() else data
            if len(self._tail) < end:
                break
            at = end
            if kind in PINGS:
                continue
            self._wire.record("from", kind, request_id, HEADER_BYTES + size, phase)
            if self._wire.due("from", within=False):
                self._fire(phase)
                return data[: max(0, end - before)] if self._gone() else data
        del self._tail[:at]
        return data

    def _skip_magic(self) -> int | None:
        if self._magic:
            return 0
        found = self._tail.find(MAGIC)
        if found < 0:
            return None
        self._magic = True
        return found + len(MAGIC)

    def _frame_at(self, at: int) -> tuple[int, int, int] | None:
        """Size, id and type of the frame that begins there; None while its header is not whole."""
        if len(self._tail) - at < HEADER_BYTES:
            return None
        size, request_id, kind = _HEADER.unpack_from(self._tail, at)
        return size, request_id, kind

    def close_stdin(self) -> None:
        if not self._gone():
            self._inner.close_stdin()

    def wait(self, timeout: float) -> int:
        if self._gone():
            raise self._lost()
        return self._inner.wait(timeout)

    def stderr_tail(self) -> str:
        return self._inner.stderr_tail()

    def abort(self) -> None:
        """Behind a cut the other end is out of reach."""
        self._aborted.set()
        if not self._gone():
            self._inner.abort()

    def close(self) -> None:
        if not self._gone():
            self._inner.close()


class CuttingTransport:
    """A transport whose agent's stream goes through a `Wire`."""

    def __init__(self, inner: Transport, wire: Wire, wrap: Sequence[str] = ()) -> None:
        """`wrap`: a program, with arguments, that starts the agent."""
        self.inner = inner
        self.wire = wire
        self._wrap = tuple(wrap)
        self.kind = inner.kind
        self.simulated = inner.simulated
        self.address = inner.address
        self.default_root = inner.default_root

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout: float) -> Completed:
        return self.inner.run(argv, stdin=stdin, timeout=timeout)

    def open(self, argv: Sequence[str], *, timeout: float) -> Stream:
        stream = self.inner.open([*self._wrap, *argv], timeout=timeout)
        return CuttingStream(stream, self.wire, local=self.kind == "local")

    def put(
        self,
        source: Path | bytes,
        remote: str,
        *,
        mode: int,
        timeout: float,
        progress: Progress | None = None,
    ) -> None:
        self.inner.put(source, remote, mode=mode, timeout=timeout, progress=progress)

    def close(self) -> None:
        self.inner.close()
