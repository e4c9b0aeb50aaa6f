"""Many processes, one of them killed: the store stays whole. (A8)"""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from edgekit.errors import StoreError
from edgekit.records import Record, Samples, encode, new_id
from edgekit.results.store import Store

pytestmark = pytest.mark.base
ROOT = Path(__file__).parents[2]
CHILD = Path(__file__).with_name("disk_child.py")


def child(*args: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(CHILD), *map(str, args)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.fixture
def template(tmp_path: Path, real: tuple[Record, Samples]) -> Path:
    path = tmp_path / "record.json"
    path.write_bytes(encode(real[0]))
    return path


def check_whole(path: Path, promised: set[str]) -> int:
    """Every run has its record and all its launches; what was said to be kept is there. Number of runs."""
    with sqlite3.connect(path) as raw:
        assert raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert raw.execute("PRAGMA foreign_key_check").fetchall() == []
    raw.close()
    store = Store(path)
    rows = store.list()
    for row in rows:
        record = store.get(row.id)
        assert [len(launch) for launch in store.samples(row.id).launches] == [8000] * len(record.launches)
    assert promised <= {row.id for row in rows}
    return len(rows)


def test_a_writer_killed_in_the_middle_leaves_the_store_whole(tmp_path: Path, template: Path) -> None:
    """Two writers at once; one is killed with SIGKILL at moments spread over its adds; the other never fails."""
    path = tmp_path / "results.sqlite"
    promised: set[str] = set()
    with child("write", path, "60", template) as steady:
        assert line(steady) == "ready"
        for round_ in range(6):
            with child("write", path, "0", template) as victim:
                assert line(victim) == "ready"
                promised.add(line(victim))
                time.sleep(0.004 * round_)
                victim.send_signal(signal.SIGKILL)
                assert victim.stdout is not None
                promised |= {text for text in victim.stdout.read().splitlines() if len(text) == 25}
                victim.wait(timeout=30)
        assert steady.stdout is not None
        kept = steady.stdout.read().split()
        assert steady.wait(timeout=120) == 0
    assert len(kept) == 60
    assert check_whole(path, promised | set(kept)) >= 66


def test_killed_after_any_statement_of_an_add_nothing_of_it_is_there(
    tmp_path: Path, real: tuple[Record, Samples]
) -> None:
    """The writer stands still after its first, second, ... statement and is killed there, until one gets
    through: before COMMIT nothing of the run may be seen, after it everything."""
    path, template = tmp_path / "results.sqlite", tmp_path / "record.json"
    Store(path)
    killed_inside = 0
    for at in range(1, 20):
        record = msgspec.structs.replace(real[0], id=new_id())
        template.write_bytes(encode(record))
        with child("stop", path, template, str(at)) as victim:
            said = line(victim).split()
            victim.kill()
        if said[0] == "added":
            check_whole(path, {record.id})
            break
        killed_inside += 1
        found = {row.id for row in Store(path).list()}
        check_whole(path, found)
        if at < 6:  # BEGIN, SELECT, and the first inserts: nothing can be committed yet
            assert record.id not in found
    assert said[0] == "added"
    assert killed_inside >= 6  # BEGIN, SELECT, four tables or more, COMMIT


def test_processes_that_make_the_store_at_the_same_time_share_it(tmp_path: Path, template: Path) -> None:
    path = tmp_path / "new" / "results.sqlite"
    writers = [child("write", path, "3", template) for _ in range(4)]
    kept: set[str] = set()
    for writer in writers:
        out, _ = writer.communicate(timeout=120)
        assert writer.returncode == 0
        kept |= set(out.split()[1:])
    assert len(kept) == 12
    assert check_whole(path, kept) == 12
    assert not [p.name for p in path.parent.iterdir() if p.name.endswith("ek-tmp")]


def test_a_locked_store_is_told_in_time_and_serves_again_after(
    tmp_path: Path, real: tuple[Record, Samples]
) -> None:
    path = tmp_path / "results.sqlite"
    store = Store(path, busy_timeout_s=0.5)
    with child("hold", path) as holder:
        assert line(holder) == "held"
        begin = time.monotonic()
        with pytest.raises(StoreError) as caught:
            store.add(*real)
        assert 0.4 < time.monotonic() - begin < 20
        assert (caught.value.code, caught.value.exit_code) == ("E_STORE_LOCKED", 8)
        assert caught.value.transient
        assert caught.value.hint
        assert store.list() == ()  # readers do not wait for a writer
        holder.communicate(timeout=30)
    assert store.add(*real)


def test_push_does_not_load_the_store() -> None:
    """A8: SQLAlchemy is loaded by nothing but the store."""
    code = (
        "import sys, edgekit.results, edgekit.records, edgekit.cli.commands.results, edgekit.cli.commands.report\n"
        "print({'sqlalchemy', 'numpy', 'matplotlib', 'rich'} & set(sys.modules))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert out.stdout.strip() == "set()"
