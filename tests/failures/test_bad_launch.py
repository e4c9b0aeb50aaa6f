"""D1-b3: a runner that dies, is stopped, or is killed for memory while it is measured: real processes on this machine. Each
is a clear record or error, with the knobs as they were, and never a missing or zero number."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.running import MODEL, argv, edgekit
from tests.failures.under_way import UnderWay, cpufreq
from tests.runner import tiny
from tests.timed import timed

BENCH = ("--launches", "3", "--iterations", "20", "--min-seconds", "2", "--warmup-iterations", "2")
MEMORY = Path("/sys/fs/cgroup/memory")


@pytest.fixture
def governor(tmp_path: Path) -> Path:
    """A /sys with one policy, which this device is given for its own."""
    return cpufreq(tmp_path / "tree") / "scaling_governor"


@pytest.fixture
def project(tmp_path: Path, governor: Path) -> Iterator[Path]:
    (tmp_path / "mine.yaml").write_text(
        "schema: edgekit.profile/1\nname: mine\nextends: host-x86-64\nbench:\n  governor: performance\n"
    )
    (tmp_path / "edgekit.yaml").write_text(
        f'devices:\n  it: {{address: "local:", root: "{tmp_path}/device", sysroot: "{tmp_path}/tree", profile: mine.yaml}}\n'
    )
    yield tmp_path
    assert governor.read_text().strip() == "ondemand", "the knob is as it was"


def runner(root: Path, launch: int, stream: int | None = None) -> int | None:
    """The pid of the process of this launch, and of that stream of it."""
    samples = f"/samples-{launch}" if stream is None else f"/samples-{launch}.{stream}"
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if any(word.startswith(os.fsencode(root)) and word.endswith(samples.encode()) for word in words):
            return int(entry.name)
    return None


def when_launched(
    project: Path,
    launch: int,
    do: Callable[[int], None],
    *,
    more: tuple[str, ...] = (),
    stream: int | None = None,
) -> UnderWay:
    """A bench under way, of which launch number `launch` has just had something done to it."""
    under_way = UnderWay("bench", MODEL, "-d", "it", *BENCH, *more, env={}, cwd=project)
    end = time.monotonic() + 90
    while (pid := runner(project / "device", launch, stream)) is None:
        assert under_way.process.poll() is None, under_way.process.communicate()
        assert time.monotonic() < end, f"launch {launch} did not start"
        time.sleep(0.01)
    time.sleep(0.2)  # measuring by now
    do(pid)
    return under_way


@timed
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT])
def test_a_launch_that_dies_is_in_the_record(project: Path, number: signal.Signals) -> None:
    under_way = when_launched(project, 1, lambda pid: os.kill(pid, number))
    done = under_way.ended(150)
    record: dict[str, Any] = done.json()
    assert done.code == 4, "invalid"
    assert record["verdict"]["state"] == "invalid"
    assert any("launch" in reason for reason in record["verdict"]["reasons"])
    first, second, third = record["launches"]
    assert (first["ok"], second["ok"], third["ok"]) == (True, False, True)
    assert str(int(number)) in second["error"] or number.name in second["error"]
    assert second["median_us"] is None, "no number where there is none"
    assert second["count"] == 0
    assert record["latency"]["count"] == first["count"] + third["count"] > 0
    assert record["latency"]["median"] > 0


@timed
def test_a_stream_that_is_killed_fails_the_launch_and_ends_the_others(
    project: Path,
) -> None:
    """D1-b3: the knobs are as they were (the fixture looks), the other streams are gone, no number is made up."""
    under_way = when_launched(
        project, 1, lambda pid: os.kill(pid, signal.SIGKILL), more=("--streams", "3"), stream=1
    )
    done = under_way.ended(100)  # the other streams were ended, not waited for until their deadline of 150 s
    record: dict[str, Any] = done.json()
    assert done.code == 4
    first, second, third = record["launches"]
    assert (first["ok"], second["ok"], third["ok"]) == (True, False, True)
    assert "stream 2 of 3" in second["error"]
    assert second["inferences_per_second"] is None
    assert record["latency"]["count"] == first["count"] + third["count"]


@timed
def test_a_first_launch_that_dies_is_an_error(project: Path) -> None:
    """Nothing else would do better."""
    under_way = when_launched(project, 0, lambda pid: os.kill(pid, signal.SIGKILL))
    done = under_way.ended(150)
    error = done.error()
    assert done.code == 3
    assert error["code"].startswith("E_RUNNER")
    assert "9" in error["message"] or "SIGKILL" in error["message"]
    assert error["hint"]
    assert edgekit("results", "list", "--json", cwd=project).ok().json()["runs"] == []


@timed
def test_a_launch_that_hangs_ends_with_the_commands_deadline(project: Path) -> None:
    under_way = UnderWay("bench", MODEL, "-d", "it", *BENCH, "--timeout", "20", env={}, cwd=project)
    end = time.monotonic() + 90
    while (pid := runner(project / "device", 1)) is None:
        assert time.monotonic() < end
        time.sleep(0.01)
    os.kill(pid, signal.SIGSTOP)
    done = under_way.ended(100)
    assert done.error()["code"] == "E_TIMEOUT"
    deadline = time.monotonic() + 60
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < deadline, "a stopped runner was left behind"
        time.sleep(0.05)


@pytest.fixture
def small_memory() -> Iterator[Path]:
    """A memory cgroup of 240 MB (cgroup v1)."""
    if os.geteuid() or not (MEMORY / "cgroup.procs").exists():
        pytest.skip("needs root and the memory controller of cgroup v1")
    group = MEMORY / f"edgekit-test-{os.getpid()}"
    group.mkdir()
    (group / "memory.limit_in_bytes").write_text("240000000")
    yield group
    end = time.monotonic() + 60
    while (group / "cgroup.procs").read_text().split():
        assert time.monotonic() < end, "processes are left in the cgroup"
        time.sleep(0.05)
    group.rmdir()


def test_killed_for_memory(project: Path, small_memory: Path) -> None:
    """Twice 120 MB for the graph's tensors: the kernel ends the largest process, which is the runner."""
    side = 30_000_000
    model = tiny.build(
        project / "large.tflite",
        [tiny.Tensor("a", "float32", (1, side)), tiny.Tensor("b", "float32", (1, side))],
        [tiny.Op(tiny.ADD, (0, 0), (1,))],
        [0],
        [1],
    )
    enter = f'echo $$ > {small_memory}/cgroup.procs && exec "$@"'
    done = subprocess.run(
        ["sh", "-c", enter, "sh", *argv("bench", model, "-d", "it", *BENCH, "--json")],
        cwd=project, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    error = json.loads(done.stdout)["error"]
    assert done.returncode == 3, done.stdout + done.stderr
    assert error["code"].startswith("E_RUNNER")
    assert "memory" in f"{error['message']} {error['hint']}"
