"""Frames over a Stream: who waits for which answer, heartbeats both ways, and the certainty of an end.

Two threads: one reads and notices silence, one sends a ping now and then. When nothing has been heard for
SILENCE_S the stream is aborted and everyone who waits, or is blocked in a send, gets DeviceLost.
"""

from __future__ import annotations

import queue
import threading
import time

from edgekit.agent.answers import read_failure
from edgekit.agent.failures import error_of
from edgekit.agent.protocol import Frame, FrameDecoder, Packer, Type, pack_frame
from edgekit.clock import Deadline
from edgekit.errors import DeviceLost, DeviceTimeout, EdgekitError
from edgekit.transports.base import Stream

PING_S = 2.0
SILENCE_S = 8.0
RECV_BYTES = 256 << 10
_RECV_TIMEOUT_S = 0.5
_MAX_WAIT_S = 3600.0


class Pending:
    """One request that has been sent: its answers come here, in order."""

    def __init__(self, link: Link, request_id: int, kind: Type) -> None:
        self.id = request_id
        self.kind = kind
        self.finished = False
        self._link = link
        self._frames: queue.SimpleQueue[Frame | None] = queue.SimpleQueue()

    def deliver(self, frame: Frame | None) -> None:
        """Called by the reader; None: nothing more will come."""
        self._frames.put(frame)

    def next(self, deadline: Deadline) -> Frame:
        """The next frame. Raises the error of an ERROR frame, DeviceLost, or DeviceTimeout."""
        left = deadline.remaining()
        try:
            frame = self._frames.get(timeout=_MAX_WAIT_S if left is None else left)
        except queue.Empty:
            raise DeviceTimeout(
                f"no answer to {self.kind.name.lower()} in time", device=self._link.device
            ) from None
        return self._checked(frame)

    def has_answer(self) -> bool:
        """Whether `next` would return, or raise, at once."""
        return not self._frames.empty()

    def _checked(self, frame: Frame | None) -> Frame:
        if frame is None:
            self._frames.put(None)
            raise self._link.lost_error()
        if frame.type == Type.ERROR:
            self.finished = True
            raise error_of(read_failure(frame.payload), self._link.device)
        if frame.type == Type.RESULT:
            self.finished = True
        return frame


