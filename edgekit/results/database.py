"""Opening the SQLite file: made whole or not at all, safe with many processes, foreign errors mapped once."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event, inspect, select
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from edgekit.cache import data_dir, expanded, host_errors
from edgekit.errors import EdgekitError, HostDiskFull, StoreError
from edgekit.results.tables import SCHEMA_VERSION, metadata, schema_table

BUSY_TIMEOUT_S = 15.0
LEAST_FREE_BYTES = 64 << 10
"""What SQLite needs for its side files, with a little more."""
_MAYBE_FULL = (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)


def default_path() -> Path:
    """`EDGEKIT_RESULTS`, else results.sqlite in the data folder."""
    if value := os.environ.get("EDGEKIT_RESULTS"):
        return expanded(value, "EDGEKIT_RESULTS")
    return data_dir() / "results.sqlite"


def open_engine(path: Path, busy_timeout_s: float = BUSY_TIMEOUT_S) -> Engine:
    """An engine on the store at `path`, which is made where there is none.

    Raises StoreError: E_STORE_NEWER for a store of a newer edgekit, E_STORE_FOREIGN for a database that is
    no store, E_STORE_DAMAGED, E_STORE_LOCKED, E_STORE; HostDiskFull.
    """
    if not path.exists():
        _create(path)
    engine = _engine(path, busy_timeout_s)
    with store_errors(path), engine.connect() as connection:
        _check_schema(connection, path)
    return engine


@contextmanager
def writing(engine: Engine, path: Path) -> Iterator[Connection]:
    """One write transaction; takes the write lock at once, so that it cannot fail half-way for a lock."""
    with store_errors(path), engine.connect() as connection, _transaction(connection, "BEGIN IMMEDIATE"):
        yield connection


@contextmanager
def reading(engine: Engine, path: Path) -> Iterator[Connection]:
    """One read transaction: everything read in it is of one moment."""
    with store_errors(path), engine.connect() as connection, _transaction(connection, "BEGIN"):
        yield connection


@contextmanager
def store_errors(path: Path) -> Iterator[None]:
    """Map SQLite's errors to edgekit's."""
    try:
        yield
    except DBAPIError as error:
        raise _mapped(error, path) from error


def _create(path: Path) -> None:
    """Make a complete store under a temporary name, then link it to `path`. Of several processes that do so
    at once one wins, and all go on with the winner's: no process ever sees a store half made."""
    with host_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".ek-tmp", dir=path.parent)
        os.close(handle)
    temporary = Path(name)
    try:
        engine = _engine(temporary, BUSY_TIMEOUT_S)
        with store_errors(path), engine.connect() as connection:
            _check_schema(connection, path)
        with host_errors(path):
            _link(temporary, path)
    finally:
        for leftover in (temporary, Path(f"{temporary}-wal"), Path(f"{temporary}-shm")):
            leftover.unlink(missing_ok=True)


def _link(temporary: Path, path: Path) -> None:
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        return
    except OSError:
        # A file system without hard links (FAT, some network mounts): rename, which two processes that start
        # within the same instant could both do; the store is empty then, so nothing is lost but that add.
        if not path.exists():
            temporary.replace(path)


def _engine(path: Path, busy_timeout_s: float) -> Engine:
    url = URL.create("sqlite+pysqlite", database=str(path))
    # Transactions are begun by hand (see `_transaction`): the driver would begin deferred ones, which fail
    # at the first write when another process wrote meanwhile.
    engine = create_engine(
        url, poolclass=NullPool, isolation_level="AUTOCOMMIT", connect_args={"timeout": busy_timeout_s}
    )
    event.listen(engine, "connect", _set_up)
    return engine


def _set_up(connection: sqlite3.Connection, _: object) -> None:
    """WAL: readers never wait for writers. FULL: what was added survives a power cut."""
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "trusted_schema = OFF"):
        connection.execute(f"PRAGMA {pragma}").close()


@contextmanager
def _transaction(connection: Connection, begin: str) -> Iterator[None]:
    connection.exec_driver_sql(begin)
    try:
        yield
        connection.exec_driver_sql("COMMIT")
    except BaseException:
        driver = connection.connection.dbapi_connection
        if driver is not None and driver.in_transaction:
            connection.exec_driver_sql("ROLLBACK")
        raise


def _check_schema(connection: Connection, path: Path) -> None:
    tables = set(inspect(connection).get_table_names())
    if not tables:
        with _transaction(connection, "BEGIN IMMEDIATE"):
            metadata.create_all(connection)
            if connection.execute(select(schema_table.c.version)).first() is None:
                connection.execute(schema_table.insert().values(version=SCHEMA_VERSION))
        return
    if schema_table.name not in tables:
        raise StoreError(
            f"{path} is a database, but not a results store",
            code="E_STORE_FOREIGN",
            hint="set EDGEKIT_RESULTS to another file",
        )
    version = connection.execute(select(schema_table.c.version)).scalar()
    if version != SCHEMA_VERSION:
        raise StoreError(
            f"the results store {path} has schema {version}; this edgekit knows {SCHEMA_VERSION}",
            code="E_STORE_NEWER",
            hint="upgrade edgekit, or set EDGEKIT_RESULTS to another file",
        )


def _mapped(error: DBAPIError, path: Path) -> EdgekitError:
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
    return StoreError(text, hint="check that the file and its folder can be written, or set EDGEKIT_RESULTS")


def _is_full(path: Path) -> bool:
    """SQLite says "disk I/O error" or "unable to open" where there is no room for its -wal and -shm files."""
    try:
        return shutil.disk_usage(path.parent).free < LEAST_FREE_BYTES
    except OSError:
        return False


def damaged(path: Path, why: str) -> StoreError:
    """The error for a store whose bytes do not make sense."""
    return StoreError(
        f"the results store {path} is damaged: {why}",
        code="E_STORE_DAMAGED",
        hint=f"move {path} away (a new store is made), and try `sqlite3 {path} .recover` on the old one",
    )
