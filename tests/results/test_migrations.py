"""Stores of older programs are brought up to date, and nothing in them is lost (D3.1, D3.2)."""

from __future__ import annotations

import hashlib
import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from edgekit.errors import StoreError
from edgekit.results.database import open_database
from edgekit.results.place import place_of
from edgekit.results.store import Store
from edgekit.results.tables import metadata

pytestmark = pytest.mark.base
DUMPS = Path(__file__).parents[1] / "data" / "stores"
"""Made by scripts/store_fixture: the first store there was, the last of its schema, and the last of schemas 2 and 3."""


@pytest.fixture(params=["first", "baselines"])
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / f"{request.param}.sqlite"
    fill(path, request.param)
    return path


@pytest.fixture(params=["first", "baselines", "series", "under_way"])
def any_old(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / f"{request.param}.sqlite"
    fill(path, request.param)
    return path


def fill(path: Path, name: str) -> None:
    raw = sqlite3.connect(path)
    raw.executescript((DUMPS / f"{name}.sql").read_text(encoding="utf-8"))
    raw.close()


def test_an_old_store_is_upgraded_when_it_is_opened(any_old: Path) -> None:
    """D3.1: the first records there were are read; D3.2: automatic on SQLite."""
    store = Store(any_old)
    newest, oldest = store.list()
    assert (oldest.project, oldest.soc, oldest.value("accuracy")) == ("vision", "BCM2712", 0.97)
    assert (newest.verdict, newest.median_us, newest.peak_rss_bytes) == ("suspect", 1014.0, 7654321)
    assert store.resolve("bbbbbb") == newest.id
    assert store.labels("aaaaaa") == {"board": "0", "project": "vision"}
    samples = store.samples("aaaaaa")
    assert [len(launch) for launch in samples.launches] == [40, 40, 40]
    assert [(series.name, series.unit) for series in samples.telemetry] == [("cpu-thermal", "mC")]
    found = store.baseline("detector", "raspberry-pi-5", "litert")
    assert (found.id if found else None) == (oldest.id if any_old.stem != "first" else None)
    assert [one.id for one in store.list(["label=board=1", "since=2026-01-01"])] == [newest.id]
    assert [one.id for one in store.best(["label=board=1"])] == [newest.id]
    assert {store.get(one).environment for one in store.ids()} == {None}, "what they do not say is unknown"


def test_the_seals_of_old_records_stay(old: Path) -> None:
    """The bytes of a record are never written again: their hash is what it was (D3.1)."""
    raw = sqlite3.connect(old)
    before = dict(raw.execute("SELECT run_id, sha256 FROM records").fetchall())
    raw.close()
    store = Store(old)
    for run, seal in before.items():
        data, kept = store.get_bytes(run)
        assert kept == seal == hashlib.sha256(data).hexdigest()


def test_an_upgraded_store_is_like_a_new_one(any_old: Path, tmp_path: Path) -> None:
    """Tables, columns, indexes and views: as Alembic sees them, and as SQLite does."""
    Store(any_old)
    Store(tmp_path / "new.sqlite")
    database = open_database(place_of(any_old))
    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []

    def things(path: Path) -> set[tuple[str, str]]:
        raw = sqlite3.connect(path)
        rows = raw.execute("SELECT type, name FROM sqlite_master").fetchall()
        (version,) = raw.execute("SELECT version_num FROM alembic_version").fetchone()
        raw.close()
        return {*rows, ("revision", version)}

    assert things(any_old) == things(tmp_path / "new.sqlite")


def test_an_upgrade_that_cannot_be_written_changes_nothing(old: Path) -> None:
    raw = sqlite3.connect(old)
    raw.execute("CREATE TABLE series (x)")  # in the upgrade's way
    raw.commit()
    raw.close()
    before = dump(old)
    with pytest.raises(StoreError):
        Store(old)
    assert dump(old) == before


def test_an_old_record_that_is_damaged_does_not_stop_the_upgrade(old: Path) -> None:
    raw = sqlite3.connect(old)
    raw.execute("UPDATE records SET json_zlib = x'00' WHERE run_id LIKE '%aaaaaa'")
    raw.commit()
    raw.close()
    store = Store(old)
    assert [row.median_us for row in store.list()] == [1014.0, 1004.0]
    with pytest.raises(StoreError) as caught:
        store.get("aaaaaa")
    assert caught.value.code == "E_STORE_DAMAGED"


def dump(path: Path) -> list[str]:
    raw = sqlite3.connect(path)
    text = list(raw.iterdump())
    raw.close()
    return text
