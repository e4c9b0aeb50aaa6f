"""One opened device: its transport, the agent there, where things are, what it is."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

from edgekit._version import __version__
from edgekit.agent import requests
from edgekit.agent.failures import ENOENT
from edgekit.clock import Deadline
from edgekit.config import Config
from edgekit.devices import description_cache
from edgekit.devices.adb_root import adb_root
from edgekit.devices.facts import Description, facts_argv, read_facts
from edgekit.devices.files import read_texts
from edgekit.devices.layout import LAYOUT_VERSION, Layout, is_layout
from edgekit.devices.lease import leased
from edgekit.devices.opening import Target, open_transport, resolve
from edgekit.devices.telemetry import Sensors, Snapshot, read_snapshot, sensors_of
from edgekit.errors import DeviceError, EdgekitError, RemoteError
from edgekit.events import Event, Sink, ignore

if TYPE_CHECKING:
    from edgekit.agent.client import AgentClient
    from edgekit.profiles.facts import DeviceFacts
    from edgekit.transports import Transport

DESCRIBE_SECONDS = 20.0
COMMAND_SECONDS = 10.0


class Device:
    """Use as a context manager. Methods raise DeviceLost when the connection goes."""

    def __init__(
        self,
        target: Target,
        transport: Transport,
        agent: AgentClient,
        sink: Sink = ignore,
        adb_root: str | None = None,
    ) -> None:
        """`adb_root`: why adbd could not be made root, where that was tried."""
        self.target = target
        self.address = transport.address
        self.kind = transport.kind
        self.transport = transport
        self.agent = agent
        self.layout = Layout(agent.hello.root)
        self.sink = sink
        self.adb_root = adb_root
        self._lease_depth = 0
        self._opened_s = time.monotonic()

    def __enter__(self) -> Device:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the agent and the connection. The agent ends its children and restores what it set."""
        self.agent.close()
        self.transport.close()

    def clock_us(self) -> float:
        """The device's CLOCK_BOOTTIME now, as told by its hello and our own clock: off by half a round trip."""
        return self.agent.hello.boottime_ns / 1000 + (time.monotonic() - self._opened_s) * 1e6

    @property
    def round_trips(self) -> int:
        """Requests that were waited for since the device was opened, hello included."""
        return self.agent.round_trips

    @cached_property
    def description(self) -> Description:
        """What the device says it is; asked once a boot, then kept on this host."""
        hello = self.agent.hello
        key = (
            __version__,
            str(self.target.address),
            self.target.sysroot,
            hello.boot_id,
            hello.release,
            hello.machine,
        )
        known = description_cache.load(*key)
        if known is not None:
            return known
        done = self.agent.run(facts_argv(self.target.sysroot), deadline_s=DESCRIBE_SECONDS)
        found = read_facts(done.stdout, self.kind, self.target.sysroot, self.address)
        description_cache.save(found, *key)
        return found

    @property
    def facts(self) -> DeviceFacts:
        return self.description.facts

    @property
    def abi(self) -> str:
        """Of what edgekit runs there: the agent's own ABI."""
        return self.agent.hello.abi

    @cached_property
    def sensors(self) -> Sensors:
        return sensors_of(self.description, self.target.sysroot)

    @contextmanager
    def leased(self, purpose: str, wait_seconds: float, *, uninstalling: bool = False) -> Iterator[None]:
        """Hold the device for ourselves; may be nested. Raises DeviceError E_NOT_OURS, E_LAYOUT where edgekit's
        folder there is not edgekit's, or not of this edgekit; `uninstalling` takes any edgekit's, and leaves it."""
        if self._lease_depth:
            yield
            return
        self._refuse_foreign(uninstalling=uninstalling)
        with leased(self.agent, purpose, wait_seconds=wait_seconds, device=self.address, sink=self.sink):
            self._lease_depth += 1
            try:
                if not uninstalling:
                    self._claim()
                yield
            finally:
                self._lease_depth -= 1

    def read_texts(self, paths: Sequence[str]) -> dict[str, str | None]:
        """Small files in one round trip; None for each that cannot be read."""
        return read_texts(self.agent, paths)

    def snapshot(self, *, files_first: bool) -> Snapshot:
        """Temperatures, frequencies, governor, battery and load, now. Commands take their time and their share of
        the CPU, so the files are read on the side that is nearer to what is measured."""
        files = self.read_texts(self.sensors.snapshot()) if files_first else {}
        outputs = self._outputs(self.sensors.commands)
        return read_snapshot(
            self.sensors, files if files_first else self.read_texts(self.sensors.snapshot()), outputs
        )

    def _outputs(self, commands: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
        """Output of the commands that ended well; a missing tool or a refusal is an unknown."""
        outputs = {}
        for name, argv in commands.items():
            try:
                done = self.agent.run(list(argv), deadline_s=COMMAND_SECONDS)
            except RemoteError:
                continue
            if done.ok:
                outputs[name] = done.stdout.decode("utf-8", "replace")
        return outputs

    @contextmanager
    def scratch(self) -> Iterator[str]:
        """A folder for one run, removed afterwards (and by the next lease, where this one is cut off)."""
        path = self.layout.run(secrets.token_hex(8))
        self.agent.mkdir(path)
        try:
            yield path
        finally:
            try:
                self.agent.remove(path, recursive=True)
            except EdgekitError as error:
                self.sink(Event("clean up", message=f"{path} stays: {error.message}", level="debug"))

    def _refuse_foreign(self, *, uninstalling: bool) -> None:
        """Before anything is changed there, the lease's file included. One round trip."""
        (found,), *stats = self.agent.batch(
            [
                requests.read([self.layout.version_file()]),
                *(requests.stat(path, follow=False) for path in self.layout.kept()),
            ]
        )
        there = [path for path, stat in zip(self.layout.kept(), stats, strict=True) if stat is not None]
        other_root = "give another root for this device in edgekit.yaml"
        if found.errno == ENOENT:
            if there:
                raise DeviceError(
                    f"the folder {self.layout.root} on the device is not edgekit's, and holds {', '.join(there)}",
                    code="E_NOT_OURS",
                    device=self.address,
                    hint=other_root,
                )
            return
        text = found.text or ""
        if not is_layout(text):
            raise DeviceError(
                f"the folder {self.layout.root} on the device is not edgekit's: its file `layout` holds {text[:20]!r}",
                code="E_NOT_OURS" if uninstalling else "E_LAYOUT",
                device=self.address,
                hint=other_root,
            )
        if int(text) != LAYOUT_VERSION and not uninstalling:
            raise DeviceError(
                f"the device has layout {int(text)}; this edgekit knows {LAYOUT_VERSION}",
                code="E_LAYOUT",
                device=self.address,
                hint="use a newer edgekit, or start over there: edgekit uninstall",
            )

    def _claim(self) -> None:
        """The lease is ours: what runs left behind that were cut off is nobody's. One round trip, and another the
        first time."""
        path = self.layout.version_file()
        (found,), _ = self.agent.batch(
            [requests.read([path]), requests.remove(self.layout.runs(), recursive=True)]
        )
        if found.errno:
            self.agent.write(path, f"{LAYOUT_VERSION}\n".encode())


def open_device(
    address: str,
    *,
    config: Config | None = None,
    timeout: float = 30.0,
    privileged: bool = False,
    sink: Sink = ignore,
) -> Device:
    """Connect and start the agent, putting it there first where it is not. `privileged`: by `adb root` where
    only that gives root."""
    from edgekit.agent.bootstrap import connect_agent

    target = resolve(address, config)
    deadline = Deadline.after(timeout)
    with ExitStack() as undo:
        transport = open_transport(target, deadline.within(timeout))
        undo.callback(lambda: transport.close())  # whichever it is by then
        refused = None
        if privileged:
            transport, refused = adb_root(transport, target, deadline)
        agent = connect_agent(transport, root=target.root, timeout=deadline.within(timeout))
        undo.pop_all()
    return Device(target, transport, agent, sink, refused)
