"""Where a store is: a file, or a PostgreSQL database by URL. Pure, but for the default.

    results.sqlite · /data/results.sqlite · sqlite:///data/results.sqlite
    postgresql://[USER@]HOST[:PORT]/DATABASE[?sslmode=verify-full&...]
    postgresql:///DATABASE?host=/var/run/postgresql

A URL holds no password: it would stand in process lists, shell histories and logs. libpq finds one by itself, in
PGPASSWORD or in the file that PGPASSFILE names (~/.pgpass), as with psql.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from edgekit.cache import data_dir, expanded
from edgekit.errors import InputError

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_POSTGRES = ("postgresql", "postgres", "postgresql+psycopg")
_PARAMETERS = frozenset(
    ("host", "port", "sslmode", "sslrootcert", "sslcert", "sslkey", "connect_timeout", "application_name")
)
"""Of libpq's (https://www.postgresql.org/docs/current/libpq-connect.html), those that name no secret and run nothing."""


@dataclass(frozen=True)
class Place:
    """`url`: SQLAlchemy's. `path`: of a file's store, else None. `shown`: for messages; holds no secret."""

    url: URL
    path: Path | None
    shown: str

    @property
    def is_sqlite(self) -> bool:
        return self.path is not None


def place_of(store: str | Path | None) -> Place:
    """None: `EDGEKIT_RESULTS`, else results.sqlite in the data folder. Raises InputError E_STORE_URL, HostError E_HOME."""
    if store is None:
        store = os.environ.get("EDGEKIT_RESULTS") or data_dir() / "results.sqlite"
    if isinstance(store, str) and (match := _SCHEME.match(store)) is not None:
        return _by_url(store, match[1].lower())
    return _file(store if isinstance(store, Path) else expanded(store, "the results store"))


def is_url(text: str) -> bool:
    """Whether it names a database by URL, so that it is no path."""
    return _SCHEME.match(text) is not None


def _file(path: Path) -> Place:
    return Place(URL.create("sqlite+pysqlite", database=str(path)), path, str(path))


def _by_url(text: str, scheme: str) -> Place:
    if scheme == "sqlite":
        return _file(expanded(text.split("://", 1)[1].removeprefix("/") or "/", "the results store"))
    if scheme not in _POSTGRES:
        raise _refused(
            f"no results store at {scheme}://", "write postgresql://HOST/DATABASE, or a file's path"
        )
    try:
        url = make_url(text)
    except (ArgumentError, ValueError) as error:
        raise _refused(
            "the URL of the results store cannot be read", "like postgresql://HOST/DATABASE"
        ) from error
    if url.password is not None or any("password" in name for name in url.query):
        raise _refused(
            "a password in the store's URL can be seen by others", "use PGPASSFILE (or PGPASSWORD)"
        )
    unknown = sorted(set(url.query) - _PARAMETERS)
    if unknown:
        raise _refused(
            f"the store's URL has '{unknown[0]}'", f"it may have: {', '.join(sorted(_PARAMETERS))}"
        )
    if not url.database:
        raise _refused("the store's URL names no database", "like postgresql://HOST/DATABASE")
    url = url.set(drivername="postgresql+psycopg")
    return Place(url, None, url.set(drivername="postgresql").render_as_string(hide_password=True))


def _refused(message: str, hint: str) -> InputError:
    return InputError(message, code="E_STORE_URL", hint=hint)
