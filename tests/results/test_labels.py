"""Labels of a run that is kept: set, taken away, asked for; the record and its seal stay. (D3.2)"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import func, select

from benchmarks.postgres_here import Cluster
from edgekit.errors import InputError
from edgekit.records import Record, Samples, encode, new_id
from edgekit.results import tables
from edgekit.results.adding import add_entries
from edgekit.results.database import migrate
from edgekit.results.filters import parse_filters
from edgekit.results.labelling import MAX_LABELS
from edgekit.results.place import place_of
from edgekit.results.pruning import prune
from edgekit.results.rows import entry_of, epoch_s
from edgekit.results.store import Store

Run = tuple[Record, Samples]


def labelled(real: Run, **labels: str) -> Run:
    return msgspec.structs.replace(real[0], id=new_id(), labels=labels), real[1]


def test_they_change_and_the_sealed_record_does_not(any_store: Store, real: Run) -> None:
    """What filters find is what is there now; `get` tells it, the bytes tell what was measured with."""
    run = labelled(real, board="7", project="vision")
    any_store.add(*run)
    run_id = run[0].id
    before = any_store.get_bytes(run_id)
    assert any_store.changed_labels(run_id) is None
    found = any_store.change_labels(run_id, {"board": "8", "shelf": "3"}, ["gone", "project"])
    assert (
        found == {"board": "8", "shelf": "3"} == any_store.labels(run_id) == any_store.changed_labels(run_id)
    )
    assert any_store.get_bytes(run_id) == before
    assert any_store.get(run_id).labels == found
    assert any_store.ids(["label=board=8"]) == (run_id,)
    assert any_store.ids(["label=board=7"]) == ()
    any_store.change_labels(run_id, {"board": "7", "project": "vision"}, ["shelf"])
    assert any_store.changed_labels(run_id) is None
    assert any_store.get(run_id) == run[0]


def test_the_project_is_a_word_of_the_series(any_store: Store, real: Run) -> None:
    """The run goes to another series, and one without runs goes."""
    first, second = labelled(real, project="vision"), labelled(real, project="vision")
    any_store.add_many([first, second])

    def count() -> int:
        with any_store.database.reading() as connection:
            return connection.scalar(select(func.count()).select_from(tables.series)) or 0

    any_store.change_labels(first[0].id, {"project": "audio"})
    assert [row.project for row in any_store.list(["project=audio"])] == ["audio"]
    assert (count(), any_store.words("project")) == (2, ("audio", "vision"))
    any_store.change_labels(second[0].id, {"project": "audio"})
    assert (count(), any_store.words("project")) == (1, ("audio",))
    assert len(any_store.trend(["project=audio"])[0].runs) == 2
    newest = any_store.list(limit=1)[0].id
    for filters in (["label=project=audio"], ["label=project"], ["label=project=audio", "label=project"]):
        assert [row.id for row in any_store.best(filters, metrics=["median_latency"])] == [newest], filters
    assert any_store.best(["label=project=vision"]) == ()
    any_store.change_labels(second[0].id, {}, ["project"])
    assert any_store.list(["project=audio"])[0].id == first[0].id
    assert len(any_store.list()) == 2


@pytest.mark.parametrize("how", ["moved", "forgotten"])
def test_a_run_that_comes_meanwhile_keeps_its_series(how: str, postgres: Cluster, real: Run) -> None:
    """One takes the last run out of a series while another adds one to it: both are done, and the newest is found."""
    url = postgres.new_database()
    migrate(place_of(url))
    store = Store(url)
    old = labelled(real, project="vision")
    new = msgspec.structs.replace(old[0], id=new_id(), started_at="2100-01-01T00:00:00.000Z")
    store.add(*old)

    def take() -> object:
        if how == "moved":
            return store.change_labels(old[0].id, {"project": "audio"})
        return prune(store.database, parse_filters([f"id={old[0].id}"]))

    with ThreadPoolExecutor(1) as pool:
        with store.database.writing() as connection:
            add_entries(connection, [entry_of(new, encode(new), old[1])])
            taking = pool.submit(take)
            while not postgres.sql("SELECT 1 FROM pg_locks WHERE NOT granted"):
                assert not taking.done()
        taking.result(timeout=120)
    assert [row.id for row in store.list(["project=vision"])] == [new.id]
    with store.database.reading() as connection:
        assert connection.scalar(select(func.max(tables.series.c.last_s))) == epoch_s(new.started_at)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("", "x"),
        (" a", "x"),
        ("a=b", "x"),
        ("a\nb", "x"),
        ("a", "x\x00"),
        ("a", "\u202e"),
        ("k" * 65, "x"),
        ("a", "x" * 301),
    ],
)
def test_labels_that_cannot_be(key: str, value: str, store: Store, real: Run) -> None:
    store.add(*real)
    with pytest.raises(InputError) as caught:
        store.change_labels(real[0].id, {key: value})
    assert caught.value.code == "E_LABEL"
    assert store.labels(real[0].id) == {}


def test_not_without_end(store: Store, real: Run) -> None:
    store.add(*real)
    store.change_labels(real[0].id, {f"k{i}": "" for i in range(MAX_LABELS)})
    with pytest.raises(InputError) as caught:
        store.change_labels(real[0].id, {"more": ""})
    assert caught.value.code == "E_LABEL"
    assert "more" not in store.labels(real[0].id)
    assert store.change_labels(real[0].id, {"more": ""}, ["k0"])["more"] == ""


def test_what_a_record_brought_stays_as_it_is(store: Store, real: Run) -> None:
    """NUL, which the store's words have no room for, is no change; such a label can be taken away."""
    run = labelled(real, **{"a\x00": "\x00"})
    store.add(encode(run[0]), run[1])
    assert store.changed_labels(run[0].id) is None
    assert store.get(run[0].id) == run[0]
    assert store.change_labels(run[0].id, {}, ["a\x00", "\udc80"]) == {}
    assert store.get(run[0].id).labels == {}


