"""Free ports, away from those that adb scans by itself."""

from __future__ import annotations

import contextlib
import random
import socket
import subprocess
import time

ADB_PORTS = {5037, *range(5554, 5586)}
"""An adb server takes a listener on these for an emulator of its own."""


LOWEST, HIGHEST = 10_000, 32_000
"""Below Linux's ports for outgoing connections, which begin at 32768."""


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port that nobody listens on now, and that the kernel gives to no connection of its own accord: it may
    be a while until a server takes it."""
    while True:
        port = random.SystemRandom().randrange(LOWEST, HIGHEST)
        if port in ADB_PORTS:
            continue
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind((host, port))
            return port


ATTEMPT_S, LONGEST_ATTEMPT_S = 1.0, 10.0
"""A connection that was taken too early may never speak: try another, and give each more time than the last, as a
board on a busy machine needs seconds to speak."""


def wait_for_port(
    host: str,
    port: int,
    timeout: float,
    banner: bytes = b"",
    server: subprocess.Popen[bytes] | None = None,
) -> None:
    """Wait until a connection is taken and begins with `banner`. Raises TimeoutError, at once where the process
    `server` has ended."""
    end = time.monotonic() + timeout
    last: OSError | None = None
    patience = ATTEMPT_S
    while time.monotonic() < end:
        try:
            with socket.create_connection((host, port), timeout=patience) as probe:
                if not banner or probe.recv(len(banner)).startswith(banner):
                    return
        except TimeoutError as error:
            last, patience = error, min(patience * 1.5, LONGEST_ATTEMPT_S)
        except OSError as error:
            last = error
        if server is not None and server.poll() is not None:
            raise TimeoutError(f"the server for {host}:{port} ended with {server.returncode}")
        time.sleep(0.003)
    raise TimeoutError(f"nothing answered on {host}:{port} within {timeout} s: {last}")
