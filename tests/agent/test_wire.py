"""Hostile and broken input to the agent: it answers, or it ends with exit code 3; it never crashes (A5)."""

from __future__ import annotations

import os
import shutil
import signal
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from edgekit.agent.client import AgentClient
from edgekit.agent.failures import EINVAL
from edgekit.agent.protocol import Packer, Type, Unpacker, pack_frame
from edgekit.errors import EdgekitError
from edgekit.transports.base import Stream
from edgekit.transports.local import LocalTransport
from tests.agent.raw import raw
from tests.agent.starting import (
    CHECKED,
    built,
    each_build,
    eventually,
    native_abi,
    open_stream,
    processes_with,
)

REQUESTS = [t for t in Type if t < Type.RESULT]


@pytest.fixture(scope="module")
def jail(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with nothing but the agent: whatever random requests do, they do it there."""
    if os.getuid() != 0:
        pytest.skip("chroot needs root")
    folder = tmp_path_factory.mktemp("jail")
    shutil.copy(built(native_abi()), folder / "edgekit-agent")
    folder.chmod(0o755)
    (folder / "root").mkdir()
    (folder / "root").chmod(0o777)
    return folder


def jailed(jail: Path) -> Stream:
    argv = ["chroot", "--userspec=65534:65534", str(jail), "/edgekit-agent"]
    return LocalTransport().open([*argv, "serve", "--root", "/root", "--silence-ms", "5000"], timeout=10)


FUZZ = settings(
    max_examples=80,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # shrinking would start thousands of agents
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

_numbers = st.one_of(st.integers(0, 8), st.integers(0, 2**32 - 1))
_field = st.one_of(
    st.builds(lambda n: struct.pack("<I", n), _numbers),
    st.builds(lambda n: struct.pack("<Q", n), st.integers(0, 2**64 - 1)),
    st.builds(lambda b: struct.pack("<I", len(b)) + b, st.binary(max_size=40)),
    st.sampled_from([b"/root/x", b"x", b"/root/../x", b"lease", b"."]).map(
        lambda b: struct.pack("<I", len(b)) + b
    ),
    st.binary(max_size=12),
)
_payload = st.lists(_field, max_size=8).map(b"".join)
_frame = st.builds(pack_frame, st.sampled_from(REQUESTS), st.integers(0, 5), _payload)


@FUZZ
@given(frames=st.lists(_frame, min_size=1, max_size=8))
def test_any_fields_in_any_request(jail: Path, frames: list[bytes]) -> None:
    with raw(jailed(jail)) as agent:
        try:
            for frame in frames:
                agent.stream.send(frame)
        except EdgekitError:
            pass  # it has ended already
        agent.lives()


@FUZZ
@given(noise=st.binary(min_size=9, max_size=400))
def test_any_bytes(jail: Path, noise: bytes) -> None:
    with raw(jailed(jail)) as agent:
        try:
            agent.stream.send(noise)
            agent.stream.close_stdin()
        except EdgekitError:
            pass
        assert agent.stream.wait(30) in (0, 3)


@pytest.fixture(params=["", CHECKED], ids=["release", CHECKED])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    with each_build(request.param, tmp_path):
        yield tmp_path / "root"


def test_frame_length_is_capped(root: Path) -> None:
    with raw(open_stream(root)) as agent:
        agent.stream.send(struct.pack("<IIB", (16 << 20) + 1, 1, Type.STAT))
        assert agent.stream.wait(30) == 3
        assert "longer than 16 MiB" in agent.stream.stderr_tail()


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        (Type.STAT, b""),
        (Type.STAT, Packer().text("/").done()),
        (Type.STAT, Packer().text("/").u8(0).u8(0).done()),
        (Type.WRITE, Packer().text("/x").u32(0).u32(1 << 31).done()),
        (Type.READ, Packer().u32(10).u32(0xFFFFFFFF).done()),
        (Type.RUN, Packer().texts(["true"]).done()),
        (Type.BATCH, Packer().u32(0).u32(5).done()),
        (Type.BATCH, Packer().u32(0).u32(1).u8(Type.PUT).blob(b"").done()),
        (Type.BATCH, Packer().u32(0xFFFFFFFF).done()),
        (Type.REMOVE, Packer().text("/tmp/nothing").done()),
        (0x7F, b""),
        (0x80, b""),
    ],
)
def test_malformed_request_ends_the_agent(root: Path, kind: int, payload: bytes) -> None:
    with raw(open_stream(root)) as agent:
        agent.stream.send(pack_frame(kind, 1, payload))
        assert agent.stream.wait(30) == 3
        assert "malformed frame" in agent.stream.stderr_tail()


def test_batch_with_a_malformed_item_does_nothing_of_it(root: Path, tmp_path: Path) -> None:
    made = Packer().text(str(tmp_path / "made")).u32(0o755).done()
    batch = Packer().u32(0).u32(2).u8(Type.MKDIR).blob(made).u8(0x7F).blob(b"").done()
    with raw(open_stream(root)) as agent:
        agent.stream.send(pack_frame(Type.BATCH, 1, batch))
        assert not agent.lives()
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("kind", [Type.STAT, Type.GET, Type.PUT, Type.RUN, Type.SAMPLE])
def test_nul_in_a_path_is_refused(root: Path, kind: Type) -> None:
    payloads = {
        Type.STAT: Packer().text("/tmp\0/x").u8(0),
        Type.GET: Packer().text("/etc/hostname\0").u64(0).u64(9),
        Type.PUT: Packer().text("a\0b").u32(0o644).u64(0).u64(0).raw(bytes(32)).u8(0).u8(0).text("").u32(0),
        Type.RUN: Packer().texts(["true\0"]).texts([]).text("").blob(b"").u8(0).u32(0).u32(0).blob(b""),
        Type.SAMPLE: Packer().u32(10).u64(1).u32(100).texts(["/proc/\0uptime"]),
    }
    with raw(open_stream(root)) as agent:
        agent.stream.send(pack_frame(kind, 9, payloads[kind].done()))
        frame = agent.until(Type.ERROR, 9)
        assert frame is not None
        assert Unpacker(frame.payload).u32() == EINVAL
        assert agent.lives()


def test_data_of_a_put_that_is_too_long(root: Path, tmp_path: Path) -> None:
    head = (
        Packer()
        .text(str(tmp_path / "f"))
        .u32(0o644)
        .u64(10)
        .u64(0)
        .raw(bytes(32))
        .u8(0)
        .u8(0)
        .text("")
        .u32(0)
        .done()
    )
    with raw(open_stream(root)) as agent:
        agent.stream.send(pack_frame(Type.PUT, 1, head) + pack_frame(Type.DATA, 1, bytes(11)))
        assert agent.until(Type.ERROR, 1) is not None
        agent.stream.send(pack_frame(Type.DATA, 1, bytes(1000)) + pack_frame(Type.DATA, 77, bytes(1000)))
        assert agent.lives()
    assert not (tmp_path / "f").exists()
    assert not list(tmp_path.glob(".f*"))


def test_stream_that_ends_in_the_middle_of_a_put_leaves_nothing(root: Path, tmp_path: Path) -> None:
    for flags, left in ((0, 0), (1, 1)):
        head = Packer().text(str(tmp_path / "f")).u32(0o644).u64(100).u64(0).raw(bytes(32)).u8(flags).u8(0)
        head.text("").u32(0)
        with raw(open_stream(root)) as agent:
            agent.stream.send(pack_frame(Type.PUT, 1, head.done()) + pack_frame(Type.DATA, 1, bytes(60)))
            assert agent.lives()
            agent.stream.close_stdin()
            assert agent.stream.wait(30) == 0
        assert len(list(tmp_path.glob(".f.ek-tmp"))) == left


def test_frames_that_arrive_byte_by_byte(root: Path) -> None:
    with raw(open_stream(root)) as agent:
        for byte in pack_frame(Type.STAT, 3, Packer().text("/").u8(0).done()):
            agent.stream.send(bytes([byte]))
        assert agent.until(Type.RESULT, 3) is not None


def test_a_report_of_the_sanitizers_fails_the_test(tmp_path: Path) -> None:
    """The build with sanitizers does report: here, that it was ended by SIGSEGV."""
    with pytest.raises(AssertionError, match="AddressSanitizer"):
        _end_by_a_fault(tmp_path)


def _end_by_a_fault(folder: Path) -> None:
    with each_build(CHECKED, folder), raw(open_stream(folder / "root")) as agent:
        assert eventually(lambda: len(_agents(folder)) == 1)  # the guardian has its name a moment later
        (pid,) = _agents(folder)
        os.kill(pid, signal.SIGSEGV)
        if agent.stream.wait(30) != 99:
            raise RuntimeError("the sanitizer did not end it")


def _agents(folder: Path) -> list[int]:
    found = []
    for pid in processes_with(str(folder)):
        with suppress(OSError):  # gone meanwhile
            if Path(f"/proc/{pid}/comm").read_text().strip() != "ek-guardian":
                found.append(pid)
    return found


def test_too_many_at_once_is_an_answer(root: Path) -> None:
    mark = f"4740.{os.getpid()}"
    with raw(open_stream(root)) as agent:
        launch = Packer().texts(["sleep", mark]).texts([]).text("").blob(b"").u8(0).u32(0)
        run = launch.u32(0).blob(b"").done()
        for number in range(1, 104):  # 96 may run at once
            agent.stream.send(pack_frame(Type.RUN, number, run))
        assert agent.until(Type.ERROR, 103) is not None
        assert agent.lives()
    assert eventually(lambda: not processes_with(mark))


def test_noise_of_a_login_script_is_skipped(root: Path) -> None:
    agent = f"{built(native_abi())} serve --root {root} --silence-ms 5000"
    script = f"echo Welcome; head -c 50000 /dev/urandom; exec {agent}"
    with AgentClient.start(LocalTransport().open(["sh", "-c", script], timeout=5), timeout=10) as client:
        client.ping()


@pytest.mark.parametrize(
    ("script", "status", "said"),
    [
        ("echo 'no such thing' >&2; exit 127", 127, "no such thing"),
        ("exec cat /dev/zero", None, "did not answer"),
        ("echo hello; exit 0", 0, "hello"),
        ("echo slow; sleep 30", None, "did not answer"),
    ],
)
def test_what_is_not_the_agent(script: str, status: int | None, said: str) -> None:
    stream = LocalTransport().open(["sh", "-c", script], timeout=5)
    with pytest.raises(EdgekitError) as caught:
        AgentClient.start(stream, timeout=1 if status is None else 30, device="test:")
    assert caught.value.code == "E_AGENT_START"
    assert getattr(caught.value, "status") == status  # noqa: B009
    assert said in caught.value.message
    assert caught.value.device == "test:"
