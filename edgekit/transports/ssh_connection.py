"""An authenticated ssh connection to one host, through whatever lies between; errors of paramiko end here."""

from __future__ import annotations

import contextlib
import functools
import logging
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

from edgekit.addresses import Address
from edgekit.clock import Deadline
from edgekit.errors import DeviceError, DeviceNotFound, DeviceOffline, HostError
from edgekit.transports.paramiko_import import paramiko
from edgekit.transports.running import lost
from edgekit.transports.ssh_auth import authenticate
from edgekit.transports.ssh_config import SshSettings, settings_for
from edgekit.transports.ssh_hostkeys import KnownKey, check_host_key, read_known
from edgekit.transports.ssh_wire import Pinger, ProxyProcess, Raw, Wire, dial

# As much as 1 Gbit/s holds in 30 ms. Not more: paramiko moves all that waits at every read (64 MiB: 6x slower).
_WINDOW_BYTES = 4 << 20
_MAX_HOPS = 8
_SIGNALS = {  # RFC 4254, 6.10; the numbers are the same on every Linux that edgekit meets
    "HUP": 1, "INT": 2, "QUIT": 3, "ILL": 4, "ABRT": 6, "FPE": 8, "KILL": 9, "USR1": 10, "SEGV": 11,
    "USR2": 12, "PIPE": 13, "ALRM": 14, "TERM": 15, "BUS@openssh.com": 7, "TRAP@openssh.com": 5,
    "SYS@openssh.com": 31,
}  # fmt: skip

# paramiko logs a traceback for every connection that breaks; edgekit raises one error instead.
logging.getLogger("paramiko").addHandler(logging.NullHandler())


class _Transport(paramiko.Transport):
    """paramiko passes over exit-signal; a command that a signal ended would look like a lost connection."""

    _channel_handler_table: ClassVar[dict[int, Callable[[paramiko.Channel, paramiko.Message], None]]] = {
        **paramiko.Transport._channel_handler_table  # type: ignore[attr-defined]
    }


def _on_channel_request(channel: paramiko.Channel, message: paramiko.Message) -> None:
    start = message.packet.tell()
    if message.get_text() == "exit-signal":
        message.get_boolean()
        channel.exit_status = 128 + _SIGNALS.get(message.get_text(), 127)
        channel.status_event.set()
        return
    message.packet.seek(start)
    _handle_request(channel, message)


_handle_request = _Transport._channel_handler_table[paramiko.common.MSG_CHANNEL_REQUEST]
_Transport._channel_handler_table[paramiko.common.MSG_CHANNEL_REQUEST] = _on_channel_request


class SshConnection:
    """One hop that is logged in; owns the hops before it."""

    def __init__(
        self, transport: paramiko.Transport, wire: Wire, settings: SshSettings, via: SshConnection | None
    ) -> None:
        self.transport = transport
        self.settings = settings
        self._wire = wire
        self._via = via
        self._pinger = Pinger(transport, wire)

    def why(self) -> BaseException | None:
        """What ended the connection, if something did."""
        if self._wire.broken:
            return ConnectionError(self._wire.broken)
        return self.transport.saved_exception

    def tunnel(self, host: str, port: int, timeout: float) -> paramiko.Channel:
        """A stream to HOST:PORT as seen from there (direct-tcpip). Raises paramiko's errors."""
        return self.transport.open_channel(
            "direct-tcpip", (host, port), ("127.0.0.1", 0), window_size=_WINDOW_BYTES, timeout=timeout
        )

    def close(self) -> None:
        self._pinger.stop()
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            self.transport.close()
        if self._via is not None:
            self._via.close()


def open_connection(address: Address, *, timeout: float) -> SshConnection:
    """Connect and log in, hop by hop; every hop's host key is checked. Raises a DeviceError or HostError."""
    deadline = Deadline.after(timeout)
    return _connect(address, None, deadline, str(address), 0)


