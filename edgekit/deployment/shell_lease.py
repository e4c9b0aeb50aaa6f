"""The device's lease, taken from a plain shell: the agents' own file, so that both kinds of push take turns.

The file is replaced only if it still is what was looked at (compare and swap), under the agents' own lock where the
device has a `flock`; every later step looks for its token first, under the same lock. What cannot be excluded: where
there is no `flock`, two that take a void lease within the same second may both go on for a moment. Then the one that
wrote last holds it: the other finds its token gone within a second, and stops before it changes what is read. And a
step that passed that look and stood still for a whole lease (a suspended device) goes on when it wakes.
"""

from __future__ import annotations

import re
import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from edgekit.clock import Deadline
from edgekit.deployment.shell_script import (
    LEASE_DROP,
    LEASE_LOST,
    LEASE_READ,
    LEASE_SWAP,
    Section,
    Tools,
    read_sha256,
)
from edgekit.devices.lease import ASK_AGAIN_SECONDS, holder
from edgekit.errors import DeviceBusy, DeviceError, EdgekitError, RemoteError
from edgekit.events import Event, Sink

LEASE_SECONDS = 120.0
"""Longer than an agent's: on a slow link a renewal waits behind the data that is under way."""
RENEW_SECONDS = 20.0
SETTLE_SECONDS = 1.0
"""Where nothing locks: how long after taking the lease one looks whether another took it too."""
_FIRST_LINE = "edgekit-lease 1"


@dataclass(frozen=True)
class Lease:
    """What is in the file. `expiry_ns` is of the device's CLOCK_BOOTTIME."""

    boot_id: str
    expiry_ns: int
    token: str
    holder: str

    def lines(self) -> tuple[str, str, str, str]:
        return self.boot_id, str(self.expiry_ns), self.token, self.holder


@dataclass(frozen=True)
class LeaseSeen:
    """`sha256`: of the file's bytes, "none" where there is no file. `lease` is None for what no agent would honour."""

    sha256: str
    lease: Lease | None
    uptime_ns: int


class Shell(Protocol):
    """What the lease needs of a device (edgekit.deployment.shell_device)."""

    tools: Tools
    root: str
    address: str

    def ask(self, body: str, args: Sequence[str], what: str) -> list[Section]: ...


def read_lease(text: str) -> Lease | None:
    """As native/agent/lease.c reads it."""
    pattern = rf"{_FIRST_LINE}\s+(\S{{1,63}})\s+(\d{{1,20}})\s+(\S{{1,63}})(?:\s+([^\n]{{1,200}}))?"
    found = re.match(pattern, text)
    return Lease(found[1], int(found[2]), found[3], found[4] or "") if found else None


def uptime_ns(text: str) -> int | None:
    """The first figure of /proc/uptime, which is CLOCK_BOOTTIME in hundredths."""
    found = re.fullmatch(r"(\d+)\.(\d{2})", text)
    return int(found[1]) * 10**9 + int(found[2]) * 10**7 if found else None


def is_live(seen: LeaseSeen, boot_id: str) -> bool:
    """Whether somebody holds it: neither run out nor of another boot."""
    lease = seen.lease
    return lease is not None and lease.boot_id == boot_id and lease.expiry_ns > seen.uptime_ns


def plain_holder(purpose: str) -> str:
    """`holder` as a shell's echo prints it in any dialect: ASCII, no backslash, at most 200 characters."""
    return re.sub(r"[^ -~]|\\", "?", holder(purpose))[:200]


@contextmanager
def shell_lease(shell: Shell, purpose: str, *, wait_seconds: float, sink: Sink) -> Iterator[str]:
    """Hold the device's lease and renew it meanwhile; gives its token. Raises DeviceBusy."""
    keeper = _Keeper(shell, plain_holder(purpose))
    keeper.acquire(Deadline.after(wait_seconds), sink)
    with keeper.renewing():
        yield keeper.token


