"""Every operation of the agent (A5), on every ABI: natively, and under qemu-user."""

from __future__ import annotations

import hashlib
import os
import stat
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from edgekit.agent import requests as rq
from edgekit.agent.client import AgentClient
from edgekit.agent.failures import EEXIST, EISDIR, ENOENT, RemoteFileError
from edgekit.agent.transfer import PutSpec
from edgekit.errors import (
    DeviceLost,
    DevicePermission,
    EdgekitError,
    InputError,
    RemoteError,
    VerificationError,
)
from tests.agent.starting import (
    ABIS,
    CHECKED,
    agent,
    alive,
    eventually,
    leased,
    names,
    processes_with,
    sanitized,
)


@pytest.fixture(scope="module", params=[*ABIS, CHECKED])
def client(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentClient]:
    folder = tmp_path_factory.mktemp("agent")
    with sanitized(folder), agent(folder / "root", request.param) as started:
        yield started


@pytest.fixture
def folder(client: AgentClient, tmp_path: Path) -> Path:
    return tmp_path


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_hello_says_who_and_where(client: AgentClient) -> None:
    hello = client.hello
    assert hello.sysname == "Linux"
    assert hello.boot_id == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert abs(hello.boottime_ns - time.clock_gettime_ns(time.CLOCK_BOOTTIME)) < 300e9
    assert Path(hello.root).is_dir()
    assert hello.root == str(Path(hello.root).resolve())
    assert hello.uid == os.getuid()
    assert hello.page_size_bytes >= 4096
    assert hello.cpus_online >= 1
    assert not hello.is_android
    if hello.abi == "x86_64":
        assert hello.loader == "/lib64/ld-linux-x86-64.so.2"
        assert hello.glibc == os.confstr("CS_GNU_LIBC_VERSION").split()[1]  # type: ignore[union-attr]


@pytest.mark.parametrize("size", [0, 1, 55, 56, 64, 262144, 262145, 3_000_001])
def test_put_and_get(client: AgentClient, folder: Path, size: int) -> None:
    data = os.urandom(size)
    target = folder / "file"
    seen: list[tuple[int, int]] = []
    client.put(data, str(target), mode=0o640, progress=lambda done, total: seen.append((done, total)))
    assert target.read_bytes() == data
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert names(folder) == ["file"]
    assert not size or seen[-1] == (size, size)
    found = client.stat(str(target), sha256=True)
    assert found is not None
    assert (found.sha256, found.size_bytes, found.is_file) == (sha(data), size, True)
    assert client.get(str(target)) == data
    assert client.get(str(target), offset=3, length=10) == data[3:13]
    client.get_file(str(target), folder / "back")
    assert (folder / "back").read_bytes() == data


def test_put_from_a_file(client: AgentClient, folder: Path) -> None:
    source = folder / "source"
    source.write_bytes(os.urandom(700_000))
    client.put(source, str(folder / "there"))
    assert (folder / "there").read_bytes() == source.read_bytes()


def test_put_replaces_only_when_whole(client: AgentClient, folder: Path) -> None:
    target = folder / "model"
    target.write_bytes(b"old")
    with pytest.raises(VerificationError) as caught:
        client.put(b"new", str(target), sha256=sha(b"other"))
    assert caught.value.code == "E_TRANSFER_HASH"
    assert target.read_bytes() == b"old"
    assert names(folder) == ["model"]


def test_put_that_cannot_begin_is_answered_early(client: AgentClient, folder: Path) -> None:
    sent: list[int] = []
    with pytest.raises(RemoteFileError) as caught:
        client.put(bytes(8 << 20), str(folder / "no" / "where"), progress=lambda done, _: sent.append(done))
    assert caught.value.errno == ENOENT
    client.ping()


