"""One opened device: its transport, the agent there, where things are, what it is."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from edgekit._version import __version__
from edgekit.agent.failures import ENOENT
from edgekit.agent.requests import Request
from edgekit.clock import Deadline
from edgekit.config import Config
from edgekit.devices import description_cache
from edgekit.devices.adb_root import adb_root
from edgekit.devices.claim import claim_requests, finish_claim
from edgekit.devices.facts import Description, facts_argv, read_facts
from edgekit.devices.files import LOOK_SECONDS, read_texts
from edgekit.devices.layout import LAYOUT_VERSION, Layout, is_layout
from edgekit.devices.lease import leased
from edgekit.devices.opening import Target, open_transport, resolve
from edgekit.devices.telemetry import Sensors, Snapshot, read_snapshot, sensors_of
from edgekit.devices.usb_power import given_back
from edgekit.errors import (
    DeviceBusy,
    DeviceError,
    DevicePermission,
    DeviceReadOnly,
    EdgekitError,
    RemoteError,
)
from edgekit.events import Event, Sink, ignore
from edgekit.transports.base import OwnTime

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
        self.simulated = transport.simulated
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
        if isinstance(self.transport, OwnTime):
            return self.transport.now_us()
        return self.agent.hello.boottime_ns / 1000 + (time.monotonic() - self._opened_s) * 1e6

    def wait(self, seconds: float) -> None:
        """Let the device have this much time with nothing to do."""
        if isinstance(self.transport, OwnTime):
            self.transport.wait(seconds)
        else:
            threading.Event().wait(seconds)

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
        kept = not self.simulated  # thousands of these would fill the cache, and they answer at once
        if kept and (known := description_cache.load(*key)) is not None:
            return known
        done = self.agent.run(facts_argv(self.target.sysroot), deadline_s=DESCRIBE_SECONDS)
        found = read_facts(done.stdout, self.kind, self.target.sysroot, self.address)
        if kept:
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
    def leased(
        self,
        purpose: str,
        wait_seconds: float,
        *,
        look: Sequence[Request[Any]] = (),
        uninstalling: bool = False,
    ) -> Iterator[list[Any]]:
        """Hold the device for ourselves; may be nested. `look` is asked as soon as it is ours, in the same round trip;
        the block gets its answers. What another edgekit left under way is finished first.

        Raises DeviceBusy, and DeviceError E_NOT_OURS, E_LAYOUT where edgekit's folder there is not edgekit's, or not of
        this edgekit; `uninstalling` takes any edgekit's, and leaves it."""
        if self._lease_depth:
            yield self.agent.batch(look, timeout=LOOK_SECONDS) if look else []
            return
        self._refuse_foreign(uninstalling=uninstalling)
        claim = [] if uninstalling else claim_requests(self.layout)
        with leased(
            self.agent,
            purpose,
            wait_seconds=wait_seconds,
            device=self.address,
            sink=self.sink,
            then=[*claim, *look],
        ) as answers:
            self._lease_depth += 1
            try:
                changed = not uninstalling and finish_claim(self.agent, self.layout, answers, self.sink)
                seen = (
                    self.agent.batch(look, timeout=LOOK_SECONDS)
                    if changed and look
                    else answers[len(claim) :]
                )
                yield seen
            finally:
                self._lease_depth -= 1

    def read_texts(self, paths: Sequence[str]) -> dict[str, str | None]:
        """Small files in one round trip; None for each that cannot be read."""
        return read_texts(self.agent, paths)

    def snapshot(self, *, files_first: bool) -> Snapshot:
        """Temperatures, frequencies, governor, battery and load, now. Commands take their time and their share of
        the CPU, so the files are read on the side that is nearer to what is measured."""
        outputs = {} if files_first else self._outputs(self.sensors.commands)
        files = self.read_texts(self.sensors.snapshot())
        host_us = time.monotonic() * 1e6
        if files_first:
            outputs = self._outputs(self.sensors.commands)
        return read_snapshot(self.sensors, files, outputs, host_us)

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
        """Before anything is changed there, the lease's file included. As the agent found the folder when it started."""
        hello = self.agent.hello
        other_root = "give another root for this device in edgekit.yaml"
        if hello.layout_errno == ENOENT:
            if hello.kept:
                there = ", ".join(sorted(f"{self.layout.root}/{name}" for name in hello.kept))
                raise DeviceError(
                    f"the folder {self.layout.root} on the device is not edgekit's, and holds {there}",
                    code="E_NOT_OURS",
                    device=self.address,
                    hint=other_root,
                )
            return
        text = hello.layout_text or ""
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

    def finish_what_was_cut(self) -> None:
        """What a push left in the journal is finished as soon as the device is connected to. A device that somebody
        works on now is left alone: whoever has the lease has done it."""
        hello = self.agent.hello
        ours = is_layout(hello.layout_text or "") and int(hello.layout_text or 0) == LAYOUT_VERSION
        if "journal" not in hello.kept or not ours:
            return
        try:
            with self.leased("finish what was cut off", 0.0):
                return
        except (DeviceBusy, DeviceReadOnly, DevicePermission) as error:
            self.sink(Event("recover", message=f"not finished: {error.message}", device=self.address))


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
    given_back(sink)
    deadline = Deadline.after(timeout)
    with ExitStack() as undo:
        transport = open_transport(target, deadline.within(timeout))
        undo.callback(lambda: transport.close())  # whichever it is by then
        refused = None
        if privileged:
            transport, refused = adb_root(transport, target, deadline)
        agent = connect_agent(transport, root=target.root, timeout=deadline.within(timeout))
        device = Device(target, transport, agent, sink, refused)
        undo.callback(agent.close)
        device.finish_what_was_cut()
        undo.pop_all()
    return device
