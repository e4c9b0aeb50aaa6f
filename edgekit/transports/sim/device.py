"""One simulated device: its files, clock, heat, settings and lease. Whoever uses it holds `lock`.

It rests when a lease begins: heat, drift and throttling of a measurement never come from the one before.
"""

from __future__ import annotations

import hashlib
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace

from edgekit.agent.failures import EBUSY, ENOLCK
from edgekit.transports.sim.clock import NS_PER_S, VirtualClock
from edgekit.transports.sim.files import FileError, Files
from edgekit.transports.sim.heat import Heat
from edgekit.transports.sim.kernel import add_kernel_files
from edgekit.transports.sim.latency import LatencyDraw, LaunchDraw
from edgekit.transports.sim.machine import Machine
from edgekit.transports.sim.options import Fault, SimOptions

JUMP_NS = 90 * NS_PER_S
FULL_LEAVES_BYTES = 1 << 20
"""What `fault=full` leaves free from the first start of an agent on."""
_ONCE: tuple[Fault, ...] = ("vanish", "reboot", "clock-jump")
_NAMESPACE = uuid.UUID("7d0f3f0e-6a52-4c0b-9a57-5f0f6f1d6d11")


@dataclass
class Ticking:
    """Something to do every `period_ns` of device time."""

    period_ns: int
    due_ns: int
    tick: Callable[[], None]


@dataclass(frozen=True)
class Lease:
    token: str
    holder: str
    ttl_ns: int
    expires_ns: int


