"""Many writers, writers that are killed at every point, disks that are full, files that are read-only (D3-b2)."""

from __future__ import annotations

import collections
import os
import random
import sqlite3
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from benchmarks.store_runs import runs
from edgekit.errors import EdgekitError, StoreError
from edgekit.records import encode, new_id
from edgekit.results.store import Store
from tests.results.crash_child import PHASES

ROOT = Path(__file__).parents[2]
CHILD = Path(__file__).with_name("crash_child.py")
KILLS_A_PHASE = 24
TIMED_KILLS = 40
WRITERS, RUNS_A_WRITER = 16, 8


@pytest.fixture
def template(tmp_path: Path) -> Path:
    """A record of five launches."""
    path = tmp_path / "record.json"
    path.write_bytes(encode(next(runs(1))[0]))
    return path


def is_whole(path: Path, committed: set[str]) -> set[str]:
    """The file is sound, every run in it has all its parts, and none that was promised is missing. Ids."""
    raw = sqlite3.connect(path)
    assert raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert raw.execute("PRAGMA foreign_key_check").fetchall() == []
    parts = raw.execute(
        "SELECT id, (SELECT count(*) FROM records WHERE run_key = key),"
        " (SELECT count(*) FROM latencies WHERE run_key = key), (SELECT count(*) FROM telemetry WHERE run_key = key)"
        " FROM run_rows"
    ).fetchall()
    last = raw.execute(
        "SELECT count(*) FROM series WHERE last_s < (SELECT max(started_s) FROM run_rows WHERE series_id = series.id)"
    ).fetchone()
    raw.close()
    assert {row[1:3] for row in parts} <= {(1, 5)}
    assert all(row[3] for row in parts)
    assert last == (0,)
    found = {str(row[0]) for row in parts}
    assert committed <= found
    return found


def test_a_writer_killed_at_any_point_loses_at_most_its_own_run(tmp_path: Path, template: Path) -> None:
    """D3-b2: at least 200 kills, counted by phase, none empty. Nothing of a run that was not committed is there, everything
    of one that was."""
    path = tmp_path / "results.sqlite"
    kept = new_id()
    Store(path)
    draw = random.Random(7)
    todo = [phase for phase in PHASES for _ in range(KILLS_A_PHASE)]
    # and at moments that no one chose, the commit's own among them
    todo += [f"after {draw.uniform(0.002, 0.03):.4f}" for _ in range(TIMED_KILLS)]
    draw.shuffle(todo)
    committed = {kept}
    counted: collections.Counter[str] = collections.Counter()
    with subprocess.Popen(
        [sys.executable, str(CHILD), str(path), str(template), kept],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        for index, phase in enumerate(todo):
            run = new_id()
            process.stdin.write(f"{phase} {run}\n")
            process.stdin.flush()
            said = process.stdout.readline().strip()
            timed = phase not in PHASES
            if said == "killed":
                counted["at some moment" if timed else phase] += 1
            else:
                assert timed
                assert said == "ended"
                committed.add(run)
            if phase == "after commit":
                committed.add(run)
            elif not timed:
                raw = sqlite3.connect(path)
                assert raw.execute("SELECT 1 FROM run_rows WHERE id = ?", (run,)).fetchone() is None
                raw.close()
            if index % 70 == 0:
                is_whole(path, committed)
        process.stdin.close()
        assert process.wait(timeout=60) == 0
    is_whole(path, committed)
    print(dict(counted))
    assert set(counted) >= {*PHASES, "at some moment"}
    assert min(counted[phase] for phase in PHASES) == KILLS_A_PHASE
    assert sum(counted.values()) >= 200


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_sixteen_writers_at_once_lose_nothing(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str
) -> None:
    """D3-b2; each run in a transaction of its own."""
    from edgekit.results.database import migrate
    from edgekit.results.place import place_of

    store = str(tmp_path / "many.sqlite")
    if kind == "postgresql":
        store = request.getfixturevalue("postgres").new_database()
        migrate(place_of(store))
    children = []
    for writer in range(WRITERS):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                own = Store(store, busy_timeout_s=120)
                for record, samples in runs(RUNS_A_WRITER, seed=writer):
                    own.add(
                        msgspec.structs.replace(record, id=f"{record.id[:-6]}{writer:02}{record.id[-4:]}"),
                        samples,
                    )
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert codes == [0] * WRITERS
    found = Store(store)
    assert found.count() == WRITERS * RUNS_A_WRITER
    ids = found.ids()
    assert len({run[-6:-4] for run in ids}) == WRITERS
    if kind == "sqlite":
        assert len(is_whole(Path(store), set(ids))) == len(ids)


def bytes_of(path: Path) -> bytes:
    return path.read_bytes()


def test_a_read_only_file_is_told_and_untouched(small_disk: Path) -> None:
    """On a file system that is read-only: reading works where SQLite can, writing ends with exit 8."""
    store = Store(small_disk / "results.sqlite")
    store.add_many(runs(3))
    before = bytes_of(small_disk / "results.sqlite")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True, timeout=30)
    try:
        with pytest.raises(EdgekitError) as caught:
            Store(small_disk / "results.sqlite").add_many(runs(1, seed=3))
        assert (caught.value.exit_code, caught.value.code) == (8, "E_STORE_READ_ONLY")
        assert caught.value.hint
        assert bytes_of(small_disk / "results.sqlite") == before
    finally:
        subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True, timeout=30)
    assert Store(small_disk / "results.sqlite").count() == 3


