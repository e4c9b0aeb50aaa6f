"""What listings, trends and choices ask of the store. Each takes an open read transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from operator import le
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, func, select

from edgekit.errors import InputError
from edgekit.records.metrics import Metric, metric
from edgekit.results.filters import SERIES_WORDS, Filter
from edgekit.results.select import Cursor, conditions_of, newest_keys, newest_of_each
from edgekit.results.tables import METRIC_COLUMNS, labels, records, run_rows, series

BEST_BY = ("median_latency", "energy_per_inference", "accuracy", "model_size")
Costs = tuple[float, ...]
Item = TypeVar("Item")
_AT_ONCE = 5000
"""Rows read by one statement; SQLite takes 32,766 parameters."""


@dataclass(frozen=True)
class RunRow:
    """One run as a listing shows it; the record has the rest. `value` tells any metric."""

    id: str
    started_at: str
    started_s: float
    project: str | None
    model_name: str
    model_version: str | None
    model_sha256: str | None
    recipe: str | None
    profile: str | None
    device_address: str
    device_model: str | None
    soc: str | None
    abi: str | None
    runtime: str
    runtime_version: str | None
    verdict: str
    launches: int
    count: int
    median_us: float | None
    ci95_low_us: float | None
    ci95_high_us: float | None
    """Of the launches' medians; of their means where the median is not known."""
    p99_us: float | None
    peak_rss_bytes: int | None
    metrics: Mapping[str, float | None]
    """By name, in the metric's unit."""

    def value(self, name: str) -> float | None:
        """Raises InputError E_METRIC for a name that is none."""
        return self.metrics[metric(name).name]

    @property
    def cursor(self) -> Cursor:
        return Cursor(self.started_s, self.id)


@dataclass(frozen=True)
class Trend:
    """Runs that differ in time only, oldest first: of one model, recipe, profile, device and runtime."""

    project: str | None
    model: str
    recipe: str | None
    profile: str | None
    device: str
    device_model: str | None
    runtime: str
    runs: tuple[RunRow, ...]


@dataclass(frozen=True)
class Ranked:
    """`rows`: the first of the `known` that tell the metrics; the first `best` of these no other one beats."""

    rows: tuple[RunRow, ...]
    best: int
    known: int
    candidates: int


@dataclass(frozen=True)
class Weighed:
    """`rows`: those of the `candidates` that no other one beats. `unknown`: how many candidates do not tell a metric, by its
    name; such a one counts as the worst there. `left_out`: how many tell none, so that nothing speaks for them."""

    rows: tuple[RunRow, ...]
    candidates: int
    unknown: Mapping[str, int]
    left_out: int


_COMMON = tuple(series.c[name] for name in ("device", "model", "recipe", "runtime", "profile", "project"))
"""What runs share that differ in time only; a verdict and the runtime's version may change. What differs most comes first:
they are sorted by it."""
_WORDS = (
    *(run_rows.c[name] for name in ("id", "started_at", "started_s")),
    *(series.c[name] for name in ("project", "model")),
    *(run_rows.c[name] for name in ("model_version", "model_sha256")),
    *(series.c[name] for name in ("recipe", "profile", "device", "device_model", "soc", "abi")),
    *(series.c[name] for name in ("runtime", "runtime_version", "verdict")),
    *(run_rows.c[name] for name in ("launches", "count")),
)
"""In the order of `RunRow`."""
_COLUMNS = (*_WORDS, run_rows.c.ci95_low_us, run_rows.c.ci95_high_us)
_METRICS = tuple(run_rows.c[column] for column in METRIC_COLUMNS.values())


def list_runs(
    connection: Connection, filters: Sequence[Filter], limit: int | None, before: Cursor | None = None
) -> tuple[RunRow, ...]:
    """Newest first."""
    return rows_of(connection, newest_keys(connection, conditions_of(filters), limit, before))


def rows_of(connection: Connection, keys: Sequence[int]) -> tuple[RunRow, ...]:
    """The runs of these keys, in this order."""
    found: dict[int, RunRow] = {}
    for some in _batched(keys):
        query = select(run_rows.c.key, *_COLUMNS, *_METRICS).join(series)
        for row in connection.execute(query.where(run_rows.c.key.in_(some))):
            found[row[0]] = _row(row[1:])
    return tuple(found[key] for key in keys)


def run_ids(connection: Connection, filters: Sequence[Filter]) -> tuple[str, ...]:
    """Ids of all runs that meet the filters, oldest first."""
    keys = newest_keys(connection, conditions_of(filters), None)[::-1]
    found: dict[int, str] = {}
    for some in _batched(keys):
        query = select(run_rows.c.key, run_rows.c.id).where(run_rows.c.key.in_(some))
        found.update((row.key, row.id) for row in connection.execute(query))
    return tuple(found[key] for key in keys)


def trends(connection: Connection, filters: Sequence[Filter], limit: int) -> tuple[Trend, ...]:
    """The newest `limit` runs that meet the filters, by what they have in common; the busiest first."""
    groups: dict[tuple[Any, ...], list[RunRow]] = {}
    for row in reversed(list_runs(connection, filters, limit)):
        groups.setdefault(_common(row), []).append(row)
    found = [_trend(tuple(rows)) for rows in groups.values()]
    return tuple(sorted(found, key=lambda one: -len(one.runs)))


def weighed(connection: Connection, filters: Sequence[Filter], metrics: Sequence[Metric]) -> Weighed:
    """Those of the candidates that no other one beats, and how many could not be weighed in full."""
    columns = [run_rows.c[METRIC_COLUMNS[one.name]] for one in metrics]
    found = _newest(connection, filters, columns)
    front = _front((key, _costs(values, metrics)) for key, values in found)
    unknown = {one.name: sum(values[i] is None for _, values in found) for i, one in enumerate(metrics)}
    left_out = sum(all(value is None for value in values) for _, values in found)
    return Weighed(rows_of(connection, front), len(found), unknown, left_out)