class _Keeper:
    def __init__(self, shell: Shell, who: str) -> None:
        self.token = secrets.token_hex(16)
        self._shell = shell
        self._who = who
        self._stop = threading.Event()

    def acquire(self, deadline: Deadline, sink: Sink) -> None:
        told = False
        while True:
            seen = self._look()
            if not is_live(seen, self._shell.tools.boot_id) and self._take(seen):
                return
            busy = self._busy(seen)
            if deadline.expired():
                raise busy
            if not told and is_live(seen, self._shell.tools.boot_id):
                sink(Event("lease", message=f"waiting: {busy.message}", device=self._shell.address))
                told = True
            threading.Event().wait(deadline.within(ASK_AGAIN_SECONDS))

    def _look(self) -> LeaseSeen:
        sections = self._shell.ask(LEASE_READ, [self._shell.root], "read the lease")
        uptime, sha256, lease = None, "none", None
        for section in sections:
            if section.key == "uptime":
                uptime = uptime_ns(section.value)
            if section.key == "lease":
                sha256 = read_sha256(section.value) or ""
                lease = read_lease(section.body.decode("ascii", "replace"))
        if not sha256:
            raise RemoteError(
                f"{self._shell.root}/lease cannot be read",
                code="E_LEASE",
                device=self._shell.address,
                hint="connect as the user whose pushes made it",
            )
        if uptime is None:
            raise DeviceError(
                "the device does not tell its uptime (/proc/uptime), by which pushes take turns",
                code="E_SHELL_TOOLS",
                device=self._shell.address,
                hint="connect as a user who may read it",
            )
        return LeaseSeen(sha256, lease, uptime)

    def _take(self, seen: LeaseSeen) -> bool:
        if not self._swap(seen.sha256, seen.uptime_ns):
            return False
        if self._shell.tools.flock:
            return True
        threading.Event().wait(SETTLE_SECONDS)
        after = self._look().lease
        return after is not None and after.token == self.token

    def _swap(self, was: str, now_ns: int) -> bool:
        """Replace the lease that had the hash `was`; False where it is another one by now."""
        expiry_ns = now_ns + int(LEASE_SECONDS * 1e9)
        lease = Lease(self._shell.tools.boot_id, expiry_ns, self.token, self._who)
        try:
            self._shell.ask(LEASE_SWAP, [self._shell.root, was, *lease.lines()], "write the lease")
        except RemoteError as error:
            if error.status != LEASE_LOST:
                raise
            return False
        return True

    def _busy(self, seen: LeaseSeen) -> DeviceBusy:
        lease = seen.lease
        who = lease.holder if lease is not None else "another push"
        left_s = max(0.0, (lease.expiry_ns - seen.uptime_ns) / 1e9) if lease is not None else 0.0
        shown = "".join(c if c.isprintable() else "?" for c in who)
        return DeviceBusy(
            f"in use by {shown}, for {left_s:.1f} s more unless it renews",
            hint="wait until it is done; a lease whose holder is gone runs out by itself",
            device=self._shell.address,
        )

    @contextmanager
    def renewing(self) -> Iterator[None]:
        thread = threading.Thread(target=self._renew_on, name="edgekit-shell-lease", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join(RENEW_SECONDS)
            _quietly(lambda: self._shell.ask(LEASE_DROP, [self._shell.root, self.token], "end the lease"))

    def _renew_on(self) -> None:
        """Until it is lost for good: the next step of the push finds that out by itself."""
        while not self._stop.wait(RENEW_SECONDS):
            try:
                seen = self._look()
                if seen.lease is None or seen.lease.token != self.token:
                    return
                self._swap(seen.sha256, seen.uptime_ns)
            except EdgekitError:
                continue  # busy for the moment, or the device is lost, which the push is told too


def _quietly(end: Callable[[], object]) -> None:
    """The lease runs out by itself, and what went wrong before has its own error already."""
    try:
        end()
    except EdgekitError:
        return