class SimDevice:
    def __init__(self, address: str, options: SimOptions, machine: Machine) -> None:
        self.lock = threading.RLock()
        self.address = address
        self.options = options
        self.machine = machine
        self.clock = VirtualClock()
        self.heat = Heat(
            options.temperature_c,
            options.temperature_start_c,
            options.temperature_rise_c,
            options.temperature_seconds,
        )
        writable = (machine.home, "/tmp")  # noqa: S108 - a folder of the simulated device
        self.files = Files(machine.home, writable, options.disk_bytes, lambda: self.clock.realtime_ns)
        self.active = False
        self.busy_us = 0.0
        self.throttled_since_boot = False
        self.lease: Lease | None = None
        self.knobs: list[tuple[str, str, bytes]] = []
        """(token of the agent that changed it, path, old value), in the order of the changes."""
        self.tickers: list[Ticking] = []
        self.agents: set[str] = set()
        """Tokens of those that run."""
        self.boots = self.launches = self.operations = self.rests = 0
        self._rested_ns = self.clock.raw_ns
        self._launches_of_rest = 0
        self._struck = False
        add_kernel_files(self)

    @property
    def boot_id(self) -> str:
        """The same for the same device in every process: what a host keeps about it stays true."""
        told = (self.address, self.machine.profile_sha256, repr(self.machine), str(self.boots))
        digest = hashlib.sha256("\0".join(told).encode()).hexdigest()
        return str(uuid.uuid5(_NAMESPACE, digest))

    @property
    def uptime_s(self) -> float:
        return self.clock.boottime_ns / NS_PER_S

    @property
    def rested_s(self) -> float:
        """Device time since the first launch of this lease began: the time base of drift and throttling."""
        return (self.clock.raw_ns - self._rested_ns) / NS_PER_S

    @property
    def throttled(self) -> bool:
        at = self.options.shape.throttle_at_s
        return self.active and at is not None and self.rested_s >= at

    def agent_started(self, token: str) -> None:
        self.agents.add(token)
        if self.options.fault == "readonly":
            self.files.read_only = True
        if self.options.fault == "full" and self.files.total_bytes == self.options.disk_bytes:
            self.files.total_bytes -= max(0, self.files.free_bytes() - FULL_LEAVES_BYTES)

    def agent_ended(self, token: str) -> None:
        """As the agent and its guardian do: settings back, lease given up."""
        self.agents.discard(token)
        self.restore_knobs(token)
        if self.lease is not None and self.lease.token == token:
            self.lease = None

    def advance(self, ns: int, *, active: bool = False) -> None:
        """Let time pass; what ticks does so at its moments."""
        self.active = active
        until_ns = self.clock.raw_ns + ns
        while True:
            due = min((each.due_ns for each in self.tickers), default=until_ns)
            self._pass(min(max(due, self.clock.raw_ns), until_ns) - self.clock.raw_ns)
            if due >= until_ns:
                break
            for each in [t for t in self.tickers if t.due_ns == due]:
                each.due_ns += each.period_ns
                each.tick()
        self.active = False

    def _pass(self, ns: int) -> None:
        self.throttled_since_boot |= self.throttled
        self.clock.advance(ns)
        self.heat.pass_time(ns / NS_PER_S, active=self.active)
        if not self._launches_of_rest:  # idle power is measured before the first: that is rest too
            self._rested_ns = self.clock.raw_ns

    def begin_launch(self, streams: int = 1, slower: float = 1.0) -> tuple[list[LaunchDraw], Fault | None]:
        """Where the latencies of the next launch come from, for each of its processes, and what is wrong with the first.
        `slower`: by what factor, as they share the processors."""
        number = self.launches
        self.launches += 1
        shape = replace(self.options.shape, median_us=self.options.shape.median_us * slower)
        draw, index = LatencyDraw(shape, self._seed()), self._launches_of_rest
        self._launches_of_rest += 1
        draws = [draw.launch(index, self.rested_s, stream) for stream in range(streams)]
        return draws, self._fault_of(number)

    def _seed(self) -> int:
        """Of the latencies between two rests."""
        text = f"{self.options.seed} {self.rests}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")

    def _fault_of(self, launch: int) -> Fault | None:
        fault = self.options.fault
        if fault is None or launch < self.options.after or self.options.at is not None:
            return None
        if fault in _ONCE:
            if self._struck:
                return None
            self._struck = True
        return fault

    def vanishes_now(self) -> bool:
        """Counts a request; True at the one at which the device goes."""
        self.operations += 1
        return self.options.fault == "vanish" and self.options.at == self.operations

    def reboot(self) -> None:
        """Nothing that runs survives it: settings are the kernel's own again, the lease is void."""
        self.restore_knobs(None)
        self.lease = None
        self.agents.clear()
        self.tickers.clear()
        self.boots += 1
        self.busy_us = 0.0
        self.throttled_since_boot = False
        self.clock.reboot()
        self.rest()

    def rest(self) -> None:
        self.rests += 1
        self._launches_of_rest = 0
        self._rested_ns = self.clock.raw_ns
        self.heat.rest()

    def acquire_lease(self, token: str, holder: str, ttl_ns: int) -> Lease:
        self._check_lease(token)
        if self.lease is None or self.lease.token != token:
            self.rest()
        return self._hold(token, holder, ttl_ns)

    def renew_lease(self, token: str) -> Lease:
        if self.lease is None or self.lease.token != token:
            self._check_lease(token)
            raise FileError(ENOLCK, "lease", "no lease is held")
        return self._hold(token, self.lease.holder, self.lease.ttl_ns)

    def release_lease(self, token: str) -> None:
        if self.lease is None or self.lease.token != token:
            raise FileError(ENOLCK, "lease", "no lease is held")
        self.lease = None

    def _hold(self, token: str, holder: str, ttl_ns: int) -> Lease:
        self.lease = Lease(token, holder, ttl_ns, self.clock.boottime_ns + ttl_ns)
        return self.lease

    def _check_lease(self, token: str) -> None:
        """An agent renews its lease as long as it lives, so one whose agent lives does not run out."""
        if self.lease is not None and self.lease.token != token and self.lease.token in self.agents:
            raise FileError(EBUSY, "lease", self.lease.holder, self.lease.ttl_ns // 1_000_000)

    def set_knob(self, token: str, path: str, value: bytes, restore: bytes | None) -> tuple[bytes, bytes]:
        """Returns the old value and the one that the file has now."""
        if any(owner != token for owner, _, _ in self.knobs):
            raise FileError(EBUSY, "knob", "another agent has changed knobs")
        old = self.files.read(path, "knob") if restore is None else restore
        self.files.set(path, value)
        self.knobs.append((token, path, old))
        return old, self.files.read(path, "knob")

    def restore_knobs(self, token: str | None) -> list[tuple[str, int, bytes]]:
        """Undo the changes of this agent (None: of any), the latest first: path, errno, value."""
        report = []
        mine = [change for change in self.knobs if token in (None, change[0])]
        self.knobs = [change for change in self.knobs if change not in mine]
        for _, path, old in reversed(mine):
            self.files.set(path, old)
            report.append((path, 0, self.files.read(path)))
        return report
