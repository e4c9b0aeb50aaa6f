"""SQL that can only read: the database refuses anything else, and ends what takes too long.

- SQLite: the file is opened read-only, `query_only` is on, an authorizer allows SELECT, reading and functions, and nothing
  else (no ATTACH, no PRAGMA), and a handler looks at the clock. It does so between two steps of the query, and one step (a LIKE
  over a long text) may take minutes: so a thread asks, and is left to end by itself where it is late.
- PostgreSQL: a cursor, which takes nothing but a query, in a read-only transaction with a statement timeout. Functions
  with side effects beyond the database (a superuser's pg_read_file) are the role's rights: give readers a role of theirs.

Views to ask: `runs` (a row a run: words, version, every metric with its unit) and `run_labels` (run, key, value).
"""

from __future__ import annotations

import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy.exc import DBAPIError

from edgekit.errors import InputError, StoreError
from edgekit.results.database import Database
from edgekit.results.sqlite_file import mapped

TIMEOUT_S = 30.0
MAX_ROWS = 10_000
MAX_VALUE_BYTES = 64 << 20
"""Of one value that a query makes: `zeroblob(1e9)` is refused."""
MAX_ANSWER_BYTES = 256 << 20
"""Of all values of an answer, which is held in memory."""
_ROWS_AT_ONCE = 100
_LATE_S = 0.3
"""So long after the deadline the query is not waited for any more; by then SQLite has ended it, unless it is within one step."""
_STEPS_BETWEEN_LOOKS = 10_000
_THE_QUERYS = (sqlite3.SQLITE_AUTH, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_MISUSE)
"""Errors that the text of a query makes; others are the store's."""
_ALLOWED = frozenset(
    (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE)
)


@dataclass(frozen=True)
class Answer:
    """`cut`: there were more rows than `max_rows`."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    cut: bool


def ask(database: Database, sql: str, *, timeout_s: float = TIMEOUT_S, max_rows: int = MAX_ROWS) -> Answer:
    """Run one query. Blobs come as hexadecimal digits.

    Raises InputError E_QUERY for what is no query, or not a right one; StoreError E_STORE_TIMEOUT.
    """
    text = sql.strip().rstrip(";")
    if not text or "\0" in text:
        raise InputError(
            "there is no query", code="E_QUERY", hint="like: SELECT model, median_latency_us FROM runs"
        )
    path = database.place.path
    columns, rows = (
        _ask_sqlite(path, text, timeout_s, max_rows + 1)
        if path is not None
        else _ask_postgres(database, text, timeout_s, max_rows + 1)
    )
    plain = tuple(tuple(map(_plain, row)) for row in rows[:max_rows])
    return Answer(tuple(columns), plain, len(rows) > max_rows)


def _ask_sqlite(path: Path, sql: str, timeout_s: float, most: int) -> tuple[list[str], Sequence[Any]]:
    box: queue.SimpleQueue[tuple[list[str], Sequence[Any]] | BaseException] = queue.SimpleQueue()
    ends = time.monotonic() + timeout_s

    def work() -> None:
        try:
            box.put(_asked(path, sql, timeout_s, ends, most))
        except BaseException as error:
            box.put(error)

    threading.Thread(target=work, name="edgekit-query", daemon=True).start()
    try:
        found = box.get(timeout=timeout_s + _LATE_S)
    except queue.Empty:
        raise StoreError(
            f"the query was given up after {timeout_s:g} s",
            code="E_STORE_TIMEOUT",
            hint="ask for less, or give it more time",
        ) from None
    if isinstance(found, BaseException):
        raise found
    return found


def _asked(path: Path, sql: str, timeout_s: float, ends: float, most: int) -> tuple[list[str], Sequence[Any]]:
    try:
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=timeout_s)
        try:
            connection.execute("PRAGMA query_only = ON")
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES)
            connection.set_authorizer(_allowed)
            connection.set_progress_handler(lambda: time.monotonic() > ends, _STEPS_BETWEEN_LOOKS)
            cursor = connection.execute(sql)
            if cursor.description is None:
                raise _not_a_query("it gives no rows")
            return [column[0] for column in cursor.description], _fetched(cursor.fetchmany, most)
        finally:
            connection.close()
    except sqlite3.Warning as error:  # more than one statement
        raise _not_a_query(str(error)) from error
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        # what is refused while SQLite looks up the schema comes with a code of its own, but the same words
        if code in _THE_QUERYS or str(error) == "not authorized":
            raise _not_a_query(str(error)) from error
        raise mapped(DBAPIError(sql, None, error), path) from error


def _fetched(fetch: Callable[[int], Sequence[Any]], most: int) -> list[Any]:
    """At most so many rows, a few at a time. Raises InputError E_QUERY where they have more than `MAX_ANSWER_BYTES`."""
    rows: list[Any] = []
    left_bytes = MAX_ANSWER_BYTES
    while len(rows) < most and (some := fetch(min(_ROWS_AT_ONCE, most - len(rows)))):
        left_bytes -= sum(_size(value) for row in some for value in row)
        if left_bytes < 0:
            raise InputError(
                f"the answer has more than {MAX_ANSWER_BYTES >> 20} MiB",
                code="E_QUERY",
                hint="ask for fewer rows or columns",
            )
        rows += some
    return rows


def _size(value: Any) -> int:
    return len(value) if isinstance(value, str | bytes | memoryview) else 8


def _allowed(action: int, first: str | None, second: str | None, _: str | None, __: str | None) -> int:
    allowed = action in _ALLOWED and not (action == sqlite3.SQLITE_FUNCTION and second == "load_extension")
    return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY


def _ask_postgres(
    database: Database, sql: str, timeout_s: float, most: int
) -> tuple[list[str], Sequence[Any]]:
    import psycopg

    with database.reading(timeout_s) as connection:
        driver: Any = connection.connection.dbapi_connection
        with driver.cursor() as cursor:
            try:
                cursor.execute(
                    "SELECT 1"
                )  # the snapshot: after it no statement can make this transaction a writing one
                # prepared, so that the server takes one statement and not a second one after a semicolon
                cursor.execute(f"DECLARE edgekit_query NO SCROLL CURSOR FOR {sql}", prepare=True)

                def fetch(count: int) -> Sequence[Any]:
                    cursor.execute(f"FETCH FORWARD {count} FROM edgekit_query")
                    found: Sequence[Any] = cursor.fetchall()
                    return found

                rows = _fetched(fetch, most)
            except (psycopg.errors.QueryCanceled, psycopg.OperationalError) as error:
                raise StoreError(
                    f"the query was ended: {error}",
                    code="E_STORE_TIMEOUT",
                    hint="ask for less, or give it more time",
                ) from error
            except psycopg.Error as error:
                raise _not_a_query(" ".join(str(error).split())) from error
            return [column.name for column in cursor.description], rows


def _not_a_query(why: str) -> InputError:
    return InputError(
        f"the store does not answer that: {why}",
        code="E_QUERY",
        hint="one SELECT, from the views runs and run_labels: edgekit results query 'SELECT * FROM runs LIMIT 1'",
    )


def _plain(value: Any) -> Any:
    """What JSON has a word for."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return bytes(value).hex() if isinstance(value, bytes | memoryview) else str(value)
