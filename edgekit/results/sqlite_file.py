"""The SQLite side of the store: a file made whole or not at all, transactions by hand, SQLite's errors as edgekit's."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from edgekit.cache import host_errors
from edgekit.errors import EdgekitError, HostDiskFull, StoreError

LEAST_FREE_BYTES = 64 << 10
"""What SQLite needs for its side files, with a little more."""
_MAYBE_FULL = (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)
_STEPS_BETWEEN_LOOKS = 10_000
"""Of SQLite's virtual machine, between two looks at the clock: some tenths of a millisecond."""


def make_engine(path: Path, busy_timeout_s: float) -> Engine:
    url = URL.create("sqlite+pysqlite", database=str(path))
    # Transactions are begun by hand (see `transaction`): the driver would begin deferred ones, which fail
    # at the first write when another process wrote meanwhile.
    engine = create_engine(
        url, poolclass=NullPool, isolation_level="AUTOCOMMIT", connect_args={"timeout": busy_timeout_s}
    )
    event.listen(engine, "connect", _set_up)
    return engine


def make_reader(path: Path, busy_timeout_s: float) -> Engine:
    """An engine that only reads, and changes nothing by being there."""
    uri = f"{path.resolve().as_uri()}?mode=ro"
    return create_engine(
        URL.create("sqlite+pysqlite", database=str(path)),
        poolclass=NullPool,
        isolation_level="AUTOCOMMIT",
        creator=lambda: sqlite3.connect(uri, uri=True, timeout=busy_timeout_s, isolation_level=None),
    )


def _set_up(connection: sqlite3.Connection, _: object) -> None:
    """WAL: readers never wait for writers. FULL: what was added survives a power cut."""
    for pragma in (
        "journal_mode = WAL",
        "synchronous = FULL",
        "foreign_keys = ON",
        "trusted_schema = OFF",
        "cache_size = -32768",
    ):
        connection.execute(f"PRAGMA {pragma}").close()


@contextmanager
def transaction(connection: Connection, begin: str) -> Iterator[None]:
    """`begin`: BEGIN, or BEGIN IMMEDIATE, which takes the write lock at once so that it cannot fail half-way for it."""
    connection.exec_driver_sql(begin)
    try:
        yield
        connection.exec_driver_sql("COMMIT")
    except BaseException:
        driver = connection.connection.dbapi_connection
        if driver is not None and driver.in_transaction:
            connection.exec_driver_sql("ROLLBACK")
        raise


@contextmanager
def reading(connection: Connection, timeout_s: float | None = None) -> Iterator[None]:
    """Of one moment, and unable to write. What takes longer than `timeout_s` is interrupted."""
    driver = connection.connection.dbapi_connection
    assert isinstance(driver, sqlite3.Connection)
    connection.exec_driver_sql("PRAGMA query_only = ON")
    if timeout_s is not None:
        ends = time.monotonic() + timeout_s
        driver.set_progress_handler(lambda: time.monotonic() > ends, _STEPS_BETWEEN_LOOKS)
    with transaction(connection, "BEGIN"):
        yield


def create(path: Path, initialise: Callable[[Connection], None]) -> None:
    """Make a complete store under a temporary name, then link it to `path`. Of several processes that do so
    at once one wins, and all go on with the winner's: no process ever sees a store half made."""
    with host_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".ek-tmp", dir=path.parent)
        os.close(handle)
    temporary = Path(name)
    try:
        with make_engine(temporary, 60.0).connect() as connection, transaction(connection, "BEGIN IMMEDIATE"):
            initialise(connection)
        with host_errors(path):
            link(temporary, path)
    finally:
        for leftover in (temporary, Path(f"{temporary}-wal"), Path(f"{temporary}-shm")):
            leftover.unlink(missing_ok=True)


def link(temporary: Path, path: Path) -> None:
    """Give the file its name, unless there is one of that name already."""
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        return
    except OSError:
        # A file system without hard links (FAT, some network mounts): rename, which two processes that start
        # within the same instant could both do; the store is empty then, so nothing is lost but that add.
        if not path.exists():
            temporary.replace(path)


def mapped(error: DBAPIError, path: Path) -> EdgekitError:
    original = error.orig
    # The primary result code is the low byte: https://www.sqlite.org/rescode.html
    code = getattr(original, "sqlite_errorcode", 0) & 0xFF
    text = f"results store {path}: {original}"
    if code == sqlite3.SQLITE_FULL or (code in _MAYBE_FULL and _is_full(path)):
        return HostDiskFull(text, hint="free space on that disk, or set EDGEKIT_RESULTS to a file elsewhere")
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreError(
            text,
            code="E_STORE_LOCKED",
            hint="another process has held the store for long; try again when it is done",
            transient=True,
        )
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return damaged(path, str(original))
    if code == sqlite3.SQLITE_READONLY or (code in _MAYBE_FULL and not os.access(path.parent, os.W_OK)):
        return StoreError(
            text,
            code="E_STORE_READ_ONLY",
            hint="make the file and its folder writable, or set EDGEKIT_RESULTS to another file",
        )
    if code == sqlite3.SQLITE_INTERRUPT:
        return StoreError(text, code="E_STORE_TIMEOUT", hint="ask for less, or give it more time")
    return StoreError(text, hint="check that the file and its folder can be written, or set EDGEKIT_RESULTS")


def _is_full(path: Path) -> bool:
    """SQLite says "disk I/O error" or "unable to open" where there is no room for its -wal and -shm files."""
    try:
        return shutil.disk_usage(path.parent).free < LEAST_FREE_BYTES
    except OSError:
        return False


def damaged(path: Path | str, why: str) -> StoreError:
    """The error for a store whose bytes do not make sense."""
    return StoreError(
        f"the results store {path} is damaged: {why}",
        code="E_STORE_DAMAGED",
        hint=f"move {path} away (a new store is made), and try `sqlite3 {path} .recover` on the old one",
    )
