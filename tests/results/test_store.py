"""The store keeps records and every sample, says what is wrong with it, and finds runs again. (A8)"""

from __future__ import annotations

import random
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgekit.errors import HostDiskFull, HostError, InputError, StoreError
from edgekit.records import Model, Record, Samples, Verdict, new_id
from edgekit.results.store import Store

pytestmark = pytest.mark.base
Real = tuple[Record, Samples]


def variant(record: Record, **changes: object) -> Record:
    return msgspec.structs.replace(record, **{"id": new_id(), **changes})


def read_all(store: Store, run: str) -> tuple[Record, Samples]:
    return store.get(run), store.samples(run)


def add_until_it_fails(store: Store, record: Record) -> None:
    noise = np.random.default_rng(0)
    for _ in range(100):
        store.add(variant(record, launches=()), Samples.of([noise.random(40_000)]))


def test_a_real_run_comes_back_exactly(store: Store, real: Real) -> None:
    record, samples = real
    assert store.add(record, samples)
    assert store.get(record.id) == record
    back = store.samples(record.id)
    assert len(back.launches) == 5
    for mine, theirs in zip(samples.launches, back.launches, strict=True):
        assert mine.tobytes() == theirs.tobytes()
    assert [(s.name, s.unit, s.path) for s in back.telemetry] == [
        (s.name, s.unit, s.path) for s in samples.telemetry
    ]
    for one, other in zip(samples.telemetry, back.telemetry, strict=True):
        assert one.t_us.tobytes() == other.t_us.tobytes()
        assert one.value.tobytes() == other.value.tobytes()


def test_the_summary_can_be_computed_again_from_the_store(store: Store, real: Real) -> None:
    from edgekit.stats import summarize

    record, samples = real
    store.add(record, samples)
    again = summarize(store.samples("latest").launches)
    kept = store.get("latest").latency
    assert (again.median, again.p99, again.ci95_low) == (kept.median, kept.p99, kept.ci95_low)


def test_adding_twice_adds_once(store: Store, real: Real) -> None:
    assert store.add(*real)
    assert not store.add(*real)
    assert len(store.list()) == 1


def test_another_record_under_the_same_id_is_refused(store: Store, real: Real) -> None:
    record, samples = real
    store.add(record, samples)
    with pytest.raises(InputError) as caught:
        store.add(msgspec.structs.replace(record, notes=("changed",)), samples)
    assert caught.value.code == "E_RECORD_CONFLICT"
    assert store.get(record.id) == record


def test_samples_must_fit_the_record(store: Store, real: Real) -> None:
    with pytest.raises(InputError) as caught:
        store.add(real[0], Samples.of([[1.0]]))
    assert caught.value.code == "E_SAMPLES"
    assert store.list() == ()


def test_started_at_must_be_a_time(store: Store, real: Real) -> None:
    with pytest.raises(InputError, match="yesterday"):
        store.add(variant(real[0], started_at="yesterday"))


def test_list_is_newest_first_and_filters(store: Store, real: Real) -> None:
    base = real[0]
    for day, name, address in [
        (1, "Detector-100%", "adb:A"),
        (3, "pose_x", "local:"),
        (2, "detector", "local:"),
    ]:
        device = msgspec.structs.replace(base.device, address=address)
        store.add(
            variant(base, started_at=f"2026-01-0{day}T00:00:00.000Z", model=Model(name=name), device=device)
        )
    names = [row.model_name for row in store.list()]
    assert names == ["pose_x", "detector", "Detector-100%"]
    assert [row.model_name for row in store.list(model="DETECT")] == ["detector", "Detector-100%"]
    assert [row.model_name for row in store.list(model="0%")] == ["Detector-100%"]
    assert [row.model_name for row in store.list(model="_")] == ["pose_x"]
    assert len(store.list(device="local:")) == 2
    assert len(store.list(device=base.device.model)) == 3
    assert len(store.list(since=datetime(2026, 1, 2, tzinfo=UTC))) == 2
    assert [row.model_name for row in store.list(limit=1)] == ["pose_x"]
    latest = store.latest()
    assert latest is not None
    assert latest.model.name == "pose_x"


def test_a_row_says_what_the_record_says(store: Store, real: Real) -> None:
    record, samples = real
    store.add(record, samples)
    (row,) = store.list()
    assert row.median_us == record.latency.median
    assert (row.count, row.launches, row.verdict) == (7500, 5, "valid")
    assert row.ci95_low_us == record.latency.ci95_low
    assert row.peak_rss_bytes == record.memory.peak_rss


