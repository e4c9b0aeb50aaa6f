"""The PostgreSQL side of the store: an engine, transactions, and psycopg's errors as edgekit's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, Table, create_engine, text
from sqlalchemy.exc import DBAPIError

from edgekit.errors import EdgekitError, HostDiskFull, MissingExtra, StoreError
from edgekit.results.place import Place

CONNECT_TIMEOUT_S = 15
STATEMENT_TIMEOUT_S = 300
SPARE_S = 15.0
"""A server has so much more time to say that it ended a statement."""
UNANSWERED_MS = 50_000
"""What was sent may be without the other kernel's answer so long."""


def make_engine(place: Place, lock_timeout_s: float, statement_timeout_s: float | None = None) -> Engine:
    """`statement_timeout_s` None: STATEMENT_TIMEOUT_S. Raises MissingExtra where psycopg is not installed. Connects to nothing yet."""
    try:
        from edgekit.results.postgres_driver import answered
    except ImportError as error:
        raise MissingExtra("a results store in PostgreSQL", "postgres") from error
    # a network that is gone is told within a minute: not after the kernel's two hours where it was idle, nor after its
    # quarter of an hour where something was sent and not answered for. `answered` is for a server that hangs
    limit_s = STATEMENT_TIMEOUT_S if statement_timeout_s is None else statement_timeout_s
    settings = {
        "connect_timeout": max(2, min(CONNECT_TIMEOUT_S, int(limit_s))),
        "keepalives_idle": 20,
        "keepalives_interval": 10,
        "keepalives_count": 3,
        "tcp_user_timeout": UNANSWERED_MS,
        "application_name": "edgekit",
        "options": f"-c lock_timeout={int(lock_timeout_s * 1000)} -c statement_timeout={int(limit_s * 1000)}",
    }
    given = {name: value for name, value in settings.items() if name not in place.url.query}
    engine = create_engine(place.url, connect_args=given, pool_pre_ping=True)
    answered(engine, limit_s + min(SPARE_S, limit_s))
    return engine


@contextmanager
def writing(connection: Connection) -> Iterator[None]:
    with connection.begin():
        yield


@contextmanager
def reading(connection: Connection, timeout_s: float | None = None) -> Iterator[None]:
    """Of one moment, and unable to write: the server refuses it."""
    connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    if timeout_s is None:
        with connection.begin():
            yield
        return
    driver: Any = connection.connection.driver_connection
    usual_s, driver.answer_s = driver.answer_s, timeout_s + SPARE_S
    try:
        with connection.begin():
            connection.execute(text(f"SET LOCAL statement_timeout = {max(1, int(timeout_s * 1000))}"))
            yield
    finally:
        driver.answer_s = usual_s


def copy_rows(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Add rows that all have the same columns, by COPY. Raises DBAPIError."""
    import psycopg

    dialect = connection.dialect
    names = list(rows[0])
    processors = [
        table.c[name].type.dialect_impl(dialect).bind_processor(dialect) or _as_it_is for name in names
    ]
    quoted = dialect.identifier_preparer.quote
    statement = f"COPY {quoted(table.name)} ({', '.join(map(quoted, names))}) FROM STDIN"
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    try:
        with driver.cursor() as cursor, cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row([read(row[name]) for name, read in zip(names, processors, strict=True)])
    except psycopg.Error as error:
        raise DBAPIError(statement, None, error) from error


def _as_it_is(value: Any) -> Any:
    return value


def mapped(error: DBAPIError, place: Place) -> EdgekitError:
    """By SQLSTATE: https://www.postgresql.org/docs/current/errcodes-appendix.html"""
    state = getattr(error.orig, "sqlstate", None) or ""
    said = " ".join(str(error.orig).split())
    text_ = f"results store {place.shown}: {said}"
    if state.startswith("53") and state != "53300":
        return HostDiskFull(text_, hint="free space on the database's server")
    if state in ("55P03", "40P01", "40001"):
        return StoreError(
            text_, code="E_STORE_LOCKED", hint="another process holds the store; try again", transient=True
        )
    if state == "57014":
        return StoreError(text_, code="E_STORE_TIMEOUT", hint="ask for less, or give it more time")
    if state == "25006":
        return StoreError(
            text_, code="E_STORE_READ_ONLY", hint="the database takes no writes: a standby, or your role"
        )
    if state.startswith("28") or state == "42501" or "password" in said or "FATAL:  role" in str(error.orig):
        return StoreError(
            text_, code="E_STORE_ACCESS", hint="check the user of the URL, and PGPASSFILE or PGPASSWORD"
        )
    if state in ("XX001", "XX002"):
        return StoreError(text_, code="E_STORE_DAMAGED", hint="see the server's log; restore from a backup")
    if not state or state.startswith(("08", "57P", "3D", "53")):
        return StoreError(
            text_,
            code="E_STORE_UNREACHABLE",
            hint="check host, port and database of the URL (psql takes the same)",
            transient="does not exist" not in said,
        )
    return StoreError(text_, hint="check the database with psql")
