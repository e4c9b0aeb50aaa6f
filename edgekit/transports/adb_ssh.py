"""`adb+ssh://LABHOST/SERIAL`: a device of another host's adb server, through an ssh connection.

Every connection to that server is an ssh channel (direct-tcpip); no port is opened on this host, where any
other user could reach the device through it.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

from edgekit.addresses import Address
from edgekit.clock import Deadline
from edgekit.errors import EdgekitError, HostError, InputError
from edgekit.transports.adb import AdbTransport
from edgekit.transports.adb_host import AdbServer, Link
from edgekit.transports.paramiko_import import paramiko
from edgekit.transports.running import lost
from edgekit.transports.ssh import SshTransport
from edgekit.transports.ssh_connection import SshConnection, open_connection

_DEFAULT_PORT = 5037
_START = "command -v adb >/dev/null || exit 127; ADB_LIBUSB=0 exec adb -P {port} start-server >/dev/null 2>&1"
_START_SECONDS = 20.0


class AdbOverSshTransport(AdbTransport):
    """As AdbTransport. `?port=N` behind the serial names the port of the lab's adb server (else 5037)."""

    @classmethod
    def connect(cls, address: Address, *, timeout: float) -> AdbTransport:
        """Raises what ssh and adb raise."""
        deadline = Deadline.after(timeout)
        port = _server_port(address)
        lab = replace(address, kind="ssh", serial=None, options=())
        connection = open_connection(lab, timeout=deadline.within(timeout))
        try:
            dial = _dialer(connection, lab, port)
            server = AdbServer(f"{lab}:{port}", dial)
            return cls._attach(server, address, deadline, owned=connection)
        except BaseException:
            connection.close()
            raise


def _server_port(address: Address) -> int:
    text = address.option("port") or str(_DEFAULT_PORT)
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 65535):
        raise InputError(f"{address}: '{text}' is no port", code="E_ADDRESS")
    return int(text)


def _dialer(connection: SshConnection, lab: Address, port: int) -> Callable[[float], Link]:
    """Connections to the lab's adb server; the first one starts the server where none runs."""
    may_start = [True]

    def dial(seconds: float) -> Link:
        deadline = Deadline.after(seconds)
        try:
            return _tunnel(connection, lab, port, seconds)
        except paramiko.ChannelException as error:
            if not may_start:
                raise _no_server(lab, port, str(error)) from error
        may_start.clear()
        starter = SshTransport(connection, str(lab))
        done = starter.run(["sh", "-c", _START.format(port=port)], timeout=deadline.within(_START_SECONDS))
        if done.exit_code != 0:
            said = "adb is not on its PATH" if done.exit_code == 127 else f"exit code {done.exit_code}"
            raise _no_server(lab, port, said)
        try:
            return _tunnel(connection, lab, port, max(0.1, deadline.within(seconds)))
        except paramiko.ChannelException as error:
            raise _no_server(lab, port, str(error)) from error

    return dial


def _tunnel(connection: SshConnection, lab: Address, port: int, seconds: float) -> Link:
    try:
        return ChannelLink(connection.tunnel("127.0.0.1", port, seconds))
    except paramiko.ChannelException:
        raise
    except (paramiko.SSHException, EOFError, OSError) as error:
        raise lost("the connection to the lab host is lost", str(lab), connection.why() or error) from error


def _no_server(lab: Address, port: int, why: str) -> EdgekitError:
    return HostError(
        f"no adb server on {lab.host}, port {port} ({why})",
        code="E_ADB_SERVER",
        hint=f"ssh {lab.host} adb start-server",
        device=str(lab),
        transient=True,
    )


@contextlib.contextmanager
def _as_os_error() -> Iterator[None]:
    """A Link raises OSError; paramiko has its own words for a connection that ended."""
    try:
        yield
    except (EOFError, paramiko.SSHException) as error:
        raise ConnectionError(f"the ssh connection ended ({error})") from error


class ChannelLink:
    """A Link over an ssh channel."""

    def __init__(self, channel: paramiko.Channel) -> None:
        self._channel = channel

    def recv(self, size: int) -> bytes:
        with _as_os_error():
            return self._channel.recv(size)

    def send(self, data: bytes | memoryview) -> int:
        with _as_os_error():
            sent = self._channel.send(bytes(data[: 1 << 18]))
        if sent == 0 and data:
            raise ConnectionError("the ssh channel is closed")
        return sent

    def settimeout(self, seconds: float | None) -> None:
        self._channel.settimeout(seconds)

    def ready(self) -> bool:
        return self._channel.recv_ready() or bool(self._channel.eof_received)

    def abort(self) -> None:
        self._channel.in_buffer.close()
        threading.Thread(target=self.close, name="edgekit-adb-cut", daemon=True).start()

    def close(self) -> None:
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            self._channel.close()
