"""A dashboard that really serves, in a thread of the tests' process."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPMessage
from pathlib import Path
from typing import Any

import pytest

from edgekit.records import Record, Samples
from edgekit.results.database import migrate
from edgekit.results.place import place_of
from edgekit.results.store import Store
from tests.results.conftest import postgres  # noqa: F401 - a fixture
from tests.results.real_run import measure

TOKEN = "a-token-that-only-tests-know-0123456789"
Run = tuple[Record, Samples]


@dataclass
class Answer:
    status: int
    headers: HTTPMessage
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode("utf-8")

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object, **__: object) -> None:
        return None


@dataclass
class Served:
    """A running dashboard; `store` is what it shows."""

    url: str
    store: Store
    stop: Callable[[], None]

    def ask(self, path: str, body: bytes | None = None, method: str | None = None, **headers: str) -> Answer:
        """One request; header names with _ for -. Redirects are not followed."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(self.url + path, body, named, method=method)
        try:
            with urllib.request.build_opener(_Stay).open(request, timeout=60) as found:
                return Answer(found.status, found.headers, found.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.headers, error.read())


def start(path: Path | str, token: str | None = None) -> Served:
    """Serve a store, a file or a database by URL, until `stop` is called."""
    import uvicorn

    from edgekit.web.app import create_app
    from edgekit.web.serving import listener
    from edgekit.web.settings import settings

    chosen = settings("127.0.0.1", 0, token)
    store = Store(path)
    socket = listener(chosen)
    config = uvicorn.Config(
        create_app(store, chosen), log_level="warning", lifespan="off", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [socket]}, daemon=True)
    thread.start()

    def stop() -> None:
        server.should_exit = True
        thread.join(30)
        socket.close()

    return Served(f"http://127.0.0.1:{socket.getsockname()[1]}", store, stop)


@pytest.fixture(scope="session")
def real() -> Run:
    return measure(launches=4, iterations=150)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """Starts dashboards that end with the test."""
    pytest.importorskip("fastapi")
    running: list[Served] = []

    def begin(name: str = "served.sqlite", token: str | None = None) -> Served:
        running.append(start(tmp_path / name, token))
        return running[-1]

    yield begin
    for one in running:
        one.stop()


def new_database(request: pytest.FixtureRequest) -> str:
    """The URL of an empty store in PostgreSQL."""
    url: str = request.getfixturevalue("postgres").new_database()
    migrate(place_of(url))
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def any_served(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Served]:
    """A dashboard on an empty store: a file, and a database."""
    pytest.importorskip("fastapi")
    found = start(tmp_path / "any.sqlite" if request.param == "sqlite" else new_database(request))
    yield found
    found.stop()
