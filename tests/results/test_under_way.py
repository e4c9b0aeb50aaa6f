"""What is being measured, as the store tells it: written by one process, read by others, gone by itself. (D3.5)"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import func, select, text

from benchmarks.postgres_here import Cluster
from benchmarks.store_runs import runs
from edgekit.api.showing import showing, silence_s
from edgekit.benchmarking.plan import BenchOptions, make_plan
from edgekit.errors import StoreError
from edgekit.events import Event
from edgekit.records import Record, Samples
from edgekit.results import tables, under_way
from edgekit.results.database import SCHEMA_VERSION, migrate, open_database
from edgekit.results.place import place_of
from edgekit.results.store import Store
from edgekit.results.under_way import Beat
from tests.sim.devices import address, opened

SAID = Beat(
    key="a",
    model="detector",
    device="ssh://pi@rpi5",
    device_model="Raspberry Pi 5",
    total=5,
    project="vision",
    runtime="litert",
)

SCHEMA_2 = (
    "DROP TABLE under_way",
    "ALTER TABLE labels DROP COLUMN series_id",  # and with it the index
    "CREATE INDEX runs_by_label ON labels (key, value, started_s)",
    "DROP INDEX runs_by_series",
    "CREATE INDEX runs_by_series ON run_rows (series_id, started_s)",
    "UPDATE edgekit_schema SET version = 2",
    "UPDATE alembic_version SET version_num = '0002'",
)
"""What makes a store of schema 2 of a new one, in PostgreSQL."""


def later(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """The database's clock goes on."""
    now: Callable[..., float] = under_way._now_s
    monkeypatch.setattr(under_way, "_now_s", lambda connection: now(connection) + seconds)


def test_it_is_there_until_its_run_is(any_store: Store, real: tuple[Record, Samples]) -> None:
    """One transaction: readers see the one or the other, on either database."""
    any_store.beat(SAID, 60)
    (first,) = any_store.under_way()
    assert (first.stage, first.median_us) == ("getting ready", None)
    any_store.beat(replace(SAID, done=2, median_us=1234.5), 60)
    (second,) = any_store.under_way()
    assert (second.stage, second.median_us) == ("launch 3 of 5", 1234.5)
    assert second.started_at == first.started_at <= second.heard_at
    assert under_way.digest((first,)) != under_way.digest((second,))
    any_store.beat(replace(SAID, done=5), 60)
    assert any_store.under_way()[0].stage == "after the launches"
    any_store.add(*real, ends=SAID.key)
    assert any_store.under_way() == ()
    assert any_store.latest() is not None


