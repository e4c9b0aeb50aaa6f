"""Labels of a run as they are now. A record says those that it was measured with, and is sealed; the store's own are what
filters, listings and pages go by, and may be changed.

The label `project` is also one of the words that a run shares with others: where it changes, the run goes to another series.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping

from msgspec import structs
from sqlalchemy import Connection, delete, exists, func, insert, or_, select, update

from edgekit.errors import InputError
from edgekit.records import Record
from edgekit.results.adding import hold_series, series_id_of
from edgekit.results.asking import labels_of
from edgekit.results.naming import no_run
from edgekit.results.rows import PROJECT_LABEL, series_hash
from edgekit.results.tables import SERIES_FIELDS, labels, run_rows, series

MAX_KEY = 64
MAX_VALUE = 300
MAX_LABELS = 64


def checked(put: Mapping[str, str]) -> Mapping[str, str]:
    """Raises InputError E_LABEL for what cannot be shown or asked for."""
    for key, value in put.items():
        if not 0 < len(key) <= MAX_KEY or "=" in key or not key.isprintable() or key != key.strip():
            raise InputError(
                f"a label's key has 1 to {MAX_KEY} printable characters, no = and no blanks around it",
                code="E_LABEL",
                hint="like board=7",
            )
        if len(value) > MAX_VALUE or not value.isprintable():
            raise InputError(
                f"the value of label '{key}' has more than {MAX_VALUE} characters, or some that cannot be shown",
                code="E_LABEL",
            )
    return put


def checked_of(record: Record, now: Mapping[str, str]) -> Mapping[str, str]:
    """All labels that a run has in another store. What the record says itself may be anything. Raises InputError E_LABEL."""
    checked({key: value for key, value in now.items() if record.labels.get(key) != value})
    if len(now) > max(MAX_LABELS, len(record.labels)):
        raise _too_many()
    return now


def change_labels(
    connection: Connection, run_id: str, put: Mapping[str, str], remove: Collection[str]
) -> dict[str, str]:
    """Set these, and take those away; a key that is not there is no error. All labels afterwards. In a write transaction.

    Raises InputError E_NO_RUN, and E_LABEL where there would be more than `MAX_LABELS`.
    """
    row = connection.execute(
        select(run_rows.c.key, run_rows.c.series_id, run_rows.c.started_s)
        .where(run_rows.c.id == run_id)
        .with_for_update()
    ).one_or_none()
    if row is None:
        raise no_run(run_id)
    before = len(labels_of(connection, run_id))
    gone = [*put, *(key.encode("utf-8", "replace").decode() for key in remove)]
    connection.execute(delete(labels).where(labels.c.run_key == row.key, labels.c.key.in_(gone)))
    added = [
        {
            "run_key": row.key,
            "key": key,
            "value": value,
            "started_s": row.started_s,
            "series_id": row.series_id,
        }
        for key, value in put.items()
    ]
    if added:
        connection.execute(insert(labels), added)
    found = labels_of(connection, run_id)
    if len(found) > max(before, MAX_LABELS):
        raise _too_many()
    if PROJECT_LABEL in gone:
        _move(connection, row.key, row.series_id, row.started_s, found.get(PROJECT_LABEL))
    return found


def labelled(record: Record, now: Mapping[str, str]) -> Record:
    """The record with the labels that its run has now."""
    return record if was_measured_with(record, now) else structs.replace(record, labels=dict(now))


def was_measured_with(record: Record, now: Mapping[str, str]) -> bool:
    """Whether nobody has changed them; the store has no NUL in its words."""
    kept = {
        key.replace("\0", "\ufffd"): value.replace("\0", "\ufffd") for key, value in record.labels.items()
    }
    return kept == dict(now)


def tag_of(key: str) -> str:
    """A name for a key that a form can carry, whatever the key holds."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _too_many() -> InputError:
    return InputError(f"a run has at most {MAX_LABELS} labels", code="E_LABEL", hint="remove some first")


def _move(connection: Connection, run_key: int, old: int, started_s: float, project: str | None) -> None:
    """To the series of another project; the old one goes where it has no run left."""
    columns = [series.c[name] for name in SERIES_FIELDS]
    there = connection.execute(select(*columns).where(series.c.id == old)).one()
    fields = {**dict(zip(SERIES_FIELDS, there, strict=True)), "project": project}
    new_hash = series_hash(fields)
    hold_series(connection, or_(series.c.id == old, series.c.hash == new_hash))
    new = series_id_of(connection, {**fields, "hash": new_hash, "last_s": started_s})
    connection.execute(update(run_rows).where(run_rows.c.key == run_key).values(series_id=new))
    connection.execute(update(labels).where(labels.c.run_key == run_key).values(series_id=new))
    mine = run_rows.c.series_id == series.c.id
    newest = select(func.max(run_rows.c.started_s)).where(mine).scalar_subquery()
    connection.execute(delete(series).where(series.c.id == old, ~exists(select(run_rows.c.key).where(mine))))
    connection.execute(update(series).where(series.c.id == old).values(last_s=newest))
