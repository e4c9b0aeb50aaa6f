"""Where benchmarks/push.py pushes to: an sshd on loopback or behind a shaped link, and adbd with either adb.

All of it is what the tests use (tests/targets): real servers in namespaces of their own, on 127.0.0.1 or at the far end
of a link that only this process has; they end with it.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.push_wire import WireFacts, measure_wire
from tests.targets.adb_host import AdbHost
from tests.targets.adbd import AdbdDevice
from tests.targets.link import Link, LinkSettings
from tests.targets.ssh_client import SshClientHome, public_part
from tests.targets.sshd import SshdOptions, SshServer

GCM = "aes128-gcm@openssh.com"
_START_SECONDS = 20.0
_ADB_VARIABLES = ("ANDROID_SERIAL", "ANDROID_ADB_SERVER_ADDRESS", "ADB_SERVER_SOCKET", "ADB_VENDOR_KEYS")


@dataclass(frozen=True, kw_only=True)
class LinkKind:
    """`settings` None: no link between, loopback. `adb`: the adb that pushes, None for ssh."""

    name: str
    title: str
    settings: LinkSettings | None = None
    adb: str | None = None


LINKS = {
    kind.name: kind
    for kind in (
        LinkKind(name="loopback", title="ssh, loopback"),
        LinkKind(
            name="100mbit",
            title="ssh, 100 Mbit/s, 10 ms",
            settings=LinkSettings(delay_ms=5, rate_mbit=100),
        ),
        LinkKind(
            name="20mbit",
            title="ssh, 20 Mbit/s, 80 ms, 1 % loss",
            settings=LinkSettings(delay_ms=40, rate_mbit=20, loss=0.01),
        ),
        LinkKind(name="adb36", title="adb 36, loopback", adb="36"),
        LinkKind(name="adb29", title="adb 29, loopback", adb="29"),
    )
}


class SshPlace:
    """One sshd, a client that knows its key, and connections that are kept open for tools to reuse."""

    def __init__(self, kind: LinkKind, folder: Path) -> None:
        self.kind = kind
        self.folder = folder
        self._undo = ExitStack()
        try:
            self._open()
        except BaseException:
            self._undo.close()
            raise

    def _open(self) -> None:
        options, self._link = SshdOptions(), None
        if self.kind.settings is not None:
            self._link = Link(self.kind.settings)
            self._undo.callback(self._link.close)
            options = SshdOptions(network_pid=self._link.sandbox.pid, host=self._link.device_address)
        self.client = SshClientHome(self.folder / "client")
        self.server = SshServer(self.folder / "server", self.client, options)
        self._undo.callback(self.server.close)
        self.client.trust(self.server.host, self.server.port, public_part(self.server.host_key))
        self._undo.enter_context(environment({**self.client.env, "SSH_AUTH_SOCK": None}))
        self.masters = {cipher: self.new_master(cipher) for cipher in ("", GCM)}

    @property
    def address(self) -> str:
        return self.server.address

    @property
    def device_folder(self) -> Path:
        """The login folder, as seen from here."""
        return self.server.home

    def new_master(self, cipher: str = "") -> Path:
        """An ssh connection of its own, kept open; the path of its control socket."""
        path = self.folder / f"master-{time.monotonic_ns():x}"
        argv = [
            "ssh",
            "-F",
            str(self.client.config),
            "-p",
            str(self.server.port),
            "-N",
            "-M",
            "-S",
            str(path),
        ]
        argv += ["-c", cipher] if cipher else []
        process = subprocess.Popen(
            [*argv, f"{self.server.user}@{self.server.host}"],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._undo.callback(_end, process)
        until = time.monotonic() + _START_SECONDS
        while not path.exists():
            if process.poll() is not None or time.monotonic() > until:
                raise SystemExit(f"no ssh connection to reuse: {' '.join(argv)}")
            time.sleep(0.01)
        return path

    def wire_bytes(self) -> int | None:
        """Bytes of IP packets on the link so far, both ways; None on loopback, which others use as well."""
        if self._link is None:
            return None
        command = ["ip", "-o", "-4", "addr", "show", "to", self._link.host_address]
        shown = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout
        counters = Path("/sys/class/net") / shown.split()[1] / "statistics"
        return sum(int((counters / name).read_text()) for name in ("rx_bytes", "tx_bytes"))

    def wire_facts(self, size_bytes: int) -> WireFacts:
        return measure_wire(self._start_there, self.server.host, size_bytes)

    def _start_there(self, argv: list[str]) -> subprocess.Popen[bytes]:
        # only its network: this Python may lie in a folder that the device does not show
        enter = ["nsenter", "-t", str(self._link.sandbox.pid), "-n"] if self._link is not None else []
        return subprocess.Popen(
            [*enter, *argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )

    def close(self) -> None:
        self._undo.close()


class AdbPlace:
    """One adbd and an adb server of our own, of the generation asked for."""

    def __init__(self, kind: LinkKind, folder: Path) -> None:
        assert kind.adb is not None
        self.kind = kind
        self.folder = folder
        self._undo = ExitStack()
        try:
            self.host = AdbHost(folder / "host", kind.adb)
            self._undo.callback(self.host.close)
            self.host.start()
            self.device = AdbdDevice(folder / "device", self.host)
            self._undo.callback(self.device.close)
            self.device.connect()
            self._undo.enter_context(environment({**dict.fromkeys(_ADB_VARIABLES), **self.host.env}))
        except BaseException:
            self._undo.close()
            raise

    @property
    def address(self) -> str:
        return self.device.address

    @property
    def device_folder(self) -> Path:
        return self.device.data / "local/tmp"

    def wire_bytes(self) -> int | None:
        return None

    def close(self) -> None:
        self._undo.close()


Place = SshPlace | AdbPlace


@contextmanager
def opened(kind: LinkKind, folder: Path) -> Iterator[Place]:
    """The place of a link, up; ended afterwards."""
    folder.mkdir()
    place = AdbPlace(kind, folder) if kind.adb else SshPlace(kind, folder)
    try:
        yield place
    finally:
        place.close()


@contextmanager
def environment(values: Mapping[str, str | None]) -> Iterator[None]:
    """Variables of this process, set (None: not set) for a while: the SDK reads them as a user's program would."""
    before = {name: os.environ.get(name) for name in values}
    _set(values)
    try:
        yield
    finally:
        _set(before)


def _set(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(timeout=5)
