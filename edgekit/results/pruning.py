"""Forgetting runs, or only their samples. A baseline is never forgotten."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, exists, func, select, update

from edgekit.results.adding import hold_series
from edgekit.results.database import Database
from edgekit.results.filters import Filter
from edgekit.results.select import conditions_of, newest_keys
from edgekit.results.tables import baselines, latencies, records, run_rows, series, telemetry

AT_ONCE = 500
"""Runs a transaction: other writers wait for milliseconds."""


@dataclass(frozen=True)
class Pruned:
    """`runs`: ids, oldest first; that were forgotten, or would be."""

    runs: tuple[str, ...]
    baselines_kept: int
    samples_only: bool


def prune(
    database: Database,
    filters: Sequence[Filter],
    *,
    keep: int = 0,
    samples_only: bool = False,
    dry_run: bool = False,
) -> Pruned:
    """Forget the runs that meet the filters, but for baselines and the newest `keep` of each series: of all its runs, whether
    they meet the filters or not."""
    with database.reading() as connection:
        keys = _beyond(connection, newest_keys(connection, conditions_of(filters), None), keep)
        kept = set(connection.scalars(select(baselines.c.run_key)))
        chosen = [key for key in keys if key not in kept][::-1]
        ids = _ids(connection, chosen)
    if not dry_run:
        for begin in range(0, len(chosen), AT_ONCE):
            with database.writing() as connection:
                some = chosen[begin : begin + AT_ONCE]
                if samples_only:
                    _forget_samples(connection, some)
                else:
                    _forget(connection, some)
    return Pruned(ids, len(kept.intersection(keys)), samples_only)


def _beyond(connection: Connection, keys: Sequence[int], keep: int) -> Sequence[int]:
    """Without the newest `keep` runs of each series."""
    if not keep:
        return keys
    order = (run_rows.c.started_s.desc(), run_rows.c.id.desc())
    spared: set[int] = set()
    for series_id in sorted({series_id for _, series_id in _pairs(connection, keys)}):
        query = select(run_rows.c.key).where(run_rows.c.series_id == series_id).order_by(*order).limit(keep)
        spared.update(connection.scalars(query))
    return [key for key in keys if key not in spared]


def _pairs(connection: Connection, keys: Sequence[int]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for begin in range(0, len(keys), 5000):
        query = select(run_rows.c.key, run_rows.c.series_id).where(
            run_rows.c.key.in_(keys[begin : begin + 5000])
        )
        found += [(row.key, row.series_id) for row in connection.execute(query)]
    return found


def _ids(connection: Connection, keys: Sequence[int]) -> tuple[str, ...]:
    found: dict[int, str] = {}
    for begin in range(0, len(keys), 5000):
        query = select(run_rows.c.key, run_rows.c.id).where(run_rows.c.key.in_(keys[begin : begin + 5000]))
        found.update((row.key, row.id) for row in connection.execute(query))
    return tuple(found[key] for key in keys)


def _forget(connection: Connection, keys: Sequence[int]) -> None:
    """What hangs on them goes with them. One that became a baseline meanwhile stays."""
    touched = {series_id for _, series_id in _pairs(connection, keys)}
    hold_series(connection, series.c.id.in_(touched))
    is_baseline = exists(select(baselines.c.run_key).where(baselines.c.run_key == run_rows.c.key))
    connection.execute(delete(run_rows).where(run_rows.c.key.in_(keys), ~is_baseline))
    newest = (
        select(func.max(run_rows.c.started_s)).where(run_rows.c.series_id == series.c.id).scalar_subquery()
    )
    used = exists(select(run_rows.c.key).where(run_rows.c.series_id == series.c.id))
    connection.execute(delete(series).where(series.c.id.in_(touched), ~used))
    connection.execute(update(series).where(series.c.id.in_(touched)).values(last_s=newest))


def _forget_samples(connection: Connection, keys: Sequence[int]) -> None:
    for table in (latencies, telemetry):
        connection.execute(delete(table).where(table.c.run_key.in_(keys)))
    connection.execute(update(records).where(records.c.run_key.in_(keys)).values(samples_sha256=None))
