"""One command on an adb connection; a thread reads, so that stderr and the exit code come in at any time."""

from __future__ import annotations

import contextlib
import threading

from edgekit.errors import DeviceLost, DeviceTimeout
from edgekit.transports.adb_codec import STDIN_CHUNK_BYTES, Codec
from edgekit.transports.adb_host import Link
from edgekit.transports.adb_pulse import Pulse
from edgekit.transports.inbox import Inbox
from edgekit.transports.running import Tail, lost

_READ_BYTES = 1 << 18
_CLOSE_SECONDS = 1.0
_HOLD_SECONDS = 0.02


class AdbStream:
    """A connection that ends before the exit code is DeviceLost, whatever its output looks like."""

    def __init__(self, link: Link, codec: Codec, pulse: Pulse, device: str, stderr_limit: int | None) -> None:
        link.settimeout(None)  # deadlines are the callers'; the pulse ends what would wait for ever
        self._link = link
        self._codec = codec
        self._pulse = pulse
        self._device = device
        self._tail = Tail(stderr_limit)
        self._inbox = Inbox()
        self._exit_code: int | None = None
        self._ended = threading.Event()
        self._cut: DeviceLost | None = None
        self._send_lock = threading.Lock()
        self._watch = pulse.watch(self._break)
        self._reader = threading.Thread(target=self._read, name="edgekit-adb-read", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        reason: Exception | None = None
        try:
            while data := self._recv():
                self._pulse.seen()
                self._take(data)
            for event in self._codec.release():
                self._handle(*event)
        except (OSError, EOFError, ValueError) as error:
            reason = error
        finally:
            self._pulse.forget(self._watch)
            self._end(reason)

    def _recv(self) -> bytes:
        """The next bytes; what the codec holds back goes out when nothing follows it."""
        while self._codec.holds():
            self._link.settimeout(_HOLD_SECONDS)
            try:
                return self._link.recv(_READ_BYTES)
            except TimeoutError:
                for event in self._codec.release():
                    self._handle(*event)
            finally:
                self._link.settimeout(None)
        return self._link.recv(_READ_BYTES)

    def _take(self, data: bytes) -> None:
        for event in self._codec.feed(data):
            self._handle(*event)

    def _handle(self, kind: str, value: bytes | int) -> None:
        if isinstance(value, int):
            self._exit_code = value
        elif kind == "out":
            self._inbox.put(value)
        else:
            self._tail.add(value)

    def _end(self, reason: Exception | None) -> None:
        error = self._cut
        if error is None and self._exit_code is None:
            error = lost("the connection ended before the command did", self._device, reason)
        self._inbox.end(error)
        self._ended.set()

    def _break(self, reason: DeviceLost) -> None:
        """From any thread: what waits now fails with `reason`."""
        if self._cut is None and not self._ended.is_set():
            self._cut = reason
            self._inbox.end(reason, drop=True)
        self._link.abort()

    def send(self, data: bytes | memoryview) -> None:
        view = memoryview(data).cast("B")
        try:
            with self._send_lock:
                for start in range(0, len(view), STDIN_CHUNK_BYTES):
                    self._check()
                    self._send_whole(self._codec.stdin(view[start : start + STDIN_CHUNK_BYTES]))
        except (OSError, EOFError) as error:
            raise self._cut or lost("the command reads no more input", self._device, error) from error
        self._check()

    def _send_whole(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            # A timeout is the reader's, which shares the link.
            with contextlib.suppress(TimeoutError, BlockingIOError):
                view = view[self._link.send(view) :]

    def _check(self) -> None:
        if self._cut is not None:
            raise self._cut
        if self._ended.is_set():
            raise lost("the command reads no more input", self._device)

    def recv(self, max_bytes: int, timeout: float) -> bytes | None:
        return self._inbox.get(max_bytes, timeout)

    def close_stdin(self) -> None:
        """Where the device's adbd has no way to say it (no shell_v2), nothing is said."""
        end = self._codec.end_of_stdin()
        if end is not None and not self._ended.is_set():
            with contextlib.suppress(OSError, EOFError), self._send_lock:
                self._send_whole(end)

    def wait(self, timeout: float) -> int:
        if not self._ended.wait(timeout):
            raise DeviceTimeout(f"the command did not end within {timeout:g} s", device=self._device)
        if self._cut is not None:
            raise self._cut
        if self._exit_code is None:
            raise lost("the connection ended, and the command's exit code is not known", self._device)
        return self._exit_code

    def stderr_tail(self) -> str:
        return self._tail.text()

    def stderr_bytes(self) -> bytes:
        return self._tail.value()

    def abort(self) -> None:
        self._break(lost("the stream was cut", self._device))

    def close(self) -> None:
        if self._cut is None and not self._ended.is_set():
            self.close_stdin()
            self._ended.wait(_CLOSE_SECONDS)
            self._inbox.end(drop=True)
        self._link.abort()
        self._pulse.forget(self._watch)
        self._link.close()