@pytest.mark.parametrize("name", ["newer", "corrupted", "foreign"])
def test_what_cannot_be_used_is_told_and_untouched(tmp_path: Path, name: str) -> None:
    path = tmp_path / "results.sqlite"
    if name == "foreign":
        raw = sqlite3.connect(path)
        raw.execute("CREATE TABLE theirs (x)")
    else:
        Store(path).add_many(runs(3))
        raw = sqlite3.connect(path)
        raw.execute("PRAGMA journal_mode = DELETE")
        if name == "newer":
            raw.execute("UPDATE edgekit_schema SET version = 99")
    raw.commit()
    raw.close()
    if name == "corrupted":
        path.write_bytes(b"x" * 4096 + path.read_bytes()[4096:])
    before = bytes_of(path)
    codes = {"newer": "E_STORE_NEWER", "corrupted": "E_STORE_DAMAGED", "foreign": "E_STORE_FOREIGN"}
    with pytest.raises(StoreError) as caught:
        Store(path)
    assert (caught.value.code, caught.value.exit_code) == (codes[name], 8)
    assert caught.value.hint
    assert bytes_of(path) == before


def test_a_full_disk_while_many_are_added_keeps_whole_batches(small_disk: Path) -> None:
    store = Store(small_disk / "results.sqlite")
    with pytest.raises(EdgekitError) as caught:
        store.add_many(runs(2000), batch=50)
    assert (caught.value.code, caught.value.exit_code) == ("E_HOST_DISK_FULL", 8)
    found = store.count()
    assert found > 0
    assert found % 50 == 0
    is_whole(small_disk / "results.sqlite", set(store.ids()))


def test_a_password_comes_from_a_file_and_is_never_shown(
    postgres: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D3.2: PGPASSFILE; not in argv, messages or URLs."""
    from edgekit.results.database import migrate
    from edgekit.results.place import place_of

    postgres.sql("CREATE ROLE secretive LOGIN PASSWORD 'open sesame'")  # type: ignore[attr-defined]
    url = postgres.new_database()  # type: ignore[attr-defined]
    migrate(place_of(url))
    own = url.replace(f"{postgres.user}@", "secretive@")  # type: ignore[attr-defined]
    with pytest.raises(StoreError) as caught:
        Store(own)
    assert (caught.value.code, caught.value.exit_code) == ("E_STORE_ACCESS", 8)
    passfile = tmp_path / "pgpass"
    passfile.write_text("*:*:*:secretive:open sesame\n")
    passfile.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(passfile))
    with pytest.raises(StoreError) as refused:
        Store(own).count()
    assert refused.value.code == "E_STORE_ACCESS"  # it may come in, but was given no table
    assert "sesame" not in f"{refused.value} {refused.value.hint} {place_of(own)}"
    with pytest.raises(EdgekitError) as open_:
        Store(own.replace("secretive@", "secretive:open%20sesame@"))
    assert "sesame" not in f"{open_.value} {open_.value.hint}"