def test_put_resumes(client: AgentClient, folder: Path) -> None:
    data = os.urandom(1_000_000)
    target = folder / "large"
    (folder / ".large.ek-tmp").write_bytes(data[:400_000] + b"more than was acknowledged")
    client.put(data, str(target), resume_from=400_000)
    assert target.read_bytes() == data
    (folder / ".large.ek-tmp").write_bytes(bytes(400_000))
    with pytest.raises(VerificationError):
        client.put(data, str(target), resume_from=400_000)
    assert names(folder) == ["large"]
    with pytest.raises(RemoteFileError):
        client.put(data, str(target), resume_from=400_000)


def test_put_many_then_batch_is_one_round_trip(client: AgentClient, folder: Path) -> None:
    before = client.round_trips
    specs = [PutSpec(source=bytes([i]) * 300_000, remote=str(folder / f"f{i}")) for i in range(5)]
    results = client.put_many(
        specs,
        then=[
            rq.rename(str(folder / "f0"), str(folder / "g")),
            rq.stat(str(folder / "g"), sha256=True),
            rq.write(str(folder / "current"), b"1\n"),
        ],
    )
    assert client.round_trips == before + 1
    assert results[1].sha256 == sha(bytes(300_000))
    assert names(folder) == ["current", "f1", "f2", "f3", "f4", "g"]


def test_batch_after_a_failed_put_does_not_run(client: AgentClient, folder: Path) -> None:
    specs = [
        PutSpec(source=b"bad", remote=str(folder / "bad"), sha256=sha(b"x")),
        PutSpec(source=b"good", remote=str(folder / "good")),
    ]
    with pytest.raises(VerificationError):
        client.put_many(specs, then=[rq.write(str(folder / "current"), b"1\n")])
    client.ping()
    assert names(folder) == ["good"]


def test_batch_stops_at_the_first_failure(client: AgentClient, folder: Path) -> None:
    with pytest.raises(RemoteFileError) as caught:
        client.batch(
            [
                rq.mkdir(str(folder / "a" / "b")),
                rq.stat(str(folder / "missing")),
                rq.chmod(str(folder / "missing"), 0o600),
                rq.mkdir(str(folder / "never")),
            ]
        )
    assert caught.value.errno == ENOENT
    assert (folder / "a" / "b").is_dir()
    assert not (folder / "never").exists()


def test_batch_answers_in_order(client: AgentClient, folder: Path) -> None:
    before = client.round_trips
    answers = client.batch(
        [
            rq.write(str(folder / "f"), b"content", mode=0o600),
            rq.stat(str(folder / "f"), sha256=True),
            rq.stat(str(folder / "nothing")),
            rq.read([str(folder / "f"), "/proc/self/comm"]),
            rq.list_dir(str(folder)),
            rq.disk_space(str(folder)),
        ]
    )
    assert client.round_trips == before + 1
    assert answers[1].sha256 == sha(b"content")
    assert stat.S_IMODE(answers[1].mode) == 0o600
    assert answers[2] is None
    assert answers[3][0].data == b"content"
    assert [e.name for e in answers[4]] == ["f"]
    assert answers[5].total_bytes == os.statvfs(folder).f_frsize * os.statvfs(folder).f_blocks
    assert not answers[5].read_only


def test_read_many(client: AgentClient, folder: Path) -> None:
    (folder / "big").write_bytes(b"x" * 10_000)
    os.mkfifo(folder / "fifo")
    names = ["/proc/sys/kernel/ostype", str(folder / "big"), "/nowhere", str(folder), str(folder / "fifo")]
    got = client.read(names, max_bytes=4096)
    assert got[0].text == "Linux\n"
    assert (got[1].truncated, len(got[1].data)) == (True, 4096)
    assert (got[2].errno, got[2].text) == (ENOENT, None)
    assert got[3].errno == EISDIR
    assert got[4].errno != 0


