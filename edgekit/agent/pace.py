"""How fast a put may send, and how much has been sent."""

from __future__ import annotations

import threading
import time

BURST_BYTES = 64 << 10
BURST_S = 0.1


class Throttle:
    """A token bucket: on average `bytes_per_s`, and never more than 64 KiB, or what 100 ms allow, at once."""

    def __init__(self, bytes_per_s: float) -> None:
        self.bytes_per_s = bytes_per_s
        self.burst_bytes = max(1, min(BURST_BYTES, int(bytes_per_s * BURST_S)))
        self._tokens = float(self.burst_bytes)
        self._at = time.monotonic()

    def take(self, count: int) -> float:
        """Use up `count` bytes' worth; the seconds to wait before they may be sent."""
        now = time.monotonic()
        self._tokens = min(self.burst_bytes, self._tokens + (now - self._at) * self.bytes_per_s) - count
        self._at = now
        return max(0.0, -self._tokens / self.bytes_per_s)


class Counter:
    """Bytes sent so far, by any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bytes = 0

    def add(self, count: int) -> None:
        with self._lock:
            self._bytes += count

    @property
    def bytes(self) -> int:
        with self._lock:
            return self._bytes
