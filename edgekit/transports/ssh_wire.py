"""The connection below ssh: a socket of ours that tells a silent link from a quiet one.

paramiko by itself sets no TCP_NODELAY (51 ms instead of 10 per command), and waits for ever on a link that
went dark in the middle of a transfer. Three watches: TCP_USER_TIMEOUT (the kernel gives up on data that
nobody acknowledges), SO_KEEPALIVE, and pings inside ssh that must be answered, which also see a board
behind a jump host go dark.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import subprocess
import threading
import time
from typing import Protocol

from edgekit.transports.paramiko_import import paramiko
from edgekit.transports.sockets import connect_tcp

QUIET_SECONDS = 2.0
ANSWER_SECONDS = 5.0
"""A board that leaves a ping unanswered for so long is lost; with QUIET_SECONDS it stays below 10 s."""
_TICK_SECONDS = 0.5
_USER_TIMEOUT_MS = 7000


class Raw(Protocol):
    """What a wire lies on: a socket, or a channel of the ssh connection before."""

    def recv(self, nbytes: int, /) -> bytes: ...
    def send(self, data: bytes, /) -> int: ...
    def settimeout(self, timeout: float | None, /) -> None: ...
    def close(self) -> None: ...


def dial(host: str, port: int, timeout: float) -> socket.socket:
    """A TCP connection as edgekit wants it. Raises OSError."""
    sock = connect_tcp(host, port, timeout)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    # Names that only Linux has; macOS keeps the pings.
    for name, value in (
        ("TCP_USER_TIMEOUT", _USER_TIMEOUT_MS),
        ("TCP_KEEPIDLE", 2),
        ("TCP_KEEPINTVL", 2),
        ("TCP_KEEPCNT", 3),
    ):
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return sock


class ProxyProcess:
    """ProxyCommand: a command of the user's settings whose stdin and stdout are the connection."""

    def __init__(self, command: str) -> None:
        self._socket, theirs = socket.socketpair()
        with theirs:
            # The settings hold a shell command line; ssh itself runs it in this way.
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", f"exec {command}"],
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                start_new_session=True,
            )

    def recv(self, nbytes: int, /) -> bytes:
        return self._socket.recv(nbytes)

    def send(self, data: bytes, /) -> int:
        return self._socket.send(data)

    def settimeout(self, timeout: float | None, /) -> None:
        self._socket.settimeout(timeout)

    def close(self) -> None:
        self._socket.close()
        with contextlib.suppress(OSError):
            self._process.terminate()
        threading.Thread(target=self._process.wait, daemon=True).start()


class Wire:
    """What paramiko gets as its socket: notes when bytes came in, and breaks when a ping stays unanswered."""

    def __init__(self, raw: Raw) -> None:
        self._raw = raw
        self._received_at = time.monotonic()
        self._pinged_at: float | None = None
        self.broken: str | None = None
        self._closed = False  # paramiko looks at it, as at a socket's

    def recv(self, size: int) -> bytes:
        try:
            data = self._raw.recv(size)
        except TimeoutError:
            self._check()
            raise
        self._received_at = time.monotonic()
        self._pinged_at = None
        return data

    def send(self, data: bytes) -> int:
        try:
            return self._raw.send(data)
        except TimeoutError:
            self._check()
            raise

    def settimeout(self, timeout: float | None) -> None:
        self._raw.settimeout(timeout)

    def close(self) -> None:
        self._closed = True
        # A channel says goodbye over a connection that may be gone.
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            self._raw.close()

    def quiet_seconds(self) -> float:
        return time.monotonic() - self._received_at

    def pinging(self) -> None:
        """From now on the clock for an answer runs; any byte stops it."""
        if self._pinged_at is None:
            self._pinged_at = time.monotonic()

    def _check(self) -> None:
        pinged_at = self._pinged_at
        if pinged_at is not None and time.monotonic() - pinged_at > ANSWER_SECONDS:
            self.broken = f"no answer for {self.quiet_seconds():.0f} s"
            raise ConnectionError(errno.ETIMEDOUT, self.broken)


class Pinger:
    """Asks over ssh whether the other side is there, whenever nothing came for QUIET_SECONDS."""

    def __init__(self, transport: paramiko.Transport, wire: Wire) -> None:
        self._transport = transport
        self._wire = wire
        self._stop = threading.Event()
        threading.Thread(target=self._loop, name="edgekit-ssh-ping", daemon=True).start()

    def _loop(self) -> None:
        while not self._stop.wait(_TICK_SECONDS) and self._transport.is_active():
            if self._wire.quiet_seconds() < QUIET_SECONDS:
                continue
            self._wire.pinging()
            # Returns with the answer, or when the transport has ended: the wire sees to that.
            with contextlib.suppress(paramiko.SSHException, EOFError, OSError):
                self._transport.global_request("keepalive@openssh.com", wait=True)

    def stop(self) -> None:
        self._stop.set()
