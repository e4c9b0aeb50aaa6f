"""What is left behind when things break (A5): nothing runs on, settings are restored, the lease is free."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from edgekit.agent import requests as rq
from edgekit.agent.client import AgentClient
from edgekit.agent.protocol import Type, pack_frame
from edgekit.errors import DeviceBusy, DeviceFull, DeviceLost, DeviceReadOnly, EdgekitError
from edgekit.transports.base import Stream
from tests.agent.starting import (
    agent,
    alive,
    eventually,
    guardian_of,
    kernel_setting,
    kill,
    leased,
    names,
    open_stream,
    processes_with,
)

KERNEL_KNOB = Path("/proc/sys/vm/swappiness")
needs_root = pytest.mark.skipif(os.getuid() != 0, reason="needs root")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


@pytest.fixture
def kernel_knob() -> Iterator[Path]:
    """A real setting of this kernel, put back whatever happens."""
    with kernel_setting(KERNEL_KNOB):
        yield KERNEL_KNOB


def _busy(client: AgentClient, knobs: list[Path], mark: str) -> int:
    """Give the agent a lease, knobs and a family of children. Returns the guardian."""
    client.lease_acquire("fault test", ttl_s=600)
    for knob in knobs:
        client.knob_set(str(knob), b"7")
    family = f"sleep {mark} & setsid -f sh -c 'exit 0'; sh -c 'sleep {mark}' & wait"
    client.start_run(["sh", "-c", family]).started(10)
    assert eventually(lambda: len(processes_with(mark)) >= 3)
    return guardian_of(client)


def _nothing_left(root: Path, mark: str, guardian: int) -> bool:
    left = leased(root) or (root / "knobs.journal").exists()
    return not processes_with(mark) and not left and not alive(guardian)


def _lost(client: AgentClient) -> bool:
    try:
        client.ping()
    except DeviceLost:
        return True
    return False


def _signal(number: int) -> Callable[[AgentClient, Stream], None]:
    return lambda client, stream: kill(client.hello.pid, number)


def _kill_group(client: AgentClient, stream: Stream) -> None:
    os.killpg(os.getpgid(client.hello.pid), signal.SIGKILL)


ENDINGS: dict[str, Callable[[AgentClient, Stream], None]] = {
    "kill -9": _signal(signal.SIGKILL),
    "kill -9 of its process group": _kill_group,
    "SIGHUP": _signal(signal.SIGHUP),
    "SIGTERM": _signal(signal.SIGTERM),
    "SIGINT": _signal(signal.SIGINT),
    "SIGSEGV": _signal(signal.SIGSEGV),
    "stdin closed": lambda client, stream: stream.close_stdin(),
    "malformed frame": lambda client, stream: stream.send(b"\xff" * 9),
}


@needs_root
@pytest.mark.parametrize("ending", ENDINGS)
def test_a5_whatever_ends_the_agent_nothing_is_left(
    ending: str, root: Path, tmp_path: Path, kernel_knob: Path
) -> None:
    before = kernel_knob.read_bytes()
    tree = tmp_path / "scaling_governor"
    tree.write_text("schedutil\n")
    stream = open_stream(root)
    client = AgentClient.start(stream, timeout=10)
    mark = f"4720.{os.getpid()}{list(ENDINGS).index(ending)}"
    guardian = _busy(client, [kernel_knob, tree], mark)
    assert kernel_knob.read_bytes() == b"7\n"
    ENDINGS[ending](client, stream)
    assert eventually(lambda: _lost(client))
    assert eventually(lambda: _nothing_left(root, mark, guardian)), names(root)
    assert kernel_knob.read_bytes() == before
    assert tree.read_text() == "schedutil\n"
    client.close()


def test_clean_close_has_cleaned_up_before_it_returns(root: Path, tmp_path: Path) -> None:
    tree = tmp_path / "knob"
    tree.write_text("a\n")
    with agent(root) as client:
        client.lease_acquire("me")
        client.knob_set(str(tree), b"b")
    assert tree.read_text() == "a\n"
    assert not leased(root)
    with agent(root) as client:
        client.lease_acquire("me again")


def test_guardian_that_is_killed_is_replaced(root: Path) -> None:
    with agent(root) as client:
        client.start_run(["sleep", f"4731.{os.getpid()}"]).started(10)
        first = guardian_of(client)
        kill(first)
        assert eventually(lambda: not alive(first))
        assert eventually(lambda: guardian_of(client) != first)
        guardian = guardian_of(client)
        kill(client.hello.pid)
        assert eventually(lambda: not processes_with(f"4731.{os.getpid()}"))
        assert eventually(lambda: not alive(guardian))


def test_fresh_agent_restores_what_nobody_could(root: Path, tmp_path: Path) -> None:
    tree = tmp_path / "knob"
    tree.write_text("a\n")
    with agent(root) as client:
        client.knob_set(str(tree), b"b")
        kill(guardian_of(client), signal.SIGSTOP)
        stopped = guardian_of(client)
        kill(client.hello.pid)
        assert eventually(lambda: not alive(client.hello.pid))
        assert tree.read_text() == "b"
        with agent(root) as second:
            assert second.hello.knobs_restored == 1
            assert tree.read_text() == "a\n"
            tree.write_text("c\n")
            kill(stopped, signal.SIGCONT)
            assert eventually(lambda: not alive(stopped))
            assert tree.read_text() == "c\n"


def test_fresh_agent_leaves_a_live_agents_knobs(root: Path, tmp_path: Path) -> None:
    tree = tmp_path / "knob"
    tree.write_text("a\n")
    with agent(root) as first:
        first.knob_set(str(tree), b"b")
        with agent(root) as second:
            assert second.hello.knobs_restored == 0
            with pytest.raises(EdgekitError) as caught:
                second.knob_set(str(tree), b"c")
            assert "busy" in caught.value.message
        assert tree.read_text() == "b"
    assert tree.read_text() == "a\n"


def test_journal_of_another_boot_is_discarded(root: Path, tmp_path: Path) -> None:
    tree = tmp_path / "knob"
    tree.write_text("now\n")
    root.mkdir()
    journal = root / "knobs.journal"
    line = f"{str(tree).encode().hex()} {b'before'.hex()}\n"
    journal.write_text(f"edgekit-knobs 1 another-boot 1 token\n{line}")
    with agent(root) as client:
        assert client.hello.knobs_restored == 0
    assert tree.read_text() == "now\n"
    assert not journal.exists()


def test_torn_journal_line_is_not_believed(root: Path, tmp_path: Path) -> None:
    whole, torn = tmp_path / "whole", tmp_path / "torn"
    whole.write_text("now\n")
    torn.write_text("now\n")
    root.mkdir()
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    lines = f"{str(whole).encode().hex()} {b'before'.hex()}\n{str(torn).encode().hex()} {b'bef'.hex()}"
    (root / "knobs.journal").write_text(f"edgekit-knobs 1 {boot} 1 token\n{lines}")
    with agent(root) as client:
        assert client.hello.knobs_restored == 1
    assert (whole.read_text(), torn.read_text()) == ("before", "now\n")


def test_knob_that_cannot_be_restored_stays_in_the_journal(root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cpufreq"
    folder.mkdir()
    (folder / "governor").write_text("a\n")
    with agent(root) as client:
        client.knob_set(str(folder / "governor"), b"b")
        folder.rename(tmp_path / "gone")
        assert client.knob_restore()[0].errno != 0
        guardian = guardian_of(client)
    assert eventually(lambda: not alive(guardian))
    assert (root / "knobs.journal").exists()
    (tmp_path / "gone").rename(folder)
    with agent(root) as client:
        assert client.hello.knobs_restored == 1
    assert (folder / "governor").read_text() == "a\n"


@pytest.mark.parametrize("what", ["idle", "children"])
def test_silence_ends_the_agent(what: str, root: Path) -> None:
    """The host stands still; its end of the stream stays open."""
    stream = open_stream(root, silence_ms=3000)
    stream.recv(1 << 16, 30)
    if what == "children":
        stream.send(pack_frame(Type.RUN, 1, _run_payload(["sleep", f"4732.{os.getpid()}"])))
        assert eventually(lambda: bool(processes_with(f"4732.{os.getpid()}")))
    began = time.monotonic()
    assert stream.wait(60) == 5
    assert time.monotonic() - began < 12, "the usual silence is 15 s"
    assert "silent" in stream.stderr_tail()
    assert eventually(lambda: not processes_with(f"4732.{os.getpid()}"))
    stream.close()


def test_host_that_does_not_read_ends_the_agent(root: Path) -> None:
    stream = open_stream(
        root, silence_ms=3000
    )  # longer than this loop may be held up between two of its PONGs
    stream.send(pack_frame(Type.RUN, 1, _run_payload(["cat", "/dev/zero"])))
    began = time.monotonic()
    while True:
        try:
            stream.send(pack_frame(Type.PONG, 0))
            time.sleep(0.1)
        except DeviceLost:
            break
        assert time.monotonic() - began < 60
    assert stream.wait(30) == 5
    assert "does not read" in stream.stderr_tail()
    stream.close()


def _run_payload(argv: list[str]) -> bytes:
    return rq.launch_fields(argv, None, None, None, None).u32(0).blob(b"").done()


def test_pings_keep_a_quiet_agent_alive(root: Path) -> None:
    with agent(root, silence_ms=5000) as client:
        time.sleep(7)
        client.ping()


def test_detached_job_outlives_the_agent(root: Path) -> None:
    with agent(root) as client:
        client.job_start("outlives", ["sh", "-c", "sleep 1; echo whole"])
        kill(client.hello.pid)
    with agent(root) as client:
        assert client.job_status("outlives").state in ("running", "done")
        assert eventually(lambda: client.job_status("outlives").state == "done")
        assert (root / "jobs" / "outlives" / "stdout").read_text() == "whole\n"
        client.job_start("lost", ["sleep", f"4733.{os.getpid()}"])
        supervisor = int((root / "jobs" / "lost" / "owner").read_text())
        kill(supervisor)
        assert eventually(lambda: client.job_status("lost").state == "lost")
        for pid in processes_with(f"4733.{os.getpid()}"):
            kill(pid)


def test_two_agents_contend_for_the_lease(root: Path) -> None:
    with agent(root) as first, agent(root) as second:
        first.lease_acquire("host one", ttl_s=2)
        with pytest.raises(DeviceBusy, match=r"in use by host one, for \d\.\d s more"):
            second.lease_acquire("host two")
        time.sleep(2.6)  # longer than it was asked for: its agent renews it
        with pytest.raises(DeviceBusy):
            second.lease_acquire("host two")
        first.lease_release()
        second.lease_acquire("host two")
        with pytest.raises(DeviceBusy, match="host two"):
            first.lease_acquire("host one")


def test_lease_runs_out_by_itself(root: Path) -> None:
    """Neither the agent nor its guardian can release it."""
    with agent(root) as first, agent(root) as second:
        first.lease_acquire("frozen", ttl_s=0.5)
        guardian = guardian_of(first)
        for pid in (guardian, first.hello.pid):
            kill(pid, signal.SIGSTOP)
        time.sleep(0.7)
        second.lease_acquire("next")
        for pid in (guardian, first.hello.pid):
            kill(pid, signal.SIGCONT)
        time.sleep(0.5)
        assert "next" in (root / "lease").read_text()
        with pytest.raises(EdgekitError):
            first.lease_renew()
    assert not leased(root)


def test_lease_of_another_boot_is_void(root: Path) -> None:
    root.mkdir()
    far = time.clock_gettime_ns(time.CLOCK_BOOTTIME) + 10**12
    (root / "lease").write_text(f"edgekit-lease 1\nanother-boot\n{far}\ntoken\nsomebody\n")
    with agent(root) as client:
        client.lease_acquire("me")
    (root / "lease").write_text("nonsense")
    with agent(root) as client:
        client.lease_acquire("me")


@contextmanager
def _tmpfs(folder: Path, *options: str) -> Iterator[Path]:
    folder.mkdir(exist_ok=True)
    argv = ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(folder)]
    done = subprocess.run(argv, capture_output=True, timeout=10, check=False)
    if done.returncode:
        pytest.skip(f"cannot mount: {done.stderr.decode()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], timeout=10, check=True)


@needs_root
def test_full_disk(root: Path, tmp_path: Path) -> None:
    with agent(root) as client, _tmpfs(tmp_path / "small", "size=2m") as small:
        sent: list[int] = []
        with pytest.raises(DeviceFull):
            client.put(bytes(32 << 20), str(small / "big"), progress=lambda done, _: sent.append(done))
        assert sum(1 for _ in sent) < 128, "an early error ends the sending"
        assert names(small) == []
        client.put(bytes(1 << 20), str(small / "fits"))
        with pytest.raises(DeviceFull):
            client.write(str(small / "note"), bytes(3 << 20))
        assert names(small) == ["fits"]
        assert client.disk_space(str(small)).available_bytes <= 1 << 20
        client.ping()


@needs_root
def test_full_disk_under_root_changes_no_knob(tmp_path: Path) -> None:
    """The old value cannot be noted, so the new one is not written."""
    knob = tmp_path / "knob"
    knob.write_text("a\n")
    with _tmpfs(tmp_path / "small", "size=64k") as small, agent(small / "root") as client:
        filler = os.open(small / "filler", os.O_WRONLY | os.O_CREAT)
        with suppress(OSError):
            while os.write(filler, bytes(4096)):
                pass
        os.close(filler)
        with pytest.raises(DeviceFull):
            client.knob_set(str(knob), b"b" * 10000)
        with pytest.raises(DeviceFull):
            client.lease_acquire("me")
        assert knob.read_text() == "a\n"
        (small / "filler").unlink()
        client.lease_acquire("me")
        client.knob_set(str(knob), b"b")
    assert knob.read_text() == "a\n"


@needs_root
def test_read_only(root: Path, tmp_path: Path) -> None:
    with agent(root) as client, _tmpfs(tmp_path / "fixed", "ro") as fixed:
        for attempt in (
            lambda: client.put(b"x", str(fixed / "f")),
            lambda: client.write(str(fixed / "f"), b"x"),
            lambda: client.mkdir(str(fixed / "d")),
        ):
            with pytest.raises(DeviceReadOnly):
                attempt()
        assert client.disk_space(str(fixed)).read_only


def test_unusable_root(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(EdgekitError) as caught:
        AgentClient.start(open_stream(tmp_path / "file" / "root"), timeout=30)
    assert caught.value.code == "E_AGENT_START"
    assert "cannot use the folder" in caught.value.message
