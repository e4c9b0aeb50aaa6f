"""Bytes on their way from a reader thread to `recv`, bounded, with an end that is either clean or an error."""

from __future__ import annotations

import threading
from collections import deque

from edgekit.clock import Deadline
from edgekit.errors import EdgekitError


class Inbox:
    """`put` waits while `limit` bytes are unread, so that a device cannot fill this host's memory."""

    def __init__(self, limit: int = 4 << 20) -> None:
        self._limit = limit
        self._chunks: deque[bytes] = deque()
        self._held = 0
        self._ended = False
        self._error: EdgekitError | None = None
        self._changed = threading.Condition()

    def put(self, data: bytes) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._held < self._limit or self._ended)
            if self._ended or not data:
                return
            self._chunks.append(data)
            self._held += len(data)
            self._changed.notify_all()

    def end(self, error: EdgekitError | None = None, *, drop: bool = False) -> None:
        """No more comes. The first end counts; `drop` forgets what is unread, so that `get` fails at once."""
        with self._changed:
            if not self._ended:
                self._error = error
            if drop:
                self._error = error or self._error
                self._chunks.clear()
                self._held = 0
            self._ended = True
            self._changed.notify_all()

    def get(self, max_bytes: int, timeout: float) -> bytes | None:
        """As Stream.recv: b"" at a clean end, None past `timeout`; raises the error that ended it."""
        deadline = Deadline.after(max(0.0, timeout))
        with self._changed:
            if not self._changed.wait_for(lambda: self._chunks or self._ended, deadline.remaining()):
                return None
            if self._chunks:
                return self._take(max_bytes)
            if self._error is not None:
                raise self._error
            return b""

    def _take(self, max_bytes: int) -> bytes:
        taken: list[bytes] = []
        room = max_bytes
        while self._chunks and room > 0:
            chunk = self._chunks.popleft()
            if len(chunk) > room:
                self._chunks.appendleft(chunk[room:])
                chunk = chunk[:room]
            taken.append(chunk)
            room -= len(chunk)
        self._held -= max_bytes - room
        self._changed.notify_all()
        return taken[0] if len(taken) == 1 else b"".join(taken)
