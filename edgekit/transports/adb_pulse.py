"""Whether an adb device is still there while something is under way on it.

An adb server goes on saying "device" about a phone whose link went dark, and its streams just stay silent.
So whenever nothing came for QUIET_SECONDS, adbd itself is asked for a service that nobody has: it answers
"closed" at once, without starting a process that a measurement would notice.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

from edgekit.clock import Deadline
from edgekit.errors import DeviceError, DeviceLost, HostError
from edgekit.transports.adb_host import AdbServer, Refused
from edgekit.transports.running import lost

QUIET_SECONDS = 2.0
ANSWER_SECONDS = 5.0
"""Together below 10 s."""

Cut = Callable[[DeviceLost], None]


class Pulse:
    """Watches one device, by a thread that lives only while something is watched."""

    def __init__(self, server: AdbServer, serial: str, device: str) -> None:
        self._server = server
        self._serial = serial
        self._device = device
        self._seen_at = 0.0
        self._changed = threading.Condition()
        self._cuts: dict[int, Cut] = {}
        self._running = False

    def seen(self) -> None:
        """Bytes came from the device, or a large transfer moved on."""
        self._seen_at = time.monotonic()

    def watch(self, cut: Cut) -> int:
        """Call `cut` (from another thread) when the device is lost; `forget` the number returned."""
        with self._changed:
            self.seen()
            self._cuts[id(cut)] = cut
            if not self._running:
                self._running = True
                threading.Thread(target=self._loop, name="edgekit-adb-pulse", daemon=True).start()
            return id(cut)

    def forget(self, number: int) -> None:
        with self._changed:
            self._cuts.pop(number, None)
            self._changed.notify_all()

    @contextlib.contextmanager
    def watching(self, cut: Cut) -> Iterator[None]:
        number = self.watch(cut)
        try:
            yield
        finally:
            self.forget(number)

    def _loop(self) -> None:
        while True:
            with self._changed:
                if not self._cuts:
                    self._running = False
                    return
                left = self._seen_at + QUIET_SECONDS - time.monotonic()
                if left > 0:
                    # Ends early only when nothing is watched any more.
                    self._changed.wait_for(lambda: not self._cuts, left)
                    continue
            if (gone := self._ping()) is not None:
                self._cut_all(gone)

    def _ping(self) -> DeviceLost | None:
        started_at = time.monotonic()
        try:
            deadline = Deadline.after(ANSWER_SECONDS)
            self._server.open_device(self._serial, "edgekit-ping:", deadline, self._device).close()
        except Refused:
            pass  # "closed": adbd is there and does not know the service
        except (DeviceError, HostError, OSError) as error:
            # An answer to something else that came meanwhile is an answer too.
            if self._seen_at < started_at:
                return lost("the device does not answer any more", self._device, error)
        self.seen()
        return None

    def _cut_all(self, reason: DeviceLost) -> None:
        with self._changed:
            cuts = list(self._cuts.values())
            self._cuts.clear()
        for cut in cuts:
            cut(reason)
