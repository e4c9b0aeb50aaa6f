"""C1.2, C1.4: what a process, a running agent or a detached job uses is never collected."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edgekit.deployment.collect import _result, gc
from edgekit.deployment.inventory import Inventory
from edgekit.deployment.victims import Now, Rules
from edgekit.devices import Device
from tests.agent.starting import eventually
from tests.deployment.on_disk import T0, claimed, dated, opened, put_many, put_release, removed, runtime

HOLD = "import mmap, sys; f = open(sys.argv[1], 'rb'); m = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ); f.close(); "
HOLD += "print('held', flush=True); sys.stdin.read()"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return claimed(tmp_path / "device")


@pytest.fixture
def device(root: Path) -> Iterator[Device]:
    with opened(root) as found:
        yield found


@contextmanager
def process(*argv: str | Path, cwd: Path | None = None, says: bool = True) -> Iterator[None]:
    """A program that runs meanwhile, and ends with its stdin."""
    running = subprocess.Popen(
        [str(word) for word in argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=cwd
    )
    assert running.stdin is not None
    assert running.stdout is not None
    try:
        if says:
            assert running.stdout.readline()
        yield
    finally:
        running.stdin.close()
        running.stdout.close()
        running.terminate()
        running.wait(60)


@pytest.mark.parametrize("how", ["mapped", "open", "cwd"])
def test_what_a_process_uses_stays(root: Path, device: Device, how: str) -> None:
    put_many(root, "m", 4)
    used = root / "models" / "m" / "v1"
    opening = "import sys; f = open(sys.argv[1]); print('held', flush=True); sys.stdin.read()"
    code = {"mapped": HOLD, "open": opening, "cwd": "print('here', flush=True); input()"}[how]
    with process(sys.executable, "-c", code, used / "model.tflite", cwd=used if how == "cwd" else None):
        assert removed(gc(device, keep=0, max_bytes=0)) == ["m@v2"]
    assert eventually(lambda: removed(gc(device, dry_run=True)) == ["m@v1"])


def test_runtimes_are_collected_when_unused(root: Path, device: Device) -> None:
    folders = runtime(root, "litert", *"4321")
    runtime(root, "other", "5")
    program = folders[0] / "edgekit-runner"
    shutil.copy(shutil.which("cat") or "", program)
    dated(folders[0], T0)
    with process(program, says=False):
        assert removed(gc(device)) == [f"litert/{'3' * 64}"]
    assert eventually(lambda: removed(gc(device, dry_run=True)) == [f"litert/{'4' * 64}"])
    assert gc(device).freed_bytes >= 5000
    assert sorted(path.name[0] for path in (root / "runtimes").glob("*/*")) == ["1", "2", "5"]


def test_agents_of_other_versions_go(root: Path, device: Device) -> None:
    agents = root / "agent"
    (own,) = agents.iterdir()
    (agents / ("0" * 64)).write_bytes(bytes(100))
    (agents / "notes.txt").write_text("of somebody else")
    other = agents / ("1" * 64)
    shutil.copy(shutil.which("cat") or "", other)
    with process(other, says=False):
        assert removed(gc(device)) == ["0" * 64]
    assert eventually(lambda: removed(gc(device)) == ["1" * 64])
    assert sorted(path.name for path in agents.iterdir()) == sorted([own.name, "notes.txt"])


def test_while_a_detached_job_runs_all_that_it_could_use_stays(root: Path, device: Device) -> None:
    """It opens its files when it comes to them."""
    put_many(root, "m", 4)
    runtime(root, "r", *"123")
    put_release(root, "m", "bad", 0, place="failed")
    device.agent.job_start(
        "measure", ["sh", "-c", f"until [ -e {root}/go ]; do sleep 0.05; done"], deadline_s=60
    )
    result = gc(device, keep=0)
    assert removed(result) == ["m@bad"]
    assert "measure" in result.notes[0]
    (root / "go").touch()
    assert eventually(lambda: device.agent.job_status("measure").state == "done")
    assert removed(gc(device, keep=0)) == ["m@v1", "m@v2", f"r/{'1' * 64}"]


def test_processes_that_cannot_be_asked_are_told() -> None:
    """Unknown is not "unused": a file that one of them has open stays readable to it."""
    result = _result("local:", Inventory((), Now(0, 0), 3, ()), [], Rules(), dry_run=False)
    assert result.unknown_processes == 3
    assert "3 processes" in result.notes[0]
