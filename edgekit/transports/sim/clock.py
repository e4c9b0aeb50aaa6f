"""The time of a simulated device: it passes by what the device does, never by waiting."""

from __future__ import annotations

import time

NS_PER_S = 1_000_000_000
_UPTIME_NS = 3600 * NS_PER_S
"""A device that is met is one that has been on for a while."""
_BOOT_NS = 30 * NS_PER_S


class VirtualClock:
    """CLOCK_BOOTTIME, CLOCK_MONOTONIC_RAW and CLOCK_REALTIME in nanoseconds. CLOCK_REALTIME begins at the host's."""

    def __init__(self) -> None:
        self.boottime_ns = _UPTIME_NS
        self.raw_ns = _UPTIME_NS
        self.realtime_ns = time.time_ns()

    def advance(self, ns: int) -> None:
        self.boottime_ns += ns
        self.raw_ns += ns
        self.realtime_ns += ns

    def jump(self, ns: int) -> None:
        """As after a sleep of the whole device: CLOCK_MONOTONIC_RAW knows nothing of it."""
        self.boottime_ns += ns
        self.realtime_ns += ns

    def reboot(self) -> None:
        self.realtime_ns += _BOOT_NS
        self.boottime_ns = self.raw_ns = _BOOT_NS
