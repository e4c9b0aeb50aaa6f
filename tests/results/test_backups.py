"""What a backup holds beside runs, and that one which was cut is not restored. (D3.2)"""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.postgres_here import Cluster
from benchmarks.store_runs import runs
from edgekit.errors import InputError
from edgekit.results.backing_up import backup, restore
from edgekit.results.database import migrate
from edgekit.results.importing import read_runs
from edgekit.results.place import place_of
from edgekit.results.store import Store


@pytest.fixture
def in_database(postgres: Cluster) -> Store:
    url = postgres.new_database()
    migrate(place_of(url))
    store = Store(url)
    store.add_many(runs(5))
    return store


def test_labels_that_were_changed_are_in_it(in_database: Store, postgres: Cluster, tmp_path: Path) -> None:
    """Lines of a database into a file, and that file's copy into a database. Runs that are there keep theirs."""
    first, second = in_database.ids()[:2]
    in_database.change_labels(first, {"note": "warm"}, list(in_database.labels(first)))
    in_database.change_labels(second, {"project": "audio"})
    in_database.set_baseline(second)
    backup(in_database, tmp_path / "lines")
    there = Store(tmp_path / "there.sqlite")
    there.add_many(in_database.entries([first]))
    there.change_labels(first, {"note": "mine"})
    found = restore(there.place, tmp_path / "lines")
    assert (found.added, found.total) == (4, 5)
    assert there.labels(first)["note"] == "mine"
    assert there.labels(second) == in_database.labels(second)
    assert [row.id for row in there.list(["project=audio"])] == [second]
    assert [one.run for one in there.baselines()] == [second]

    backup(there, tmp_path / "file")
    url = postgres.new_database()
    migrate(place_of(url))
    restore(place_of(url), tmp_path / "file")
    back = Store(url)
    assert {run: back.labels(run) for run in back.ids()} == {run: there.labels(run) for run in there.ids()}


def test_one_that_was_cut_adds_nothing(in_database: Store, tmp_path: Path) -> None:
    """At a line's end, and within one; with a line lost in the middle. What is left can still be imported."""
    backup(in_database, tmp_path / "lines")
    lines = (tmp_path / "lines").read_bytes().splitlines(keepends=True)
    assert len(lines) == 6
    store = Store(tmp_path / "there.sqlite")
    for what in (lines[:3], lines[:5], [*lines[:5], lines[5][:20]], [*lines[:2], *lines[3:]], []):
        (tmp_path / "cut").write_bytes(b"".join(what))
        with pytest.raises(InputError) as caught:
            restore(store.place, tmp_path / "cut")
        assert caught.value.code == "E_BACKUP_CUT"
    assert store.count() == 0
    (tmp_path / "cut.jsonl").write_bytes(b"".join(lines[:3]))
    assert store.add_many(read_runs(tmp_path / "cut.jsonl")) == 3
    (tmp_path / "whole.jsonl").write_bytes(b"".join(lines))
    assert store.add_many(read_runs(tmp_path / "whole.jsonl")) == 2


def test_one_of_an_older_edgekit_is_restored(in_database: Store, tmp_path: Path) -> None:
    """It says baselines at its end, and no number."""
    backup(in_database, tmp_path / "lines")
    lines = (tmp_path / "lines").read_bytes().splitlines(keepends=True)
    newest = in_database.resolve("latest")
    lines[5] = b'{"edgekit_baselines":["%s"]}\n' % newest.encode()
    (tmp_path / "old").write_bytes(b"".join(lines))
    there = Store(tmp_path / "there.sqlite")
    assert restore(there.place, tmp_path / "old").added == 5
    assert [one.run for one in there.baselines()] == [newest]