def test_a_run_is_found_by_beginning_tail_and_latest(store: Store, real: Real) -> None:
    first = msgspec.structs.replace(
        real[0], id="20260101-120000000-aaaaaa", started_at="2026-01-01T12:00:00Z"
    )
    second = msgspec.structs.replace(
        real[0], id="20260101-130000000-bbbbbb", started_at="2026-01-01T13:00:00Z"
    )
    store.add(first)
    store.add(second)
    assert store.get("20260101-12").id == first.id
    assert store.get("bbbbbb").id == second.id
    assert store.get("latest").id == second.id
    for ambiguous in ("2026", "20260101-1"):
        with pytest.raises(InputError) as caught:
            store.get(ambiguous)
        assert caught.value.code == "E_AMBIGUOUS_RUN"
        assert first.id in caught.value.message
    for missing in ("", "x", "%", "_"):
        with pytest.raises(InputError) as caught:
            store.get(missing)
        assert caught.value.code == "E_NO_RUN"


def test_an_empty_store_has_no_latest(store: Store) -> None:
    assert store.latest() is None
    with pytest.raises(InputError, match="empty"):
        store.get("latest")


def test_hostile_texts_are_only_text(store: Store, real: Real) -> None:
    nasty = "'; DROP TABLE runs; --\n\x1b[31m<script>\u202e"
    record = variant(real[0], model=Model(name=nasty), labels={nasty: nasty}, verdict=Verdict(state="valid"))
    store.add(record)
    assert store.get(record.id) == record
    assert store.list(model="DROP TABLE")[0].model_name == nasty


def test_where_the_store_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKIT_DATA_DIR", str(tmp_path / "data"))
    assert Store().path == tmp_path / "data" / "results.sqlite"
    monkeypatch.setenv("EDGEKIT_RESULTS", str(tmp_path / "deep" / "own.sqlite"))
    assert Store().path.exists()
    assert (tmp_path / "deep" / "own.sqlite").exists()


def test_opening_leaves_only_the_store_behind(store: Store) -> None:
    assert [path.name for path in store.path.parent.iterdir()] == ["results.sqlite"]


def test_a_newer_store_is_refused(store: Store) -> None:
    with sqlite3.connect(store.path) as raw:
        raw.execute("UPDATE edgekit_schema SET version = 99")
    raw.close()
    with pytest.raises(StoreError, match="schema 99") as caught:
        Store(store.path)
    assert caught.value.code == "E_STORE_NEWER"
    assert "upgrade" in (caught.value.hint or "")


def test_a_database_of_something_else_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.sqlite"
    with sqlite3.connect(path) as raw:
        raw.execute("CREATE TABLE theirs (x)")
    raw.close()
    with pytest.raises(StoreError) as caught:
        Store(path)
    assert caught.value.code == "E_STORE_FOREIGN"


def test_an_empty_file_becomes_a_store(tmp_path: Path, real: Real) -> None:
    path = tmp_path / "empty.sqlite"
    path.touch()
    assert Store(path).add(*real)


def test_a_file_that_is_no_database_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "broken.sqlite"
    path.write_bytes(b"this is not a database, and long enough to be asked about it" * 20)
    with pytest.raises(StoreError) as caught:
        Store(path)
    assert (caught.value.code, caught.value.exit_code) == ("E_STORE_DAMAGED", 8)
    assert "move" in (caught.value.hint or "")


def test_overwritten_pages_are_told_as_damage(store: Store, real: Real) -> None:
    record, samples = real
    store.add(record, samples)
    data = bytearray(store.path.read_bytes())
    data[4096 * 12 :] = random.Random(1).randbytes(len(data) - 4096 * 12)
    store.path.write_bytes(data)
    with pytest.raises(StoreError) as caught:
        read_all(store, record.id)
    assert caught.value.code == "E_STORE_DAMAGED"


def test_samples_with_a_flipped_bit_are_told_as_damage(store: Store, real: Real) -> None:
    """A page may be well formed and yet hold other bytes: the blobs carry checksums of their own."""
    record, samples = real
    store.add(record, samples)
    with sqlite3.connect(store.path) as raw:
        (blob,) = raw.execute("SELECT us_packed FROM latencies WHERE launch = 2").fetchone()
        bad = bytearray(blob)
        bad[len(bad) // 2] ^= 4
        raw.execute("UPDATE latencies SET us_packed = ? WHERE launch = 2", (bytes(bad),))
        (text,) = raw.execute("SELECT json_packed FROM records").fetchone()
        raw.execute("UPDATE records SET json_packed = ?", (text[:-10],))
    raw.close()
    for read in (store.samples, store.get):
        with pytest.raises(StoreError) as caught:
            read(record.id)
        assert caught.value.code == "E_STORE_DAMAGED"


def test_a_folder_that_cannot_be_made_is_this_hosts_fault(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HostError) as caught:
        Store(tmp_path / "file" / "results.sqlite")
    assert caught.value.exit_code == 8


def test_a_full_disk_is_told_and_leaves_the_store_whole(small_disk: Path, real: Real) -> None:
    record, samples = real
    store = Store(small_disk / "results.sqlite")
    store.add(record, samples)
    with pytest.raises(HostDiskFull) as caught:
        add_until_it_fails(store, record)
    assert caught.value.exit_code == 8
    assert 1 < len(store.list()) < 20
    for row in store.list():
        read_all(store, row.id)
    assert store.get(record.id) == record
