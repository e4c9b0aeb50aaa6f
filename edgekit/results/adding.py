"""Putting runs into the store, many with one transaction; what another process put there meanwhile is no error."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, Table, bindparam, case, func, insert, select
from sqlalchemy.dialects import postgresql, sqlite

from edgekit.errors import InputError
from edgekit.results import postgres, tables
from edgekit.results.rows import Entry

BATCH = 500
"""Runs a transaction: enough that its fsync does not count, few enough that other writers wait for milliseconds."""
Item = TypeVar("Item")


def batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    iterator = iter(items)
    while some := list(islice(iterator, size)):
        yield some


def add_entries(connection: Connection, entries: Sequence[Entry]) -> int:
    """How many were not there yet. Raises InputError E_RECORD_CONFLICT where another record has one of the ids."""
    unique = {entry.id: entry for entry in entries}
    for entry in entries:
        if unique[entry.id].sha256 != entry.sha256:
            raise _conflict(entry.id)
    series = _series_ids(connection, entries)
    rows = [{**entry.run, "series_id": series[entry.series["hash"]]} for entry in unique.values()]
    keys = _put_runs(connection, rows)
    there = [entry for entry in unique.values() if entry.id not in keys]
    if there:
        _check_same(connection, there)
    new = [(keys[entry.id], entry) for entry in unique.values() if entry.id in keys]
    _put(connection, tables.records, [{"run_key": key, **entry.record} for key, entry in new])
    of_series = [(key, series[entry.series["hash"]], entry) for key, entry in new]
    labels = [{"run_key": key, "series_id": id_, **row} for key, id_, one in of_series for row in one.labels]
    _put(connection, tables.labels, labels)
    for table, part in ((tables.latencies, "latencies"), (tables.telemetry, "telemetry")):
        _put(connection, table, [{"run_key": key, **row} for key, one in new for row in getattr(one, part)])
    return len(new)


def _series_ids(connection: Connection, entries: Sequence[Entry]) -> Mapping[str, int]:
    newest: dict[str, Mapping[str, Any]] = {}
    for entry in entries:
        known = newest.get(entry.series["hash"])
        if known is None or known["last_s"] < entry.series["last_s"]:
            newest[entry.series["hash"]] = entry.series
    return _series(connection, newest)


def series_id_of(connection: Connection, row: Mapping[str, Any]) -> int:
    """The series with these words, made where there is none; `last_s`: when a run of it began."""
    return _series(connection, {row["hash"]: row})[row["hash"]]


def hold_series(connection: Connection, which: ColumnElement[bool]) -> None:
    """Wait for those who are adding runs to these series, and let nobody add one before this transaction ends: what is asked
    of their runs afterwards stays so. In the order of `_series`."""
    query = select(tables.series.c.id).where(which).order_by(tables.series.c.hash)
    connection.execute(query.with_for_update()).all()


def _series(connection: Connection, newest: Mapping[str, Mapping[str, Any]]) -> Mapping[str, int]:
    """Make the series that are not there, and note which now have a newer run. In one order for all processes, so that
    two of them never wait for each other."""
    statement = _insert(connection, tables.series)
    now, then = statement.excluded.last_s, tables.series.c.last_s
    statement = statement.on_conflict_do_update(
        index_elements=["hash"], set_={"last_s": case((now > then, now), else_=then)}
    )
    connection.execute(statement, [newest[key] for key in sorted(newest)])
    found = connection.execute(
        select(tables.series.c.hash, tables.series.c.id).where(tables.series.c.hash.in_(newest))
    )
    return {row.hash: row.id for row in found}


def _check_same(connection: Connection, entries: Sequence[Entry]) -> None:
    query = (
        select(tables.run_rows.c.id, tables.records.c.sha256)
        .join(tables.records)
        .where(tables.run_rows.c.id.in_([entry.id for entry in entries]))
    )
    kept = {row.id: row.sha256 for row in connection.execute(query)}
    for entry in entries:
        if kept.get(entry.id) != entry.sha256:
            raise _conflict(entry.id)


def _insert(connection: Connection, table: Any) -> Any:
    """Either database's own INSERT, which knows ON CONFLICT; SQLAlchemy's common one does not."""
    return sqlite.insert(table) if connection.dialect.name == "sqlite" else postgresql.insert(table)


def _put_runs(connection: Connection, rows: list[dict[str, Any]]) -> dict[str, int]:
    """Keys by id of those that were not there."""
    table = tables.run_rows
    if connection.dialect.name == "sqlite":
        one = sqlite.insert(table).on_conflict_do_nothing(index_elements=["id"])
        added = connection.execute(one.returning(table.c.id, table.c.key), rows)
    else:
        statement, values = _by_columns(table, rows)
        every = statement.on_conflict_do_nothing(index_elements=["id"])
        added = connection.execute(every.returning(table.c.id, table.c.key), values)
    return {row.id: row.key for row in added}


def _put(connection: Connection, table: Any, rows: list[dict[str, Any]]) -> None:
    if not rows:
        return
    if connection.dialect.name == "sqlite":
        connection.execute(insert(table), rows)
    else:
        postgres.copy_rows(connection, table, rows)


def _by_columns(table: Table, rows: Sequence[Mapping[str, Any]]) -> tuple[Any, dict[str, list[Any]]]:
    """For PostgreSQL: an INSERT that takes each column as one array. COPY would be faster, but stops at an id that is there;
    of rows it takes several times as long: the driver reads and the server plans thousands of parameters."""
    names = list(rows[0])
    columns = [func.unnest(bindparam(name, type_=postgresql.ARRAY(table.c[name].type))) for name in names]
    values = {name: [row[name] for row in rows] for name in names}
    return postgresql.insert(table).from_select(names, select(*columns)), values


def _conflict(run_id: str) -> InputError:
    return InputError(f"the store holds another record with the id {run_id}", code="E_RECORD_CONFLICT")