def _connect(
    address: Address, via: SshConnection | None, deadline: Deadline, device: str, depth: int
) -> SshConnection:
    if depth > _MAX_HOPS:
        raise HostError("ProxyJump goes round in a circle", code="E_SSH_CONFIG", device=device)
    settings = settings_for(address)
    try:
        if via is None:
            for hop in settings.proxy_jump:
                # Only the first hop's own ProxyJump counts: the others are reached through the one before.
                via = _connect(hop, via, deadline, device, depth + 1)
        return _log_in(settings, via, deadline, device)
    except BaseException:
        if via is not None:
            via.close()
        raise


def _log_in(
    settings: SshSettings, via: SshConnection | None, deadline: Deadline, device: str
) -> SshConnection:
    known = read_known(settings)
    with connect_errors(settings, device):
        wire = Wire(_raw(settings, via, deadline))
        transport = _Transport(wire, default_window_size=_WINDOW_BYTES)  # type: ignore[arg-type]
    try:
        with connect_errors(settings, device):
            _prefer(transport, known)
            left = deadline.within(3600)
            transport.banner_timeout = transport.auth_timeout = transport.handshake_timeout = left
            transport.start_client(timeout=left)
            key = transport.get_remote_server_key()
        check_host_key(known, key.get_name(), key.asbytes(), settings, device)
        with connect_errors(settings, device):
            authenticate(transport, settings, device, deadline.within(30))
        return SshConnection(transport, wire, settings, via)
    except BaseException:
        transport.close()
        raise


def _raw(settings: SshSettings, via: SshConnection | None, deadline: Deadline) -> Raw:
    left = max(0.1, deadline.within(3600))
    if via is not None:
        return via.tunnel(settings.host, settings.port, left)
    if settings.proxy_command:
        return ProxyProcess(settings.proxy_command)
    return dial(settings.host, settings.port, left)


def _prefer(transport: paramiko.Transport, known: list[KnownKey]) -> None:
    """Host key types that are known first (else another type would look like a changed key), and the cipher
    that this processor is fast with."""
    options = transport.get_security_options()
    types = {line.key_type for line in known if not line.revoked}
    if "ssh-rsa" in types:
        types |= {"rsa-sha2-256", "rsa-sha2-512"}
    options.key_types = tuple(sorted(options.key_types, key=lambda name: name not in types))
    if _has_aes():
        options.ciphers = tuple(sorted(options.ciphers, key=lambda name: not name.startswith("aes128-gcm")))


@functools.cache
def _has_aes() -> bool:
    """Whether this processor has instructions for AES (Linux only; elsewhere paramiko's order stays)."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text("ascii", "replace").splitlines():
            if line.lower().startswith(("flags", "features")):
                return "aes" in line.split()
    return False


@contextlib.contextmanager
def connect_errors(settings: SshSettings, device: str) -> Iterator[None]:
    """The one place where errors of connecting become edgekit's."""
    where = f"{settings.host}:{settings.port}"
    try:
        yield
    except socket.gaierror as error:
        raise DeviceNotFound(
            f"the host name '{settings.host}' is not known ({error.strerror})",
            device=device,
            hint="check the spelling, the network, or HostName in ~/.ssh/config",
        ) from error
    except ConnectionRefusedError as error:
        raise DeviceOffline(
            f"{where} refuses connections",
            device=device,
            hint="is sshd running there, and is the port right?",
        ) from error
    except TimeoutError as error:
        raise DeviceOffline(
            f"{where} does not answer", device=device, hint="is the board on, and on this network?"
        ) from error
    except OSError as error:
        raise DeviceOffline(f"{where}: {error.strerror or error}", device=device) from error
    except paramiko.ssh_exception.IncompatiblePeer as error:
        raise DeviceError(
            f"{where}: no common ssh algorithms ({error})",
            code="E_SSH_ALGORITHMS",
            device=device,
            hint="update the board's ssh server",
        ) from error
    except paramiko.ChannelException as error:
        raise DeviceOffline(
            f"the jump host cannot reach {where} ({error})", device=device, hint="is the board on?"
        ) from error
    except (paramiko.SSHException, EOFError) as error:
        raise lost(f"{where}: the connection ended while it was set up", device, error) from error