def test_folders(client: AgentClient, folder: Path) -> None:
    client.mkdir(str(folder / "a" / "b" / "c"))
    client.mkdir(str(folder / "a" / "b" / "c"))
    (folder / "file").write_bytes(b"")
    with pytest.raises(RemoteFileError) as caught:
        client.mkdir(str(folder / "file"))
    assert caught.value.errno == EEXIST
    client.rename(str(folder / "a"), str(folder / "z"))
    client.fsync(str(folder / "file"))
    client.fsync(str(folder))
    client.chmod(str(folder / "file"), 0o444)
    entries = {e.name: e for e in client.list_dir(str(folder))}
    assert entries["z"].is_dir
    assert stat.S_IMODE(entries["file"].mode) == 0o444


def test_remove_stays_inside_and_follows_no_link(client: AgentClient, folder: Path) -> None:
    precious = folder / "precious"
    precious.mkdir()
    (precious / "file").write_bytes(b"keep")
    tree = Path(client.root) / "tree"
    (tree / "deep" / "er").mkdir(parents=True)
    (tree / "link").symlink_to(precious)
    (tree / "deep" / "file").write_bytes(b"")
    with pytest.raises(DevicePermission):
        client.remove(str(precious), recursive=True)
    with pytest.raises(DevicePermission):
        client.remove(f"{client.root}/tree/link/../precious", recursive=True)
    with pytest.raises(RemoteFileError):
        client.remove(str(tree))
    client.remove(str(tree), recursive=True)
    client.remove(str(tree), recursive=True)
    assert not tree.exists()
    assert (precious / "file").read_bytes() == b"keep"
    client.remove(str(precious), recursive=True, inside_root=False)
    assert not precious.exists()
    with pytest.raises(DevicePermission):
        client.remove("/", recursive=True, inside_root=False)


def test_run(client: AgentClient, folder: Path) -> None:
    out: list[bytes] = []
    result = client.run(
        ["sh", "-c", 'echo "$A $B"; pwd; cat; echo bad >&2; exit 7'],
        env={"A": "a b", "B": None},
        cwd=str(folder),
        stdin=b"fed " * 50_000,
        on_stdout=out.append,
        deadline_s=30,
    )
    assert (result.exit_code, result.signal, result.timed_out) == (7, None, False)
    assert result.stdout == f"a b \n{folder}\n".encode() + b"fed " * 50_000
    assert b"".join(out) == result.stdout
    assert result.stderr == b"bad\n"
    assert result.wall_ns > 0
    assert result.max_rss_bytes > 0
    assert result.minor_faults > 0


def test_many_commands_at_once(client: AgentClient) -> None:
    """D1.3: 64 streams of one measurement; each ends with its own code and its own output."""
    running = [
        client.start_run(["sh", "-c", f"sleep 0.5; echo {n}; exit {n}"], deadline_s=120) for n in range(64)
    ]
    ended = [one.wait() for one in running]
    assert [one.exit_code for one in ended] == list(range(64))
    assert [int(one.stdout) for one in ended] == list(range(64))


def test_run_output_is_bounded_but_all_is_seen(client: AgentClient) -> None:
    seen = 0

    def count(data: bytes) -> None:
        nonlocal seen
        seen += len(data)

    result = client.run(["head", "-c", "5000000", "/dev/zero"], on_stdout=count, keep_bytes=1000)
    assert (seen, len(result.stdout), result.truncated) == (5_000_000, 1000, True)


def test_run_of_nothing(client: AgentClient, folder: Path) -> None:
    with pytest.raises(RemoteError) as caught:
        client.run([str(folder / "nothing")])
    assert caught.value.status == 127
    (folder / "plain").write_bytes(b"text")
    with pytest.raises(DevicePermission):
        client.run([str(folder / "plain")])
    with pytest.raises(RemoteError):
        client.run(["true"], cwd=str(folder / "nothing"))
    with pytest.raises(InputError):
        client.run(["a\0b"])