def ranked(
    connection: Connection, filters: Sequence[Filter], metrics: Sequence[Metric], limit: int
) -> Ranked:
    """The candidates that tell all metrics: those that no other one beats, then the others, each by the first metric."""
    columns = [run_rows.c[METRIC_COLUMNS[one.name]] for one in metrics]
    found = _newest(connection, filters, columns)
    known = [(key, values) for key, values in found if None not in values]
    front = set(_front((key, _costs(values, metrics)) for key, values in known))
    known.sort(key=lambda pair: (pair[0] not in front, pair[1][0]))
    rows = rows_of(connection, [key for key, _ in known[:limit]])
    return Ranked(rows, best=len(front), known=len(known), candidates=len(found))


def _newest(
    connection: Connection, filters: Sequence[Filter], columns: Sequence[ColumnElement[Any]]
) -> list[tuple[int, tuple[Any, ...]]]:
    """Keys and values of the candidates: the newest run that is not invalid of every model, recipe, profile, device and
    runtime that the filters name. Newest first."""
    wanted = conditions_of((*filters, Filter("verdict", "!=", ("invalid",))))
    asked = newest_of_each(connection, wanted, _COMMON)
    query = select(run_rows.c.started_s, run_rows.c.id, run_rows.c.key, run_rows.c.series_id, *columns)
    found = connection.execute(query.where(asked.chosen)).all()
    if len({row[3] for row in found}) < len(found):
        found = connection.execute(query.where(asked.certain)).all()
    # sorted here: asked for an order, SQLite walks all runs by time
    rows = sorted(found, key=lambda row: (row[0], row[1]), reverse=True)
    newest: dict[int, tuple[int, tuple[Any, ...]]] = {}
    for row in rows:
        newest.setdefault(row[3], (row[2], tuple(row[4:])))
    return list(newest.values())


def metrics_of(names: Sequence[str]) -> tuple[Metric, ...]:
    """Raises InputError E_METRIC."""
    return tuple(metric(name) for name in names)


def words(connection: Connection, field: str) -> tuple[str, ...]:
    """All values of a word that runs share, sorted. Raises InputError E_FILTER for another field."""
    if field not in SERIES_WORDS:
        raise InputError(
            f"values of '{field}' are not listed",
            code="E_FILTER",
            hint=f"there are: {', '.join(SERIES_WORDS)}",
        )
    column = series.c[field]
    query = select(column).where(column.is_not(None)).distinct().order_by(column)
    return tuple(map(str, connection.scalars(query)))


def labels_of(connection: Connection, run_id: str) -> dict[str, str]:
    query = select(labels.c.key, labels.c.value).join(run_rows).where(run_rows.c.id == run_id)
    return {row.key: row.value for row in connection.execute(query.order_by(labels.c.key))}


def count_runs(connection: Connection) -> int:
    return connection.scalar(select(func.count()).select_from(run_rows)) or 0


def seals_of(connection: Connection, ids: Sequence[str]) -> dict[str, str]:
    """sha256 of the records of these runs; those that are not there are left out."""
    found: dict[str, str] = {}
    for some in _batched(ids):
        query = select(run_rows.c.id, records.c.sha256).join(records).where(run_rows.c.id.in_(some))
        found.update((row.id, row.sha256) for row in connection.execute(query))
    return found


def _row(values: Sequence[Any]) -> RunRow:
    metrics = dict(zip(METRIC_COLUMNS, values[len(_COLUMNS) :], strict=True))
    low_us, high_us = values[len(_WORDS) : len(_COLUMNS)]
    rss = metrics["peak_rss"]
    median_us, p99_us = metrics["median_latency"], metrics["p99_latency"]
    rss_bytes = None if rss is None else int(rss)
    known: tuple[Any, ...] = (*values[: len(_WORDS)], median_us, low_us, high_us, p99_us, rss_bytes, metrics)
    return RunRow(*known)


def _common(row: RunRow) -> tuple[str | None, ...]:
    return (row.project, row.model_name, row.recipe, row.profile, row.device_address, row.runtime)


def _trend(rows: tuple[RunRow, ...]) -> Trend:
    last = rows[-1]
    return Trend(
        project=last.project,
        model=last.model_name,
        recipe=last.recipe,
        profile=last.profile,
        device=last.device_address,
        device_model=last.device_model,
        runtime=last.runtime,
        runs=rows,
    )


def _costs(values: Sequence[float | None], metrics: Sequence[Metric]) -> Costs:
    """The lower the better, of any metric; what is not known is worse than all that is."""
    return tuple(
        inf if value is None else value if metric.lower_is_better else -value
        for value, metric in zip(values, metrics, strict=True)
    )


def _front(found: Iterable[tuple[Item, Costs]]) -> list[Item]:
    """Those that no other one beats: another is better in one metric and no worse in any. One that knows none is left out."""
    known = [pair for pair in found if min(pair[1]) < inf]
    # whatever beats another comes before it in this order, so that only those kept need be looked at
    known.sort(key=lambda pair: pair[1])
    front: list[tuple[Item, Costs]] = []
    for item, costs in known:
        if not any(other != costs and all(map(le, other, costs)) for _, other in front):
            front.append((item, costs))
    return [item for item, _ in front]


def _batched(keys: Sequence[Item]) -> Iterable[Sequence[Item]]:
    for begin in range(0, len(keys), _AT_ONCE):
        yield keys[begin : begin + _AT_ONCE]
