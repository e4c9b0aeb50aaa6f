"""Filters as SQL, and the keys of the newest runs that meet them.

Words that many runs share are looked up in `series`, of which there are thousands. The newest N runs of any set of
series lie in those N of them whose newest runs are newest: every other one has N runs before its own. So a page of a
listing reads a few short pieces of an index, whatever the size of the store.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Select,
    and_,
    bindparam,
    case,
    func,
    or_,
    select,
    tuple_,
)

from edgekit.results.filters import COUNTS, RUN_WORDS, SERIES_WORDS, Filter
from edgekit.results.tables import METRIC_COLUMNS, labels, run_rows, series

Condition = ColumnElement[bool]
MANY = 200
"""A longer listing than this is sorted, not merged from its series."""
_FEW = 64
_WALKED = (500, 5000)
_PARTS = (1 / 32, 1 / 8)
_COUNTED = 5000
"""What is more than that is many; to count it takes a millisecond."""
_RUN_COLUMNS = {"id": run_rows.c.id, "version": run_rows.c.model_version, "sha256": run_rows.c.model_sha256}


@dataclass(frozen=True)
class Cursor:
    """Where a page of a listing ended: its last run."""

    started_s: float
    id: str


@dataclass(frozen=True)
class Conditions:
    """`of_values`: what was measured. `since_s`, `until_s` apart, because they cut a listing without changing its order;
    `labelled`, those that a run has to have, because they may be the shortest way to it."""

    of_series: tuple[Condition, ...] = ()
    of_runs: tuple[Condition, ...] = ()
    of_values: tuple[Condition, ...] = ()
    labelled: tuple[Filter, ...] = ()
    since_s: float | None = None
    until_s: float | None = None

    def on_runs(
        self,
        before: Cursor | None = None,
        listed: Filter | None = None,
        column: ColumnElement[float] = run_rows.c.started_s,
    ) -> list[Condition]:
        """All that is asked of a row of `run_rows`. `listed`: a label that few runs have; they are looked up first.
        `column`: where the run's beginning is read."""
        found = [*self.of_runs, *self.of_values, *(_has(one, listed=one is listed) for one in self.labelled)]
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
    of_values: list[Condition] = []
    labelled: list[Filter] = []
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
        elif one.field == "label" and one.op == "!=":
            of_runs.append(~_has(one))
        elif one.field == "label":
            labelled.append(one)
        else:
            of_values.append(_compared(one))
    return Conditions(tuple(of_series), tuple(of_runs), tuple(of_values), tuple(labelled), since_s, until_s)


def newest_keys(
    connection: Connection, wanted: Conditions, limit: int | None, before: Cursor | None = None
) -> Sequence[int]:
    """Keys of the runs that meet the conditions, newest first."""
    order = (run_rows.c.started_s.desc(), run_rows.c.id.desc())
    label, having = _rarest(connection, wanted.labelled)
    on_runs = wanted.on_runs(before, label if having < _COUNTED else None)
    fewer = label is not None and (not wanted.of_series or having <= _runs_of(connection, wanted))
    if fewer and label is not None and label.words and limit is not None:
        return _newest_labelled(connection, wanted, label, limit, before)
    if not wanted.of_series:
        return connection.scalars(select(run_rows.c.key).where(*on_runs).order_by(*order).limit(limit)).all()
    chosen = select(series.c.id).where(*wanted.of_series)
    if limit is None or limit > MANY:
        query = select(run_rows.c.key).where(run_rows.c.series_id.in_(chosen), *on_runs)
        return connection.scalars(query.order_by(*order).limit(limit)).all()
    if wanted.since_s is not None:
        chosen = chosen.where(series.c.last_s >= wanted.since_s)
    # nothing else may be asked of runs for the newest N series to hold the newest N of them
    asked = wanted.of_runs or wanted.of_values or wanted.labelled or wanted.until_s is not None
    if not asked and before is None:
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
        return _newest_first(connection, query.order_by(*order).limit(limit), wanted, limit, before)
    columns = (run_rows.c.key, run_rows.c.started_s, run_rows.c.id)
    one = bindparam("one", type_=run_rows.c.series_id.type)
    piece = select(*columns).where(run_rows.c.series_id == one, *on_runs).order_by(*order).limit(limit)
    rows = [row for id_ in ids for row in connection.execute(piece, {"one": id_})]
    rows.sort(key=lambda row: (row.started_s, row.id), reverse=True)
    return [row.key for row in rows[:limit]]


def _newest_first(
    connection: Connection,
    query: Select[Any],
    wanted: Conditions,
    limit: int,
    before: Cursor | None,
) -> Sequence[int]:
    """Of all the time that the runs are from first the last part, which mostly has enough, then longer ones."""
    column = run_rows.c.started_s
    last, first = connection.execute(
        select(func.max(series.c.last_s), select(func.min(column)).scalar_subquery())
    ).one()
    ends = [one for one in (wanted.until_s, before.started_s if before else None, last) if one is not None]
    begins = [one for one in (wanted.since_s, first) if one is not None]
    if ends and begins:
        end, begin = min(ends), max(begins)
        for part in _PARTS:
            found = connection.scalars(query.where(column >= end - (end - begin) * part)).all()
            if len(found) == limit:
                return found
    return connection.scalars(query).all()


def _rarest(connection: Connection, labelled: Sequence[Filter]) -> tuple[Filter | None, int]:
    """The label that the fewest runs have, and how many those are, up to `_COUNTED`."""
    counted: list[tuple[int, Filter]] = []
    for one in labelled:
        some = select(labels.c.run_key).where(*_is(one)).limit(_COUNTED).subquery()
        counted.append((connection.scalar(select(func.count()).select_from(some)) or 0, one))
    having, found = min(counted, key=lambda pair: pair[0], default=(0, None))
    return found, having


