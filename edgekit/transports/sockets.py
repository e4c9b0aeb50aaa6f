"""TCP connections with a deadline for everything, the name look-up too."""

from __future__ import annotations

import socket
import threading

from edgekit.clock import Deadline

_Found = list[tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[str, int]]]


def connect_tcp(host: str, port: int, timeout: float) -> socket.socket:
    """The first of a host's addresses that answers, its timeout still set. Raises OSError (gaierror for a name
    that is not known, TimeoutError past `timeout`)."""
    deadline = Deadline.after(timeout)
    last: OSError = TimeoutError(f"the name {host} was not looked up in time")
    for family, kind, protocol, _, place in _look_up(host, port, timeout):
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(max(0.01, deadline.within(timeout)))
            sock.connect(place)
        except OSError as error:
            sock.close()
            last = error
        else:
            return sock
    raise last


def _look_up(host: str, port: int, timeout: float) -> _Found:
    """getaddrinfo takes no deadline; a thread that waits for a dead name server is left to itself."""
    found: list[_Found | OSError] = []

    def ask() -> None:
        try:
            found.append(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))  # type: ignore[arg-type]
        except OSError as error:
            found.append(error)

    thread = threading.Thread(target=ask, name="edgekit-resolve", daemon=True)
    thread.start()
    thread.join(timeout)
    if not found:
        return []
    if isinstance(found[0], OSError):
        raise found[0]
    return found[0]
