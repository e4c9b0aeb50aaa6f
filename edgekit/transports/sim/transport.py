"""`sim:PROFILE[?key=value&...]`: a simulated device, in this process (docs/sim.md).

It speaks the agent's protocol, so all above runs as on a real device. Connections to the same address share one
device, which lives as long as the process, or in a folder (`state=FOLDER`).
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

from edgekit.addresses import Address
from edgekit.errors import DeviceTimeout
from edgekit.profiles import load_profile
from edgekit.transports.base import Completed, Progress
from edgekit.transports.files import chunks, size_of, write_error
from edgekit.transports.sim.device import SimDevice
from edgekit.transports.sim.files import FileError
from edgekit.transports.sim.machine import machine_of
from edgekit.transports.sim.options import sim_options
from edgekit.transports.sim.processes import Ended, Launch, check_program
from edgekit.transports.sim.programs import execute, strerror
from edgekit.transports.sim.state import State
from edgekit.transports.sim.streams import AgentStream, CommandStream

_NOT_FOUND, _NOT_EXECUTABLE = 127, 126
_ENOENT = 2
_ECHO = ("cat",)

_DEVICES: dict[str, tuple[SimDevice, State | None]] = {}
_LOCK = threading.Lock()


def _device_of(address: Address) -> tuple[SimDevice, State | None]:
    """The device of this address, made where there is none yet."""
    options = sim_options(address)
    with _LOCK:
        if (known := _DEVICES.get(str(address))) is not None:
            return known
        device = SimDevice(str(address), options, machine_of(load_profile(options.profile)))
        state = State(options.state, device) if options.state is not None else None
        _DEVICES[str(address)] = (device, state)
        return device, state


def forget(address: Address) -> None:
    """Let a device go, and its folder: the next connection finds a new one, or the one that the folder keeps."""
    with _LOCK:
        found = _DEVICES.pop(str(address), None)
    if found is not None and found[1] is not None:
        found[1].close()


class SimTransport:
    """A connection to a simulated device."""

    kind = "sim"
    simulated = True

    def __init__(self, device: SimDevice, state: State | None = None) -> None:
        self.address = device.address
        self.default_root = device.machine.root
        self._device = device
        self._state = state

    @classmethod
    def connect(cls, address: Address, *, timeout: float) -> SimTransport:
        """Raises InputError E_SIM_OPTION, E_SIM_PROFILE, ProfileError; with `state`: DeviceBusy, HostError."""
        return cls(*_device_of(address))

    def now_us(self) -> float:
        """The device's CLOCK_BOOTTIME."""
        return self._device.clock.boottime_ns / 1000

    def wait(self, seconds: float) -> None:
        """Let the device idle; no time passes here."""
        with self._device.lock:
            self._device.advance(round(max(0.0, seconds) * 1e9))

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout: float) -> Completed:
        ended = self._ended(argv, stdin)
        if ended.hangs:
            raise DeviceTimeout(f"'{argv[0]}' did not end in time", device=self.address)
        code = ended.exit_code if ended.signal is None else 128 + ended.signal
        return Completed(code, ended.stdout, ended.stderr)

    def _ended(self, argv: Sequence[str], stdin: bytes) -> Ended:
        launch = Launch(argv=tuple(argv), env={}, cwd="", cpus=(), stdin=stdin)
        with self._device.lock:
            try:
                ended = execute(self._device, launch)
                self._save()
                return ended
            except FileError as error:
                return _not_started(argv[0], error)

    def open(self, argv: Sequence[str], *, timeout: float) -> AgentStream | CommandStream:
        if "serve" in argv[1:2] and "--root" in argv:
            with self._device.lock:
                try:
                    check_program(self._device.files.look(argv[0]), argv[0])
                except FileError as error:
                    failed = _not_started(argv[0], error)
                    return CommandStream(self._device, lambda _: failed, echoes=False, reads=False)
                return AgentStream(self._device, argv[list(argv).index("--root") + 1], self._save)
        echoes = tuple(argv) == _ECHO
        work = (lambda _: Ended()) if echoes else (lambda stdin: self._ended(argv, stdin))
        return CommandStream(self._device, work, echoes=echoes, reads=echoes)

    def _save(self) -> None:
        if self._state is not None:
            self._state.save()

    def put(
        self,
        source: Path | bytes,
        remote: str,
        *,
        mode: int,
        timeout: float,
        progress: Progress | None = None,
    ) -> None:
        total, data = size_of(source), bytearray()
        for piece in chunks(source):
            data += piece
            if progress is not None:
                progress(len(data), total)
        with self._device.lock:
            try:
                self._device.files.write(remote, bytes(data), mode)
                self._save()
            except FileError as error:
                raise write_error(error.errno, remote, self.address, strerror(error.errno)) from error

    def close(self) -> None:
        """Nothing is held."""


def _not_started(program: str, error: FileError) -> Ended:
    if error.errno == _ENOENT:
        return Ended(exit_code=_NOT_FOUND, stderr=f"{program}: not found\n".encode())
    return Ended(exit_code=_NOT_EXECUTABLE, stderr=f"{program}: {strerror(error.errno)}\n".encode())
