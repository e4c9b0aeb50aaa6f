"""Filters as SQL, and the keys of the newest runs that meet them.

Words that many runs share are looked up in `series`, of which there are thousands. The newest N runs of any set of
series lie in those N of them whose newest runs are newest: every other one has N runs before its own. So a page of a
listing reads a few short pieces of an index, whatever the size of the store.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, bindparam, exists, func, or_, select

from edgekit.results.filters import COUNTS, RUN_WORDS, SERIES_WORDS, Filter
from edgekit.results.tables import METRIC_COLUMNS, labels, run_rows, series

Condition = ColumnElement[bool]
MANY = 200
"""A longer listing than this is sorted, not merged from its series."""
_FEW = 64
_RUN_COLUMNS = {"id": run_rows.c.id, "version": run_rows.c.model_version, "sha256": run_rows.c.model_sha256}


@dataclass(frozen=True)
class Cursor:
    """Where a page of a listing ended: its last run."""

    started_s: float
    id: str


@dataclass(frozen=True)
class Conditions:
    """`since_s`, `until_s` apart, because they cut a listing without changing its order."""

    of_series: tuple[Condition, ...] = ()
    of_runs: tuple[Condition, ...] = ()
    since_s: float | None = None
    until_s: float | None = None

    def on_runs(self, before: Cursor | None = None) -> list[Condition]:
        """All that is asked of a row of `run_rows`."""
        column = run_rows.c.started_s
        found = list(self.of_runs)
        if self.since_s is not None:
            found.append(column >= self.since_s)
        if self.until_s is not None:
            found.append(column < self.until_s)
        if before is not None:
            same = and_(column == before.started_s, run_rows.c.id < before.id)
            found += [column <= before.started_s, or_(column < before.started_s, same)]
        return found


def conditions_of(filters: Iterable[Filter]) -> Conditions:
    of_series: list[Condition] = []
    of_runs: list[Condition] = []
    since_s: float | None = None
    until_s: float | None = None
    for one in filters:
        if one.field == "since":
            since_s = max(one.number or 0.0, since_s if since_s is not None else one.number or 0.0)
        elif one.field == "until":
            until_s = min(one.number or 0.0, until_s if until_s is not None else one.number or 0.0)
        elif one.field in SERIES_WORDS:
            of_series.append(_words(one, _series_columns(one.field)))
        elif one.field in RUN_WORDS:
            of_runs.append(_words(one, (_RUN_COLUMNS[one.field],)))
        elif one.field == "label":
            of_runs.append(_labelled(one))
        else:
            of_runs.append(_compared(one))
    return Conditions(tuple(of_series), tuple(of_runs), since_s, until_s)


def newest_keys(
    connection: Connection, wanted: Conditions, limit: int | None, before: Cursor | None = None
) -> Sequence[int]:
    """Keys of the runs that meet the conditions, newest first."""
    order = (run_rows.c.started_s.desc(), run_rows.c.id.desc())
    on_runs = wanted.on_runs(before)
    if not wanted.of_series:
        return connection.scalars(select(run_rows.c.key).where(*on_runs).order_by(*order).limit(limit)).all()
    chosen = select(series.c.id).where(*wanted.of_series)
    if limit is None or limit > MANY:
        query = select(run_rows.c.key).where(run_rows.c.series_id.in_(chosen), *on_runs)
        return connection.scalars(query.order_by(*order).limit(limit)).all()
    if wanted.since_s is not None:
        chosen = chosen.where(series.c.last_s >= wanted.since_s)
    # nothing else may be asked of runs for the newest N series to hold the newest N of them
    if not wanted.of_runs and before is None and wanted.until_s is None:
        last_s = select(series.c.last_s).where(*wanted.of_series).order_by(series.c.last_s.desc())
        least = connection.scalar(last_s.offset(limit - 1).limit(1))
        if least is not None:
            chosen = chosen.where(
                series.c.last_s >= least
            )  # as new as the Nth: one that is equal may be as well
    ids = connection.scalars(chosen).all()
    if not ids:
        return ()
    if len(ids) > max(_FEW, limit):
        query = select(run_rows.c.key).where(run_rows.c.series_id.in_(chosen), *on_runs)
        return connection.scalars(query.order_by(*order).limit(limit)).all()
    columns = (run_rows.c.key, run_rows.c.started_s, run_rows.c.id)
    one = bindparam("one", type_=run_rows.c.series_id.type)
    piece = select(*columns).where(run_rows.c.series_id == one, *on_runs).order_by(*order).limit(limit)
    rows = [row for id_ in ids for row in connection.execute(piece, {"one": id_})]
    rows.sort(key=lambda row: (row.started_s, row.id), reverse=True)
    return [row.key for row in rows[:limit]]


def newest_of_each(query: Select[Any], wanted: Conditions) -> Select[Any]:
    """Of the query's rows of `run_rows` the newest one of every series that is asked for."""
    # as a subquery of each series: of a join, SQLite without statistics may walk all runs and look up their series
    other = run_rows.alias()
    newest = (
        select(other.c.key)
        .where(other.c.series_id == series.c.id, other.c.started_s == series.c.last_s)
        .order_by(other.c.id.desc())
        .limit(1)
        .correlate(series)
        .scalar_subquery()
    )
    joined = query.join_from(series, run_rows, run_rows.c.key == newest)
    return joined.where(*wanted.of_series, *wanted.on_runs())


def _series_columns(field: str) -> tuple[ColumnElement[Any], ...]:
    return (series.c.device, series.c.device_model) if field == "device" else (series.c[field],)


def _words(one: Filter, columns: Sequence[ColumnElement[Any]]) -> Condition:
    """Case is ignored (of A to Z). What a run does not have is no word: it is met by `!=` only."""
    found: list[Condition] = []
    for column in columns:
        for word in one.words:
            if one.op in ("~", "!~"):
                found.append(func.coalesce(column, "").icontains(word, autoescape=True))
            else:
                found.append(func.lower(func.coalesce(column, "")) == func.lower(word))
    return or_(*found) if one.op in ("=", "~") else ~or_(*found)


def _labelled(one: Filter) -> Condition:
    own = [labels.c.key == one.key, *([labels.c.value == one.words[0]] if one.words else [])]
    if one.op == "!=":
        return ~exists(select(labels.c.run_key).where(labels.c.run_key == run_rows.c.key, *own))
    return run_rows.c.key.in_(select(labels.c.run_key).where(*own))


def _compared(one: Filter) -> Condition:
    """A value that is not known meets nothing."""
    column = run_rows.c[one.field if one.field in COUNTS else METRIC_COLUMNS[one.field]]
    condition: Condition = column.op(one.op, is_comparison=True)(one.number)
    return condition