def test_run_deadline_ends_the_whole_group(client: AgentClient) -> None:
    began = time.monotonic()
    stubborn = f"trap '' TERM; sleep 4711.{os.getpid()} & sleep 4711.{os.getpid()} & wait; wait; wait"
    result = client.run(["sh", "-c", stubborn], deadline_s=0.3)
    assert result.timed_out
    assert result.signal == 9
    assert 1.2 < time.monotonic() - began < 60
    assert eventually(lambda: not processes_with(f"4711.{os.getpid()}"))


def test_run_ends_what_the_child_left_behind(client: AgentClient) -> None:
    result = client.run(["sh", "-c", f"sleep 4712.{os.getpid()} & echo started"])
    assert (result.exit_code, result.stdout) == (0, b"started\n")
    assert eventually(lambda: not processes_with(f"4712.{os.getpid()}"))


def test_run_cancel(client: AgentClient) -> None:
    with client.start_run(["sleep", f"4713.{os.getpid()}"]) as running:
        pid = running.started(10)
        assert alive(pid)
        running.cancel()
        result = running.wait()
    assert (result.cancelled, result.signal) == (True, 15)
    with client.start_run(["sleep", f"4713.{os.getpid()}"]) as running:
        running.started(10)
    assert eventually(lambda: not processes_with(f"4713.{os.getpid()}"))


def test_run_cpus_and_nice(client: AgentClient) -> None:
    if client.hello.abi == "x86_64":
        result = client.run(["cat", "/proc/self/status", "/proc/self/stat"], cpus=[0], nice=7)
        assert b"Cpus_allowed_list:\t0\n" in result.stdout
        assert result.stdout.rsplit(b")", 1)[1].split()[16] == b"7"
    with pytest.raises(RemoteError):
        client.run(["true"], cpus=[1000])


def test_runs_side_by_side(client: AgentClient, folder: Path) -> None:
    wait = f"until [ -e {folder}/go ]; do sleep 0.05; done"
    runs = [client.start_run(["sh", "-c", f"{wait}; echo {i}"], deadline_s=100) for i in range(6)]
    assert len({run.started(60) for run in runs}) == 6, "each is there before any may end"
    (folder / "go").touch()
    assert [r.wait().stdout for r in runs] == [f"{i}\n".encode() for i in range(6)]


def test_sample(client: AgentClient, folder: Path) -> None:
    changing = folder / "temp"
    changing.write_text("41000\n")
    with client.sample([str(changing), "/nowhere", "/proc/uptime"], period_ms=20, count=5) as sampling:
        samples = list(sampling)
    assert len(samples) == 5
    assert samples[0].files[0].text == "41000\n"
    assert samples[0].files[1].errno == ENOENT
    assert samples[0].files[2].data
    times = [s.monotonic_raw_ns for s in samples]
    assert 70e6 < times[-1] - times[0] < 60e9
    assert all(0 < s.cost_ns < 30e9 for s in samples)
    assert all(b.boottime_ns > a.boottime_ns for a, b in pairwise(samples))


def test_sample_until_stopped_during_a_run(client: AgentClient) -> None:
    began = time.monotonic()
    sampling = client.sample(["/proc/loadavg"], period_ms=10)
    client.run(["sleep", "1"])
    samples = sampling.stop()
    assert 5 < len(samples) < (time.monotonic() - began) / 0.010 + 10
    assert sampling.stop() == []


def test_knobs(client: AgentClient, folder: Path) -> None:
    governor, other = folder / "scaling_governor", folder / "other"
    governor.write_text("schedutil\n")
    other.write_text("[a] b\n")
    journal = Path(client.root) / "knobs.journal"
    change = client.knob_set(str(governor), b"performance")
    assert (change.old, change.actual) == (b"schedutil\n", b"performance")
    assert b"schedutil\n".hex() in journal.read_text()
    client.knob_set(str(governor), b"powersave")
    client.knob_set(str(other), b"b", restore=b"a")
    restored = client.knob_restore()
    assert [r.path for r in restored] == [str(other), str(governor), str(governor)]
    assert [r.errno for r in restored] == [0, 0, 0]
    assert (governor.read_text(), other.read_text()) == ("schedutil\n", "a")
    assert not journal.exists()
    assert client.knob_restore() == ()
    with pytest.raises(EdgekitError):
        client.knob_set(str(folder / "none"), b"1")
    with pytest.raises(RemoteError):
        client.knob_set("relative", b"1")


