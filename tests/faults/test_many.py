"""Pushes in a row leak nothing, on neither side; two hosts at once; a holder of the lease that died (C1-b2, C1.3)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edgekit.deployment.switching import remove
from edgekit.devices import Device, lease
from edgekit.errors import DeviceBusy
from tests.agent.starting import alive, processes_with
from tests.faults import state
from tests.faults.cases import NAME, Models, opened, push
from tests.faults.ground import open_files
from tests.faults.table import LONG, TABLE

PUSHES = 1000 if LONG else 60
CONNECTIONS = 50 if LONG else 8
ROUNDS = 20
WARM = 20


def resident_kib(pid: int) -> int:
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.partition("VmRSS:")[2].split()[0])


def count_files(root: Path) -> int:
    """The lease apart: it is given back without waiting."""
    return sum(1 for path in root.rglob("*") if path.name not in ("lease", ".lease.ek-tmp"))


@pytest.mark.timeout(3600 if LONG else 300)
def test_many_pushes_in_a_row_leak_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKIT_CACHE_DIR", str(tmp_path / "cache"))
    root, models = tmp_path / "device-many", Models(tmp_path / "host")
    began = time.monotonic()

    def once(device: Device, number: int) -> None:
        """A whole push: what is pushed is not there."""
        new, old = ("1", "2") if number % 2 else ("2", "1")
        done = push(models, device, new)
        assert done.bytes_sent > 400_000
        if number:
            remove(device, NAME, old)

    def measure(device: Device) -> dict[str, int]:
        pid = device.agent.hello.pid
        return {
            "files": count_files(root),
            "host_fds": len(open_files()),
            "device_fds": len(list(Path(f"/proc/{pid}/fd").iterdir())),
            "processes": len([p for p in processes_with(str(root)) if alive(p)]),
            "agent_kib": resident_kib(pid),
            "host_kib": resident_kib(os.getpid()),
        }

    with opened(str(root)) as device:
        for number in range(WARM):
            once(device, number)
        before = measure(device)
        for number in range(WARM, PUSHES):
            once(device, number)
        after = measure(device)
    for key in ("files", "host_fds", "device_fds", "processes"):
        assert after[key] <= before[key], (key, before, after)
    assert after["agent_kib"] <= before["agent_kib"] + 256, (before, after)
    fds = len(open_files())
    for number in range(PUSHES, PUSHES + CONNECTIONS):
        with opened(str(root)) as device:
            once(device, number)
    assert len(open_files()) <= fds
    assert state.nothing_runs(str(root))
    assert count_files(root) <= before["files"]
    if TABLE:
        row = {"target": "local", "case": "pushes in a row", "how": f"{PUSHES} and {CONNECTIONS}"}
        row |= {"before": before, "after": after, "seconds": time.monotonic() - began}  # type: ignore[dict-item]
        with open(TABLE, "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


PUSHER = """
import sys
from pathlib import Path
from tests.faults.cases import Models, opened, push
models, root, first = Models(Path(sys.argv[1])), sys.argv[2], int(sys.argv[3])
for number in range(int(sys.argv[4])):
    with opened(root) as device:
        done = push(models, device, str(first + number % 3))
        assert done.activated, done
"""


@pytest.mark.timeout(300)
def test_two_hosts_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes push different versions of one name; a reader finds an active and whole release at any time."""
    root, models = tmp_path / "device-two", Models(tmp_path / "host")
    for version in ("1", "2", "3", "4", "5", "6"):
        models.path(version)
    monkeypatch.setenv("EDGEKIT_CACHE_DIR", str(tmp_path / "cache"))
    with opened(str(root)) as device:
        push(models, device, "1")
    hosts = []
    for first in (1, 4):
        env = {**os.environ, "EDGEKIT_CACHE_DIR": str(tmp_path / f"cache-{first}")}
        argv = [sys.executable, "-c", PUSHER, str(models.folder), str(root), str(first), str(ROUNDS)]
        hosts.append(subprocess.Popen(argv, env=env, stderr=subprocess.PIPE, text=True))
    looks, seen = 0, set()
    while any(host.poll() is None for host in hosts):
        found = state.read_store(root, NAME)
        assert not found.problems(), found
        assert found.current is not None
        seen.add(found.current)
        looks += 1
    for host in hosts:
        _, said = host.communicate(timeout=60)
        assert host.returncode == 0, said
    assert looks > 20
    assert seen & {"1", "2", "3"}
    assert seen & {"4", "5", "6"}
    assert state.nothing_runs(str(root))
    assert not state.strays(root)


def test_the_holder_of_the_lease_is_dead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Agent and guardian killed at once: nobody gives the lease back, and it runs out by itself. In another boot it is void
    at once."""
    monkeypatch.setenv("EDGEKIT_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(lease, "LEASE_SECONDS", 6.0)
    root, models = tmp_path / "device-dead", Models(tmp_path / "host")
    with opened(str(root)) as dead:
        push(models, dead, "1")
        began = time.monotonic()
        with dead.leased("to die with", 5.0):
            assert state.kill_agents(str(root), guardians=True) >= 2
    assert (root / "lease").exists()
    with opened(str(root)) as device:
        try:
            push(models, device, "2", lease_wait_seconds=0.0)
        except DeviceBusy:
            push(models, device, "2", lease_wait_seconds=60.0)
        assert time.monotonic() - began > 5.0
    lines = [
        "edgekit-lease 1",
        "00000000-0000-0000-0000-000000000000",
        str(1 << 62),
        "token",
        "a host before",
    ]
    (root / "lease").write_text("\n".join(lines) + "\n")
    with opened(str(root)) as device:
        push(models, device, "3", lease_wait_seconds=0.0)
    assert state.read_store(root, NAME).current == "3"