def _runs_of(connection: Connection, wanted: Conditions) -> int:
    """How many runs the series have, up to `_COUNTED`."""
    chosen = select(series.c.id).where(*wanted.of_series)
    some = select(run_rows.c.key).where(run_rows.c.series_id.in_(chosen)).limit(_COUNTED).subquery()
    return connection.scalar(select(func.count()).select_from(some)) or 0


def _newest_labelled(
    connection: Connection, wanted: Conditions, label: Filter, limit: int, before: Cursor | None
) -> Sequence[int]:
    """Along the index of the label's runs, which is by time: first of so many of them that there mostly are enough."""
    moment = labels.c.started_s
    others = replace(wanted, labelled=tuple(one for one in wanted.labelled if one is not label))
    asked = [*_is(label), *others.on_runs(before, column=moment)]
    query = (
        select(run_rows.c.key).join_from(labels, run_rows, run_rows.c.key == labels.c.run_key).where(*asked)
    )
    if wanted.of_series:
        # the sum, so that neither database walks the series in place of the label
        query = query.where((run_rows.c.series_id + 0).in_(select(series.c.id).where(*wanted.of_series)))
    query = query.order_by(moment.desc(), run_rows.c.id.desc()).limit(limit)
    ends = before.started_s if before else None
    for many in _WALKED:
        walked = select(moment).where(*_is(label), *([] if ends is None else [moment <= ends]))
        begin_s = connection.scalar(walked.order_by(moment.desc()).offset(many).limit(1))
        if begin_s is None:
            break
        found = connection.scalars(query.where(moment >= begin_s)).all()
        if len(found) == limit:
            return found
    return connection.scalars(query).all()


@dataclass(frozen=True)
class Newest:
    """`chosen`: which runs. `certain`: that, and what of several runs of one series that began at the same moment the right one
    has; dear, as it is asked of each run."""

    chosen: Condition
    certain: Condition


def newest_of_each(
    connection: Connection, wanted: Conditions, common: Sequence[ColumnElement[Any]]
) -> Newest:
    """Which runs are the newest that meet the conditions, of every combination of `common`, columns of `series`. What was
    measured is asked of these only: an older run that met it is not what the combination is like now.

    First when the newest of each series began: thousands of rows, whatever the number of runs. Of several runs of one
    series that began at that very moment all are chosen.
    """
    asked = replace(wanted, of_values=())
    began: FromClause
    on_runs: list[Condition] = []
    if wanted.of_runs or len(wanted.labelled) > 1:
        label, _ = _rarest(connection, wanted.labelled)
        on_runs = asked.on_runs()
        id_, last_s = run_rows.c.series_id, func.max(run_rows.c.started_s)
        query = select(id_.label("id"), last_s.label("last_s")).where(*asked.on_runs(listed=label))
        began = query.group_by(id_).subquery()
    elif wanted.labelled:
        # a label that many runs have is told by its index alone, without reading the runs
        on_runs = asked.on_runs()
        id_, moment = labels.c.series_id, labels.c.started_s
        having = [*_is(wanted.labelled[0]), *replace(asked, labelled=()).on_runs(column=moment)]
        query = select(id_.label("id"), func.max(moment).label("last_s")).where(*having)
        began = query.group_by(id_).subquery()
    else:
        began = (
            select(series.c.id, _last_s(wanted.until_s).label("last_s")).where(*wanted.of_series).subquery()
        )
    order = (began.c.last_s.desc(), began.c.id.desc())
    place = func.row_number().over(partition_by=common, order_by=order).label("place")
    every = select(began.c.id, began.c.last_s, place).join(series, series.c.id == began.c.id)
    found = every.where(*wanted.of_series).subquery()
    # asked of the first only, which is the newest: asked of all, PostgreSQL looks every series up twice
    least_s = 0.0 if wanted.since_s is None else max(0.0, wanted.since_s)
    first = select(found.c.id, found.c.last_s).where(found.c.place == 1, found.c.last_s >= least_s)
    chosen = tuple_(run_rows.c.series_id, run_rows.c.started_s).in_(first)
    certain = and_(chosen, *on_runs, *wanted.of_values)
    # of runs of one moment what was measured could leave just the wrong one
    return Newest(certain if wanted.of_values else chosen, certain)


def _last_s(until_s: float | None) -> ColumnElement[float]:
    """When the newest run of a series began, of those before a moment; -1 where none did: no run began before 1970."""
    if until_s is None:
        return series.c.last_s
    other = run_rows.alias()
    newest = select(func.max(other.c.started_s)).where(
        other.c.series_id == series.c.id, other.c.started_s < until_s
    )
    before = func.coalesce(newest.correlate(series).scalar_subquery(), -1.0)
    return case((series.c.last_s < until_s, series.c.last_s), else_=before)


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


def _is(label: Filter, table: FromClause = labels) -> list[Condition]:
    return [table.c.key == label.key, *([table.c.value == label.words[0]] if label.words else [])]


def _has(label: Filter, *, listed: bool = False) -> Condition:
    """Looked up for each run; `listed`: all runs that have it first."""
    own = labels.alias()
    if listed:
        return run_rows.c.key.in_(select(own.c.run_key).where(*_is(label, own)))
    return select(own.c.run_key).where(own.c.run_key == run_rows.c.key, *_is(label, own)).exists()


def _compared(one: Filter) -> Condition:
    """A value that is not known meets nothing."""
    column = run_rows.c[one.field if one.field in COUNTS else METRIC_COLUMNS[one.field]]
    condition: Condition = column.op(one.op, is_comparison=True)(one.number)
    return condition