def test_lease(client: AgentClient) -> None:
    lease = client.lease_acquire("host a, pid 1\nand more", ttl_s=20)
    again = client.lease_renew()
    assert again.token == lease.token
    assert again.expires_boottime_ns >= lease.expires_boottime_ns
    text = (Path(client.root) / "lease").read_text()
    assert "host a, pid 1 and more" in text
    client.lease_release()
    assert not leased(Path(client.root))
    with pytest.raises(EdgekitError):
        client.lease_renew()


def test_job_goes_on_by_itself(client: AgentClient) -> None:
    name = f"job-{client.hello.abi}"
    folder = Path(
        client.job_start(name, ["sh", "-c", "echo out; echo err >&2; sleep 0.2; exit 5"], deadline_s=30)
    )
    with pytest.raises(RemoteFileError):
        client.job_start(name, ["true"])
    assert eventually(lambda: client.job_status(name).state == "done")
    status = client.job_status(name)
    assert (status.exit_code, status.signal, status.timed_out) == (5, None, False)
    assert (folder / "stdout").read_bytes() == b"out\n"
    assert (folder / "stderr").read_bytes() == b"err\n"
    assert status.wall_ns is not None
    assert status.wall_ns > 200e6
    assert name in client.job_list()


def test_job_deadline_and_kill(client: AgentClient) -> None:
    late, killed = f"late-{client.hello.abi}", f"killed-{client.hello.abi}"
    client.job_start(late, ["sleep", f"4714.{os.getpid()}"], deadline_s=0.3)
    stubborn = f"trap '' TERM; echo ready; sleep 4714.{os.getpid()}; sleep 4714.{os.getpid()}"
    folder = Path(client.job_start(killed, ["sh", "-c", stubborn]))
    assert eventually(lambda: (folder / "stdout").read_bytes() == b"ready\n")
    client.job_kill(killed)
    assert eventually(lambda: client.job_status(late).state == "done")
    assert eventually(lambda: client.job_status(killed).state == "done")
    assert client.job_status(late).timed_out
    assert (client.job_status(killed).cancelled, client.job_status(killed).signal) == (True, 9)
    assert eventually(lambda: not processes_with(f"4714.{os.getpid()}"))
    with pytest.raises(RemoteError):
        client.job_start(f"none-{client.hello.abi}", ["/no/such/program"])
    with pytest.raises(RemoteFileError):
        client.job_start("../escape", ["true"])


def test_many_threads_share_one_client(client: AgentClient, folder: Path) -> None:
    wrong: list[object] = []

    def work(number: int) -> None:
        data = bytes([number]) * 50_000
        for turn in range(5):
            name = str(folder / f"t{number}-{turn}")
            client.put(data, name)
            found = client.stat(name, sha256=True)
            if found is None or found.sha256 != sha(data) or client.get(name) != data:
                wrong.append((number, turn))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong
    assert len(names(folder)) == 40


def test_paths_that_are_none(client: AgentClient) -> None:
    for path in ("", "a\0b"):
        with pytest.raises(InputError):
            client.stat(path)
    with pytest.raises(RemoteFileError):
        client.put(b"", "/" + "x" * 300)
    name = "umlaut-\u00e4\u2603 space'quote\"$(x)"
    client.write(f"{client.root}/{name}", b"1")
    assert name in [e.name for e in client.list_dir(client.root)]


def test_closed_client_says_so(tmp_path: Path) -> None:
    with agent(tmp_path / "root") as own:
        pass
    with pytest.raises(DeviceLost):
        own.ping()
    own.close()
