"""A link that goes silent: everyone who waits is told, within 10 s, idle or busy (A5)."""

from __future__ import annotations

import hashlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edgekit.agent.answers import FileStat
from edgekit.agent.client import AgentClient
from edgekit.errors import DeviceLost, DeviceTimeout, EdgekitError, VerificationError
from tests.agent.starting import agent, alive, children_of, eventually, guardian_of, kill, open_stream
from tests.timed import timed

TOLD_WITHIN_S = 10.0


@pytest.fixture
def frozen(tmp_path: Path) -> Iterator[AgentClient]:
    with _stoppable(tmp_path) as client:
        yield client


@pytest.fixture
def idle(tmp_path: Path) -> Iterator[AgentClient]:
    with _stoppable(tmp_path) as client:
        yield client


@contextmanager
def _stoppable(tmp_path: Path) -> Iterator[AgentClient]:
    """An agent that can be stopped: its pipes stay open, nothing comes any more."""
    stream = open_stream(tmp_path / "root")
    client = AgentClient.start(stream, timeout=10, device="test:")
    pid, guardian = client.hello.pid, guardian_of(client)
    try:
        yield client
    finally:
        client.close()
        for process in (pid, guardian):
            try:
                kill(process)
            except ProcessLookupError:
                pass


def _how_long(work: Callable[[], object]) -> float:
    began = time.monotonic()
    with pytest.raises(DeviceLost) as caught:
        work()
    assert caught.value.device == "test:"
    assert caught.value.transient
    return time.monotonic() - began


@timed
def test_a_silent_link_is_noticed_by_all_at_once(
    frozen: AgentClient, idle: AgentClient, tmp_path: Path
) -> None:
    """One that waits, one that is blocked in a send, one that takes samples, and one that comes later;
    and one whose link was idle."""
    kill(idle.hello.pid, signal.SIGSTOP)
    began = time.monotonic()
    sampling = frozen.sample(["/proc/uptime"], period_ms=50)
    running = frozen.start_run(["sleep", "100"])
    running.started(10)
    kill(frozen.hello.pid, signal.SIGSTOP)
    took: dict[str, float] = {}

    def measure(name: str, work: Callable[[], object]) -> threading.Thread:
        thread = threading.Thread(target=lambda: took.__setitem__(name, _how_long(work)))
        thread.start()
        return thread

    threads = [
        measure("run", running.wait),
        measure("samples", lambda: list(sampling)),
        measure("call", frozen.ping),
        measure("blocked send", lambda: frozen.put(bytes(8 << 20), str(tmp_path / "f"))),
    ]
    for thread in threads:
        thread.join(60)
    assert set(took) == {"run", "samples", "call", "blocked send"}
    assert max(took.values()) < TOLD_WITHIN_S
    assert min(took.values()) > 5
    assert _how_long(frozen.ping) < 2, "not the silence once more"
    time.sleep(max(0.0, began + TOLD_WITHIN_S - time.monotonic()))
    assert _how_long(idle.ping) < 2


def test_end_of_the_agent_is_told_at_once(tmp_path: Path) -> None:
    with agent(tmp_path / "root") as client:
        running = client.start_run(["sleep", "100"])
        running.started(10)
        kill(client.hello.pid)
        assert _how_long(running.wait) < 6, "sooner than by its silence"
        with pytest.raises(DeviceLost, match="exit code 137"):
            client.ping()


def _hash_without_end(
    client: AgentClient, folder: Path, limit: float
) -> tuple[threading.Thread, list[object], int]:
    """A stat whose worker on the device stands still. The thread, what comes of it, the worker."""
    big = folder / "big"
    with open(big, "wb") as file:
        file.truncate(1 << 30)
    guardian = guardian_of(client)
    came: list[object] = []

    def ask() -> None:
        try:
            came.append(client.stat(str(big), sha256=True, timeout=limit))
        except EdgekitError as error:
            came.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    worker: list[int] = []

    def found() -> bool:
        worker[:] = [pid for pid in children_of(client.hello.pid) if pid != guardian]
        return bool(worker)

    assert eventually(found)
    kill(worker[0], signal.SIGSTOP)
    return thread, came, worker[0]


def test_heartbeats_go_on_during_long_work(tmp_path: Path) -> None:
    """Longer than the silence that ends the link; the agent says nothing but that it lives."""
    with agent(tmp_path / "root", silence_ms=5000) as client:
        thread, came, worker = _hash_without_end(client, tmp_path, 240)
        time.sleep(10)
        assert not came
        kill(worker, signal.SIGCONT)
        thread.join(240)
        assert isinstance(came[0], FileStat)
        assert came[0].sha256 == hashlib.sha256(bytes(1 << 30)).hexdigest()


def test_deadline_of_a_call_leaves_the_client_usable(tmp_path: Path) -> None:
    """The device answers, only not in time: the work is given up, and those behind it get their turn."""
    with agent(tmp_path / "root") as client:
        thread, came, worker = _hash_without_end(client, tmp_path, 3.0)
        thread.join(60)
        assert isinstance(came[0], DeviceTimeout)
        client.ping()
        assert eventually(lambda: not alive(worker))


def test_put_of_64_mib(tmp_path: Path) -> None:
    """Not a benchmark: a bound that a per-frame round trip or a copy per byte would break."""
    data = os.urandom(1 << 20) * 64
    with agent(tmp_path / "root") as client:
        before = client.round_trips
        began = time.monotonic()
        client.put(data, str(tmp_path / "big"))
        took = time.monotonic() - began
        assert client.round_trips == before + 1
    assert hashlib.sha256((tmp_path / "big").read_bytes()).digest() == hashlib.sha256(data).digest()
    assert took < 60, f"{64 / took:.0f} MiB/s"


def test_get_does_not_wait_for_a_heartbeat(tmp_path: Path) -> None:
    """The loop once slept until the next ping when the host had read everything at the wrong moment."""
    (tmp_path / "file").write_bytes(bytes(3_000_001))
    with agent(tmp_path / "root") as client:
        for _ in range(3):  # what held the machine up once does not do so three times
            slowest = _slowest_get(client, tmp_path / "file")
            if slowest < 1.2:
                break
    assert slowest < 1.2


def _slowest_get(client: AgentClient, file: Path) -> float:
    took = []
    for _ in range(40):
        began = time.monotonic()
        client.get(str(file))
        took.append(time.monotonic() - began)
    return max(took)


def test_source_that_shrinks_while_it_is_sent(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(bytes(3 << 20))

    def shrink(done: int, total: int) -> None:
        if done < total // 2:
            os.truncate(source, 1 << 20)

    with agent(tmp_path / "root") as client:
        with pytest.raises(VerificationError) as caught:
            client.put(source, str(tmp_path / "target"), progress=shrink)
        assert caught.value.code == "E_SOURCE_CHANGED"
        client.ping()
        assert sorted(p.name for p in tmp_path.iterdir()) == ["root", "source"]


def test_progress_that_raises_ends_the_put(tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with agent(tmp_path / "root") as client:
        with pytest.raises(KeyboardInterrupt):
            client.put(bytes(3 << 20), str(tmp_path / "target"), progress=stop)
        client.ping()
        assert sorted(p.name for p in tmp_path.iterdir()) == ["root"]
