"""Running the dashboard until it is told to stop."""

from __future__ import annotations

import gc
import socket
from collections.abc import Callable

from edgekit.errors import HostError, MissingExtra
from edgekit.results.store import Store
from edgekit.web.settings import Settings

STOP_S = 3
"""Open pages listen for new runs without end; so long they may finish what they do."""


def serve(store: Store, settings: Settings, started: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM. `started` gets the address as soon as it can be opened.

    Raises MissingExtra without the extra `dashboard`, HostError E_ADDRESS where the address cannot be listened on.
    """
    try:
        import uvicorn

        from edgekit.web.app import create_app
    except ImportError as error:
        raise MissingExtra("the dashboard", "dashboard") from error
    opened = listener(settings)
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    config = uvicorn.Config(
        create_app(store, settings),
        access_log=False,
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=STOP_S,
        lifespan="off",
    )
    # what is there now stays: looking through it all, again and again, would double the time of one page in twenty
    gc.collect()
    gc.freeze()
    with opened:
        started(f"http://{host}:{opened.getsockname()[1]}/")
        uvicorn.Server(config).run(sockets=[opened])


def listener(settings: Settings) -> socket.socket:
    """A socket that listens. Raises HostError E_ADDRESS."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        found = socket.socket(family, kind, protocol)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        found.listen(128)
    except OSError as error:
        raise HostError(
            f"cannot listen on {settings.host}:{settings.port}: {error.strerror or error}",
            code="E_ADDRESS",
            hint="choose another --port; 0 takes a free one",
        ) from error
    return found