class Link:
    """The frames of one agent. Thread-safe."""

    def __init__(self, stream: Stream, decoder: FrameDecoder, first: list[Frame], device: str | None) -> None:
        self.device = device
        self.round_trips = 1
        """Times that a request was sent with none outstanding; the start is the first."""
        self._stream = stream
        self._decoder = decoder
        self._send_lock = threading.Lock()
        self._state_lock = threading.Lock()
        self._waiting: dict[int, Pending] = {}
        self._next_id = 1
        self._lost: EdgekitError | None = None
        self._closing = threading.Event()
        for frame in first:
            self._dispatch(frame)
        self._reader = threading.Thread(target=self._read, name="edgekit-agent-read", daemon=True)
        self._pinger = threading.Thread(target=self._ping, name="edgekit-agent-ping", daemon=True)
        self._reader.start()
        self._pinger.start()

    def request(self, kind: Type, payload: bytes, *, behind: bool = False) -> Pending:
        """Send a request without waiting for its answer. `behind`: nor for that of the one before, though it may have
        come by now; this is then no round trip of its own. Raises DeviceLost."""
        with self._state_lock:
            if self._lost:
                raise self._copy(self._lost)
            pending = Pending(self, self._next_id, kind)
            self._next_id = self._next_id % 0xFFFF_FFFF + 1
            self.round_trips += not self._waiting and not behind
            self._waiting[pending.id] = pending
        self.send(kind, pending.id, payload)
        return pending

    def post(self, kind: Type, payload: bytes) -> None:
        """Send a request whose answer nobody needs: it costs no round trip. Raises DeviceLost."""
        with self._state_lock:
            request_id = self._next_id
            self._next_id = self._next_id % 0xFFFF_FFFF + 1
        self.send(kind, request_id, payload)

    def call(self, kind: Type, payload: bytes, timeout: float | None) -> bytes:
        """Send a request and wait for its RESULT."""
        pending = self.request(kind, payload)
        try:
            return pending.next(Deadline.after(timeout)).payload
        except DeviceTimeout:
            self.abandon(pending)  # else those behind it would wait for it
            raise
        finally:
            self.forget(pending)

    def send(self, kind: Type, request_id: int, payload: bytes | memoryview = b"") -> None:
        """One frame; blocks while the agent does not read. Raises DeviceLost."""
        frame = pack_frame(kind, request_id, bytes(payload))
        with self._send_lock:
            if self._lost:
                raise self._copy(self._lost)
            try:
                self._stream.send(frame)
            except DeviceLost as error:
                self._lose(error)
                raise self.lost_error() from error
            except BaseException:
                # A signal's exception in the middle of a frame: whatever is sent next would be taken for the
                # rest of it, so this link is of no more use.
                self._lose(DeviceLost("interrupted in the middle of a frame", transient=False))
                raise

    def cancel(self, pending: Pending) -> None:
        """Ask the agent to stop a request; its answer still comes."""
        self.send(Type.CANCEL, 0, Packer().u32(pending.id).done())

    def abandon(self, pending: Pending) -> None:
        """Cancel a request whose answer nobody will wait for. Never raises."""
        try:
            self.cancel(pending)
        except EdgekitError:
            pass  # the link is gone, and with it the request

    def forget(self, pending: Pending) -> None:
        """Nobody waits for this request any more; answers that still come are dropped."""
        with self._state_lock:
            self._waiting.pop(pending.id, None)

    def lost_error(self) -> EdgekitError:
        """A fresh copy of why the link ended."""
        return self._copy(self._lost or DeviceLost("the agent was closed", device=self.device))

    def close(self) -> None:
        """End politely: the agent sees its input end, cleans up and exits. Never raises."""
        if self._closing.is_set():
            return
        self._closing.set()
        try:
            self._stream.close_stdin()
            self._stream.wait(2.0)
        except EdgekitError:
            self._stream.abort()
        self._stream.close()
        self._lose(DeviceLost("the agent was closed", device=self.device, transient=False))
        if threading.current_thread() is not self._reader:
            self._reader.join(2.0)

    def _copy(self, error: EdgekitError) -> EdgekitError:
        return DeviceLost(
            error.message, code=error.code, hint=error.hint, device=self.device, transient=error.transient
        )

    def _lose(self, error: EdgekitError) -> None:
        with self._state_lock:
            if self._lost is None:
                self._lost = error
            waiting = list(self._waiting.values())
        self._stream.abort()
        for pending in waiting:
            pending.deliver(None)

    def _read(self) -> None:
        heard = time.monotonic()
        while self._lost is None:
            try:
                data = self._stream.recv(RECV_BYTES, _RECV_TIMEOUT_S)
                if data is None:
                    if time.monotonic() - heard > SILENCE_S:
                        raise DeviceLost(
                            f"nothing heard for {SILENCE_S:.0f} s", hint="is it still connected?"
                        )
                    continue
                if not data:
                    raise self._ended()
                heard = time.monotonic()
                for frame in self._decoder.feed(data):
                    self._dispatch(frame)
            except ValueError as error:
                self._lose(DeviceLost(f"the agent's stream is damaged: {error}"))
            except EdgekitError as error:
                self._lose(error)

    def _ended(self) -> DeviceLost:
        """Why stdout has ended, as far as it can be told."""
        if self._closing.is_set():
            return DeviceLost("the agent was closed")
        try:
            how = f"the agent ended with exit code {self._stream.wait(2.0)}"
        except EdgekitError as error:
            how = f"the connection to the agent ended ({error.message})"
        tail = self._stream.stderr_tail().strip()
        return DeviceLost(f"{how}: {tail[-500:]}" if tail else how)

    def _dispatch(self, frame: Frame) -> None:
        if frame.type in (Type.PING, Type.PONG):
            return
        last = frame.type in (Type.RESULT, Type.ERROR)
        with self._state_lock:
            pending = self._waiting.pop(frame.id, None) if last else self._waiting.get(frame.id)
        if pending is not None:
            pending.deliver(frame)

    def _ping(self) -> None:
        while not self._closing.wait(PING_S) and self._lost is None:
            # A sender that is blocked holds the lock; its bytes are as good as a ping.
            if not self._send_lock.acquire(blocking=False):
                continue
            try:
                self._stream.send(pack_frame(Type.PING, 0))
            except DeviceLost as error:
                self._lose(error)
            finally:
                self._send_lock.release()
