"""A4: a link that goes dark, without a word: everything under way is DeviceLost within 10 s, never a hang, and
never something that looks whole. And a slow, lossy link, which is not a lost one."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edgekit.errors import DeviceError, DeviceLost
from edgekit.transports import Transport, connect
from edgekit.transports.adb import reconnect
from tests.targets.fixtures_adb import ADB_VERSIONS, MakeAdbd
from tests.targets.fixtures_link import MakeLink
from tests.targets.fixtures_ssh import MakeSshd
from tests.targets.link import Link
from tests.timed import timed
from tests.transports.contract import MIB, in_thread, read_all

LIMIT_S = 10.0


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A file that no link here carries in time."""
    path = tmp_path / "large"
    with open(path, "wb") as file:
        file.truncate(16 << 30)
    return path


def all_at_once(transport: Transport, large: Path, remote: str) -> dict[str, Callable[[], object]]:
    """Streams idle and busy, a command, a file."""
    idle = transport.open(["cat"], timeout=10)
    stuck = transport.open(["sleep", "60"], timeout=10)
    flood = transport.open(["cat", "/dev/zero"], timeout=10)

    def read_flood() -> None:
        while flood.recv(MIB, 60):
            pass

    return {
        "idle recv": lambda: idle.recv(10, 60),
        "busy recv": read_flood,
        "send": lambda: stuck.send(bytes(256 * MIB)),
        "wait": lambda: stuck.wait(60),
        "run": lambda: transport.run(["sh", "-c", "echo part; sleep 60"], timeout=60),
        "put": lambda: transport.put(large, remote, mode=0o644, timeout=60),
    }


def lose(
    transport: Transport, large: Path, remote: str, blackhole: Callable[[], None], together: bool
) -> dict[str, float]:
    """Seconds until each call ended, after the link went dark. Fails where one did not end in DeviceLost."""
    calls = all_at_once(transport, large, remote)
    if not together:
        calls = {name: calls[name] for name in ("idle recv", "wait", "run")}
    work = {name: in_thread(call) for name, call in calls.items()}
    time.sleep(1.5)
    assert not any(result for _, result in work.values()), {name: r for name, (_, r) in work.items()}
    began = time.monotonic()
    blackhole()
    took = {}
    while len(took) < len(work) and time.monotonic() - began < 3 * LIMIT_S:
        for name, (thread, _) in work.items():
            if name not in took:
                thread.join(0.05)
                if not thread.is_alive():
                    took[name] = time.monotonic() - began
    assert took.keys() == work.keys(), took
    for name, (_, result) in work.items():
        assert isinstance(result[0], DeviceLost), (name, result)
        assert result[0].device == transport.address
    return took


@timed
@pytest.mark.parametrize("together", [False, True], ids=["idle", "busy"])
@pytest.mark.parametrize("how", ["blackhole", "cut"])
def test_ssh_over_a_dead_link(
    make_link: MakeLink, make_sshd: MakeSshd, large: Path, together: bool, how: str
) -> None:
    link: Link = make_link(delay_ms=2, rate_mbit=100)
    server = make_sshd(link=link)
    transport = connect(server.address, timeout=20)
    took = lose(transport, large, "file", getattr(link, how), together)
    assert max(took.values()) < LIMIT_S, took
    began = time.monotonic()
    with pytest.raises(DeviceError):
        connect(server.address, timeout=3)
    assert time.monotonic() - began < 20
    link.heal()
    again = connect(server.address, timeout=20)
    assert again.run(["echo", "back"], timeout=20).stdout == b"back\n"
    again.close()
    transport.close()


@timed
@pytest.mark.android
@pytest.mark.parametrize("together", [False, True], ids=["idle", "busy"])
@pytest.mark.parametrize("version", ADB_VERSIONS)
def test_adb_over_a_dead_link(
    make_link: MakeLink,
    make_adbd: MakeAdbd,
    large: Path,
    monkeypatch: pytest.MonkeyPatch,
    version: str,
    together: bool,
) -> None:
    link: Link = make_link(delay_ms=2, rate_mbit=100)
    device = make_adbd(link=link, version=version)
    device.host.use(monkeypatch)
    transport = connect(device.address, timeout=20)
    took = lose(transport, large, "/data/local/tmp/file", link.blackhole, together)
    assert max(took.values()) < LIMIT_S, took
    began = time.monotonic()
    with pytest.raises(DeviceLost):
        transport.run(["true"], timeout=30)
    with pytest.raises(DeviceLost):
        connect(device.address, timeout=30)
    assert time.monotonic() - began < 2 * LIMIT_S
    link.heal()
    reconnect(device.serial, timeout=20)
    assert transport.run(["echo", "back"], timeout=20).stdout == b"back\n"


def test_ssh_over_a_poor_link(make_link: MakeLink, make_sshd: MakeSshd) -> None:
    """40 ms, 8 Mbit/s, 2 % loss: slow is not lost, and bytes are whole."""
    server = make_sshd(link=make_link(delay_ms=20, rate_mbit=8, loss=0.02))
    transport = connect(server.address, timeout=30)
    _carry(transport, "file")
    transport.close()


@pytest.mark.android
def test_adb_over_a_poor_link(
    make_link: MakeLink, make_adbd: MakeAdbd, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = make_adbd(link=make_link(delay_ms=20, rate_mbit=8, loss=0.02))
    device.host.use(monkeypatch)
    _carry(connect(device.address, timeout=30), "/data/local/tmp/file")


def _carry(transport: Transport, remote: str) -> None:
    data = os.urandom(4 * MIB)
    stream = transport.open(["cat"], timeout=20)
    transport.put(data, remote, mode=0o644, timeout=120)
    assert transport.run(["cat", remote], timeout=120).stdout == data
    stream.send(b"alive")
    assert read_all(stream, 5) == b"alive"
    stream.close()