def test_nobody_vouches_for_it_after_its_silence(any_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was killed is shown no more, and the next measurement takes its row away."""
    any_store.beat(SAID, 60)
    later(monkeypatch, 59)
    assert any_store.under_way()
    later(monkeypatch, 2)
    assert any_store.under_way() == ()
    any_store.beat(replace(SAID, key="b"), 60)
    with any_store.database.reading() as connection:
        assert connection.scalars(select(tables.under_way.c.key)).all() == ["b"]
    any_store.beat(SAID, 60)  # it was only slow
    assert {row.key for row in any_store.under_way()} == {"a", "b"}


@pytest.mark.parametrize(
    ("asked", "met"),
    [
        ([], True),
        (["model~TECT", "device=raspberry pi 5", "project=vision", "since=7d"], True),
        (["device=ssh://pi@rpi5"], True),
        (["model=tect"], False),
        (["model!=detector"], False),
        (["recipe!=int8"], True),
        (["until=7d"], False),
        (["verdict=valid"], False),
        (["label=project=vision"], False),
        (["median_latency<12ms"], False),
    ],
)
def test_filters_as_far_as_it_can_tell(asked: list[str], met: bool, store: Store) -> None:
    """What only a finished run can tell is met by none."""
    store.beat(SAID, 60)
    assert bool(store.under_way(asked)) == met


def test_one_of_very_many_is_found(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many others that were begun later are shown otherwise."""
    monkeypatch.setattr(under_way, "MAX_SHOWN", 3)
    store.beat(SAID, 60)
    later(monkeypatch, 1)
    for i in range(5):
        store.beat(replace(SAID, key=f"b{i}", model="pose"), 60)
    assert [one.model for one in store.under_way()] == ["pose"] * 3
    assert [one.model for one in store.under_way(["model~detector"])] == ["detector"]


@pytest.mark.parametrize("said", [None, 0, 4, 5])
def test_how_long_it_may_be_silent_is_at_least_what_the_plan_allows(said: int | None) -> None:
    options = BenchOptions(launches=5, min_seconds=30, sustained_minutes=10, spread_seconds=100)
    plan = make_plan(None, options)
    found = silence_s(plan, said, 5, lease_wait_s=1e6)
    assert found >= plan.max_seconds
    assert found <= 2 * 3600, "one that was killed would be shown for hours"
    if said == 5:
        assert found >= 600
    if said == 4:
        assert found >= plan.max_seconds + 20


@pytest.mark.parametrize("total", [5, 10, 20])
def test_rounds_that_are_spread_are_not_silence(total: int) -> None:
    """Launches alone, in pairs, and of four thread counts in turn: five rounds over an hour, with 12 minutes from one to the next."""
    plan = make_plan(None, BenchOptions(launches=5, spread_seconds=3600))
    assert 720 + plan.max_seconds <= silence_s(plan, 4, total) <= 2 * 3600


class _Manifest:
    name, version, recipe = "digits", "1", None


def test_a_store_that_cannot_be_written_ends_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is tried a few times, far apart, and the measurement goes on. Here another process holds it."""
    from edgekit.api import showing as module
    from edgekit.events import LaunchesDone

    monkeypatch.setattr(module, "LOCK_WAIT_S", 0.01)
    monkeypatch.setattr(module, "AFTER_FAILURE_S", 0.0)
    told: list[Event] = []
    release = type("R", (), {"manifest": _Manifest})()
    with opened(address()) as device, store.database.writing():
        options = BenchOptions(launches=9)
        with showing(store.path, (release,), device, None, options, told.append) as shown:  # type: ignore[arg-type]
            for done in range(10):
                shown.sink(LaunchesDone("measure", "", done, 9, "launches"))
    said = [one for one in told if not isinstance(one, LaunchesDone)]
    assert len(told) - len(said) == 10
    assert len(said) == module.MAX_FAILURES
    assert all("locked" in one.message and one.level == "debug" for one in said)
    assert store.under_way() == ()


def test_who_may_read_or_add_runs_may_do_so_here_as_well(
    postgres: Cluster, real: tuple[Record, Samples]
) -> None:
    """Roles of a database that is brought up to date by its owner; one that may write runs alone keeps them all the same."""
    url = postgres.new_database()
    migrate(place_of(url))
    with open_database(place_of(url)).writing() as connection:
        for statement in (
            *SCHEMA_2,
            'CREATE ROLE "Its Reader" LOGIN',
            "CREATE ROLE its_writer LOGIN",
            'GRANT SELECT ON ALL TABLES IN SCHEMA public TO "Its Reader", its_writer',
            "GRANT INSERT, UPDATE ON ALL TABLES IN SCHEMA public TO its_writer",
            "GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO its_writer",
        ):
            connection.execute(text(statement))
    migrate(place_of(url))
    database = url.partition("?")[0].rpartition("/")[2]
    reader = Store(postgres.url(database, "Its%20Reader"))
    writer = Store(postgres.url(database, "its_writer"))
    writer.beat(SAID, 60)
    assert [row.key for row in reader.under_way()] == [SAID.key]
    with pytest.raises(StoreError):
        reader.beat(SAID, 60)
    writer.end(SAID.key)
    postgres.sql("REVOKE ALL ON under_way FROM its_writer", database)
    release = type("R", (), {"manifest": _Manifest})()
    there = postgres.url(database, "its_writer")
    with (
        opened(address()) as device,
        showing(there, (release,), device, None, BenchOptions(), lambda _: None) as shown,  # type: ignore[arg-type]
    ):
        assert Store(there).add(*real, ends=shown.key)
    assert reader.count() == 1


def test_a_database_of_the_schema_before_is_brought_up_to_date(
    request: pytest.FixtureRequest,
) -> None:
    """D3.2: PostgreSQL by command, and with its runs; older programs are refused by the schema's number."""
    url = request.getfixturevalue("postgres").new_database()
    place = place_of(url)
    migrate(place)
    database = open_database(place)
    older = Store(url)
    older.add_many(runs(20))
    best = {row.id for row in older.best(["label=board"])}
    with database.writing() as connection:
        for statement in SCHEMA_2:
            connection.execute(text(statement))
    with pytest.raises(StoreError) as caught:
        Store(url)
    assert caught.value.code == "E_STORE_OLDER"
    assert migrate(place) == (2, SCHEMA_VERSION)
    store = Store(url)
    store.beat(SAID, 60)
    assert len(store.under_way()) == 1
    assert best
    assert {row.id for row in store.best(["label=board"])} == best
    with database.reading() as connection:
        changes = compare_metadata(MigrationContext.configure(connection), tables.metadata)
    # types of words are the same but for a collation, which Alembic does not compare
    assert [change for change in changes if isinstance(change, tuple)] == []


def test_rows_that_are_left_do_not_pile_up(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        store.beat(replace(SAID, key=str(number)), 1)
        later(monkeypatch, 2)
    with store.database.reading() as connection:
        assert connection.scalar(select(func.count()).select_from(tables.under_way)) == 1


def test_the_file_and_the_listing_tell_it(store: Store, tmp_path: Path) -> None:
    """`edgekit results list`: above the runs, and in --json."""
    from tests.cli.running import edgekit

    nasty = "[red]\x1b[31m"
    store.beat(replace(SAID, done=1, model=nasty, median_us=1500.0), 60)
    assert store.path is not None
    shown = edgekit("results", "list", "--db", store.path).ok()
    assert "launch 2 of 5" in shown.stdout
    assert "\x1b" not in shown.stdout
    (found,) = edgekit("results", "list", "--db", store.path, "--json").ok().json()["under_way"]
    assert (found["model"], found["done"], found["total"], found["median_us"]) == (nasty, 1, 5, 1500.0)


def test_a_server_s_network_that_is_gone_is_told_soon(postgres: Cluster) -> None:
    """A measurement tells of itself between launches, and must not stand for a quarter of an hour where nobody answers."""
    url = postgres.new_database()
    migrate(place_of(url))
    with Store(url).database.engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        found = driver.info.get_parameters()
    assert int(found["tcp_user_timeout"]) <= 60_000
    assert int(found["keepalives_idle"]) + 3 * int(found["keepalives_interval"]) <= 60