def test_labels_of_another_store_are_taken_as_far_as_they_could_be(store: Store, real: Run) -> None:
    """What a record brought, however odd or many, goes along with what was changed since; what nobody could have set does not."""
    odd = {"a\nb": "x" * 500, **{f"k{i}": "" for i in range(100)}}
    run = labelled(real, **odd)
    assert store.add(*run, labels={**odd, "k0": "new"})
    assert store.labels(run[0].id)["k0"] == "new"
    assert store.change_labels(run[0].id, {"k1": "new"})["k1"] == "new"
    for wrong in ({"c\nd": ""}, {"a\nb": "y" * 500}, {f"n{i}": "" for i in range(102)}):
        other = labelled(real, **odd)
        with pytest.raises(InputError) as caught:
            store.add(*other, labels=wrong)
        assert caught.value.code == "E_LABEL"
    assert store.count() == 1


def test_the_command(tmp_path: Path, real: Run) -> None:
    from tests.cli.running import edgekit

    store = Store(tmp_path / "a.sqlite")
    store.add(*real)
    db = ("--db", tmp_path / "a.sqlite")
    assert (
        edgekit("results", "label", "latest", "board=7", "note=a=b", *db).ok().stdout == "board=7\nnote=a=b\n"
    )
    found = edgekit("results", "label", real[0].id, "--remove", "note", *db, "--json").ok().json()
    assert found == {"run": real[0].id, "labels": {"board": "7"}, "absent": []}
    again = edgekit("results", "label", "latest", "--remove", "note", *db).ok()
    assert again.stdout == "board=7\n"
    assert "there was no label 'note'" in again.stderr
    assert edgekit("results", "label", "latest", "nothing", *db, "--json").error()["code"] == "E_LABEL"
    assert store.labels("latest") == {"board": "7"}
