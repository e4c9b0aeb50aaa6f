"""`adb:SERIAL`, an Android device: shell_v2 for commands, the sync service for files.

For an adbd from before shell_v2 (Android 6 and older) commands go through `exec:` or, before that, a
terminal; then a marker after the output carries the exit code, and its absence means that the device was lost.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, Protocol

from edgekit.addresses import Address
from edgekit.clock import Deadline
from edgekit.errors import DeviceAmbiguous, DeviceError, DeviceNotFound
from edgekit.transports.adb_codec import Codec, Marked, ShellV2
from edgekit.transports.adb_host import (
    AdbDeviceInfo,
    AdbServer,
    Closed,
    Link,
    Refused,
    device_error,
    link_errors,
    recv_exactly,
)
from edgekit.transports.adb_pulse import Pulse
from edgekit.transports.adb_script import SCRATCH, marked, plain
from edgekit.transports.adb_server import list_devices, local_server, reconnect
from edgekit.transports.adb_stream import AdbStream
from edgekit.transports.adb_sync import send_file
from edgekit.transports.base import Completed, Progress
from edgekit.transports.running import TAIL_BYTES, run_to_end

__all__ = ["AdbDeviceInfo", "AdbTransport", "list_devices", "reconnect"]

_START_SECONDS = 20.0
_CHMOD_SECONDS = 20.0
_ANSWER_BYTES = 4096


class _Closeable(Protocol):
    def close(self) -> None: ...


class AdbTransport:
    """Commands run in `/` as adb's user. A stream on an adbd without shell_v2 cannot end its stdin."""

    kind = "adb"
    simulated = False
    default_root = f"{SCRATCH}/edgekit"

    def __init__(
        self,
        server: AdbServer,
        serial: str,
        features: frozenset[str],
        address: str,
        owned: _Closeable | None = None,
    ) -> None:
        """`owned` is closed with the transport."""
        self.address = address
        self.serial = serial
        self.server = server
        self._features = features
        self._pulse = Pulse(server, serial, address)
        self._exec: bool | None = None
        self._crlf: bool | None = None
        self._owned = owned

    @classmethod
    def connect(cls, address: Address, *, timeout: float) -> AdbTransport:
        """Raises DeviceNotFound, DeviceAmbiguous, DeviceUnauthorized, DeviceOffline, HostError."""
        serial = address.serial or os.environ.get("ANDROID_SERIAL") or None
        return cls._attach(local_server(), replace(address, serial=serial), Deadline.after(timeout))

    @classmethod
    def _attach(
        cls, server: AdbServer, address: Address, deadline: Deadline, owned: _Closeable | None = None
    ) -> AdbTransport:
        serial = address.serial
        if serial is None:
            devices = list_devices(server, timeout=deadline.within(_START_SECONDS))
            serial = only_one(devices, address)
        device = str(replace(address, serial=serial))
        answer = server.query(f"host-serial:{serial}:features", deadline, device)
        transport = cls(server, serial, frozenset(answer.split(",")), device, owned)
        transport._greet(deadline)
        return transport

    def _greet(self, deadline: Deadline) -> None:
        """The server remembers the features of a device that is gone, or dark: ask the device itself."""
        with contextlib.suppress(Refused):
            within = Deadline.after(deadline.within(_START_SECONDS))
            self.server.open_device(self.serial, "edgekit-ping:", within, self.address).close()

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout: float) -> Completed:
        deadline = Deadline.after(timeout)
        if self._has_v2():
            stream = self._start_v2(argv, deadline, stderr_limit=None)
            return run_to_end(stream, argv, stdin, deadline, self.address)
        return self._run_old(argv, stdin, deadline)

    def open(self, argv: Sequence[str], *, timeout: float) -> AdbStream:
        deadline = Deadline.after(timeout)
        if self._has_v2():
            return self._start_v2(argv, deadline, stderr_limit=TAIL_BYTES)
        if not self._has_exec(deadline):
            raise DeviceError(
                "this device's adbd is too old for a stream (no shell_v2, no exec): files and commands only",
                code="E_ADB_TOO_OLD",
                device=self.address,
                hint="Android 5 or newer is needed; `edgekit devices` lists what else is attached",
            )
        return self._start_old(argv, deadline, stdin=None, stderr_limit=TAIL_BYTES)

    def _has_v2(self) -> bool:
        return "shell_v2" in self._features

    def _has_exec(self, deadline: Deadline) -> bool:
        """No feature tells of `exec`; the first use does."""
        if self._exec is None:
            try:
                self._link("exec:true", deadline).close()
                self._exec = True
            except Refused:
                self._exec = False
        return self._exec

    def _link(self, service: str, deadline: Deadline) -> Link:
        within = Deadline.after(deadline.within(_START_SECONDS))
        return self.server.open_device(self.serial, service, within, self.address)

    def _service(self, service: str, deadline: Deadline) -> Link:
        try:
            return self._link(service, deadline)
        except Refused as error:
            name = service.partition(":")[0]
            raise device_error(str(error), self.address) or DeviceError(
                f"the device does not serve '{name}': {error}", code="E_ADB", device=self.address
            ) from error

    def _start_v2(self, argv: Sequence[str], deadline: Deadline, stderr_limit: int | None) -> AdbStream:
        link = self._service(f"shell,v2,raw:{plain(argv)}", deadline)
        return self._stream(link, ShellV2(), stderr_limit)

    def _start_old(
        self, argv: Sequence[str], deadline: Deadline, stdin: str | None, stderr_limit: int | None
    ) -> AdbStream:
        marker = secrets.token_hex(8)
        raw = self._has_exec(deadline)
        crlf = not raw and self._makes_crlf(deadline)
        link = self._service(("exec:" if raw else "shell:") + marked(argv, marker, stdin=stdin), deadline)
        return self._stream(link, Marked(marker.encode(), crlf=crlf), stderr_limit)

    def _makes_crlf(self, deadline: Deadline) -> bool:
        """Whether the terminal behind `shell:` changes line ends: up to Android 6 it does."""
        if self._crlf is None:
            link = self._service("shell:echo", deadline)
            try:
                with link_errors(deadline, self.address):
                    self._crlf = recv_exactly(link, 1) == b"\r"
            finally:
                link.close()
        return self._crlf

    def _stream(self, link: Link, codec: Codec, stderr_limit: int | None) -> AdbStream:
        return AdbStream(link, codec, self._pulse, self.address, stderr_limit)

    def _run_old(self, argv: Sequence[str], stdin: bytes, deadline: Deadline) -> Completed:
        """Input comes from a file on the device: these services cannot tell its end."""
        if not stdin:
            stream = self._start_old(argv, deadline, "/dev/null", None)
            return run_to_end(stream, argv, b"", deadline, self.address)
        scratch = f"{SCRATCH}/.edgekit-stdin-{secrets.token_hex(8)}"
        try:
            self._push(stdin, scratch, 0o600, deadline, None)
            stream = self._start_old(argv, deadline, scratch, None)
            return run_to_end(stream, argv, b"", deadline, self.address)
        finally:
            with contextlib.suppress(DeviceError):
                remove = ["rm", "-f", scratch]
                again = Deadline.after(_CHMOD_SECONDS)
                run_to_end(
                    self._start_old(remove, again, "/dev/null", None), remove, b"", again, self.address
                )

    def put(
        self,
        source: Path | bytes,
        remote: str,
        *,
        mode: int,
        timeout: float,
        progress: Progress | None = None,
    ) -> None:
        deadline = Deadline.after(timeout)
        self._push(source, remote, mode, deadline, progress)
        # adbd gives the group and others what the owner has.
        done = self.run(["chmod", f"{mode:o}", remote], timeout=max(1.0, deadline.within(_CHMOD_SECONDS)))
        if done.exit_code != 0:
            said = (done.stderr or done.stdout).decode("utf-8", "replace").strip()
            raise DeviceError(f"cannot chmod {remote}: {said}", code="E_REMOTE_FILE", device=self.address)

    def _push(
        self, source: Path | bytes, remote: str, mode: int, deadline: Deadline, progress: Progress | None
    ) -> None:
        absolute = remote if remote.startswith("/") else f"/{remote}"
        link = self._service("sync:", deadline)
        try:
            send_file(
                link,
                self._pulse,
                source,
                absolute,
                mode=mode,
                deadline=deadline,
                device=self.address,
                progress=progress,
            )
        finally:
            link.close()

    def restart_adbd(self, service: Literal["root", "unroot"], *, timeout: float) -> str:
        """Ask adbd to restart as root, or as shell again; what it says, or why it does not. Every stream of
        this device ends where it does. Raises DeviceLost, DeviceTimeout."""
        deadline = Deadline.after(timeout)
        try:
            link = self._link(f"{service}:", deadline)
        except Refused as refused:
            return str(refused)
        said = b""
        try:
            with contextlib.suppress(Closed), link_errors(deadline, self.address):
                while len(said) < _ANSWER_BYTES and (data := link.recv(_ANSWER_BYTES)):
                    said += data
        finally:
            link.close()
        return said.decode("utf-8", "replace").strip()

    def close(self) -> None:
        if self._owned is not None:
            self._owned.close()


def only_one(devices: Sequence[AdbDeviceInfo], address: Address) -> str:
    """The serial of the only device. Raises DeviceNotFound, DeviceAmbiguous."""
    if not devices:
        raise DeviceNotFound(
            "no Android device is attached",
            device=str(address),
            hint="plug it in and switch USB debugging on, or `adb connect HOST:PORT`",
        )
    if len(devices) > 1:
        names = [str(replace(address, serial=device.serial)) for device in devices]
        listed = ", ".join(
            f"{name} ({device.model or device.state})" for name, device in zip(names, devices, strict=True)
        )
        raise DeviceAmbiguous(
            f"{len(devices)} devices are attached: {listed}",
            device=str(address),
            hint=f"name one: -d {names[0]}",
        )
    return devices[0].serial
