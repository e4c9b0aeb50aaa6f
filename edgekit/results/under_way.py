"""Measurements that are not done yet: one row each, which the process that measures writes anew between launches.

Each row says how long its writer may be silent. After that nobody vouches for it: it is not shown any more, and the next
measurement takes it away. So one that was killed is gone by itself, without anybody to clean up. All times are those of the
database (of PostgreSQL its server's, of a file this host's).
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields

from sqlalchemy import Connection, delete, insert, select, text, update

from edgekit.clock import utc_text
from edgekit.results.filters import TIMES, Filter
from edgekit.results.tables import under_way

MAX_SHOWN = 100
_MAX_READ = 10_000
_WORDS = ("project", "model", "recipe", "profile", "device", "soc", "abi", "runtime", "version")
"""What filters may ask of it by name."""


@dataclass(frozen=True)
class Beat:
    """What a measurement says of itself. `key`: its own name here, no run's id. `done`: launches that have ended, None while
    the device is made ready. `median_us`: of the medians of the launches so far, None where unknown."""

    key: str
    model: str
    device: str
    total: int
    done: int | None = None
    median_us: float | None = None
    project: str | None = None
    version: str | None = None
    recipe: str | None = None
    profile: str | None = None
    device_model: str | None = None
    soc: str | None = None
    abi: str | None = None
    runtime: str | None = None


@dataclass(frozen=True)
class UnderWay(Beat):
    """`started_at`, `heard_at`: ISO 8601, UTC, to the second."""

    started_at: str = ""
    heard_at: str = ""

    @property
    def stage(self) -> str:
        if self.done is None:
            return "getting ready"
        return f"launch {self.done + 1} of {self.total}" if self.done < self.total else "after the launches"


def beat(connection: Connection, said: Beat, silence_s: float) -> None:
    """Write a row for the first time, or anew. `silence_s`: until then it is vouched for. In a write transaction."""
    now_s = _now_s(connection)
    values = {**asdict(said), "heard_s": now_s, "until_s": now_s + silence_s}
    done = connection.execute(update(under_way).where(under_way.c.key == said.key).values(values))
    if done.rowcount:
        return
    connection.execute(delete(under_way).where(under_way.c.until_s < now_s))
    connection.execute(insert(under_way).values(started_at=utc_text(now_s), started_s=now_s, **values))


def end(connection: Connection, key: str) -> None:
    """The measurement is done, or given up. In a write transaction."""
    connection.execute(delete(under_way).where(under_way.c.key == key))


def under_way_now(connection: Connection, filters: Sequence[Filter] = ()) -> tuple[UnderWay, ...]:
    """Those that are vouched for and meet the filters, the newest first."""
    names = [one.name for one in fields(UnderWay) if one.name != "heard_at"]
    query = select(*(under_way.c[name] for name in names), under_way.c.heard_s)
    query = query.where(under_way.c.until_s >= _now_s(connection))
    query = query.order_by(under_way.c.started_s.desc(), under_way.c.key).limit(_MAX_READ)
    rows = [
        UnderWay(**dict(zip(names, row[:-1], strict=True)), heard_at=utc_text(row[-1]))
        for row in connection.execute(query)
    ]
    return tuple(row for row in rows if all(_meets(row, one) for one in filters))[:MAX_SHOWN]


def digest(rows: Sequence[UnderWay]) -> str:
    """Another one where anything that is shown has changed."""
    return hashlib.sha256(repr(rows).encode("utf-8", "replace")).hexdigest()[:16] if rows else ""


def _now_s(connection: Connection) -> float:
    if connection.dialect.name == "sqlite":
        return time.time()
    return float(connection.scalar(text("SELECT extract(epoch FROM clock_timestamp())")) or 0.0)


def _meets(row: UnderWay, one: Filter) -> bool:
    """As `select` has it for runs. What only a finished run can tell (a metric, a verdict) is met by none; it is now."""
    if one.field in TIMES:
        return one.field == "since"
    if one.field not in _WORDS:
        return False
    values = [getattr(row, one.field) or ""]
    if one.field == "device":
        values.append(row.device_model or "")
    part = one.op in ("~", "!~")
    found = any(
        word.lower() in value.lower() if part else word.lower() == value.lower()
        for value in values
        for word in one.words
    )
    return found != one.op.startswith("!")
