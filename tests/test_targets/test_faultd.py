"""faultd breaks as it says, and else behaves like a device, seen with the real adb (demand A9)."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.targets.fault_device import FaultDevice
    from tests.targets.fixtures_adb import MakeFaulty

pytestmark = pytest.mark.android


def test_without_faults_it_is_a_device(make_faulty: MakeFaulty, adb_version: str, tmp_path: Path) -> None:
    device = make_faulty(version=adb_version)
    done = device.shell("id -u; cat; echo err >&2; exit 7", stdin=b"in")
    assert (done.returncode, done.stdout, done.stderr) == (7, b"2000\nin", b"err\n")
    (tmp_path / "source").write_bytes(os.urandom(300_001))
    _round_trip(device, tmp_path)


def _round_trip(device: FaultDevice, folder: Path) -> None:
    for command in (
        ["push", str(folder / "source"), "/data/local/tmp/f"],
        ["pull", "/data/local/tmp/f", str(folder / "back")],
    ):
        done = device.host.adb("-s", device.serial, *command)
        assert done.returncode == 0, done.stdout + done.stderr
    assert (folder / "back").read_bytes() == (folder / "source").read_bytes()


def test_old_dialect(make_faulty: MakeFaulty, adb_version: str, tmp_path: Path) -> None:
    """As the real adbd of that time: exit code lost, outputs in one, CRLF, no exec."""
    device = make_faulty(version=adb_version, old=True)
    done = device.shell("echo out; echo err >&2; exit 7")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"out\r\nerr\r\n", b"")
    refused = device.host.adb("-s", device.serial, "exec-out", "echo x")
    assert b"closed" in refused.stdout + refused.stderr
    (tmp_path / "source").write_bytes(os.urandom(30_001))
    _round_trip(device, tmp_path)


@pytest.mark.parametrize(
    ("command", "printed"),
    [
        (
            "i=0; while [ $i -lt 40 ]; do echo $i; i=$((i+1)); done",
            b"".join(b"%d\r\n" % i for i in range(40)),
        ),
        ("head -c 30000 /dev/zero | tr '\\0' a; echo end", b"a" * 30_000 + b"end\r\n"),
    ],
    ids=["lines", "packets"],
)
def test_a_terminals_output_is_whole(
    make_faulty: MakeFaulty, adb_version: str, command: str, printed: bytes
) -> None:
    """What a command prints last is still on its way when it ends; many times, as it is a matter of moments."""
    device = make_faulty(version=adb_version, old=True)
    outputs = [device.shell(command).stdout for _ in range(30)]
    assert [len(output) for output in outputs] == [len(printed)] * 30
    assert set(outputs) == {printed}


def test_a_terminal_takes_input(make_faulty: MakeFaulty, adb_version: str) -> None:
    device = make_faulty(version=adb_version, old=True)
    done = device.shell("read word; echo got $word", stdin=b"hello\n")
    assert done.stdout == b"hello\r\ngot hello\r\n", "its echo, and then the command"


@pytest.mark.parametrize("old", [False, True], ids=["shell_v2", "terminal"])
def test_a_command_ends_with_its_stream(make_faulty: MakeFaulty, old: bool) -> None:
    """As adbd does it, also to one that prints nothing."""
    device = make_faulty(old=old)
    with pytest.raises(subprocess.TimeoutExpired):
        device.shell("echo $$ >/data/local/tmp/pid; exec sleep 60", timeout=5.0)
    name = device.path("/data/local/tmp/pid").read_text("ascii").strip()
    process = device.path(f"/proc/{name}")
    device.host.poll_until(lambda: not process.exists(), f"{process} to end")


def test_exec_of_the_years_between(make_faulty: MakeFaulty) -> None:
    device = make_faulty(old=True, exec_service=True)
    data = bytes(range(256)) * 40
    device.path("/data/local/tmp/f").write_bytes(data)
    assert device.host.adb("-s", device.serial, "exec-out", "cat /data/local/tmp/f").stdout == data


def test_unauthorized(make_faulty: MakeFaulty, adb_version: str) -> None:
    device = make_faulty(version=adb_version, state="unauthorized")
    assert device.host.states()[device.serial] == "unauthorized"
    assert b"unauthorized" in device.shell("true").stderr


def test_silent_device_never_becomes_one(make_faulty: MakeFaulty) -> None:
    device = make_faulty(state="silent", connect=False)
    with pytest.raises(subprocess.TimeoutExpired):
        device.host.adb("connect", device.serial, timeout=1.0)
    assert device.host.states().get(device.serial) != "device"


def test_mute_device_is_there_and_answers_nothing(make_faulty: MakeFaulty) -> None:
    device = make_faulty(state="mute")
    assert device.host.states()[device.serial] == "device"
    with pytest.raises(subprocess.TimeoutExpired):
        device.shell("true", timeout=1.0)


@pytest.mark.parametrize("how", ["close", "reset", "garbage", "exit"])
def test_death_while_it_sends(make_faulty: MakeFaulty, how: str) -> None:
    device = make_faulty()
    device.fault(die_after_sent=100_000, how=how)
    done = device.shell("head -c 1000000 /dev/zero", timeout=20)
    assert len(done.stdout) < 100_000
    assert done.returncode != 0
    if how == "exit":
        device.host.poll_until(lambda: device.adbd_pid() is None, "faultd to end")


def test_half_packet_and_then_silence(make_faulty: MakeFaulty) -> None:
    device = make_faulty()
    device.fault(die_after_sent=10, how="hang")
    began = time.monotonic()
    with pytest.raises(subprocess.TimeoutExpired) as caught:
        device.shell("echo more than ten bytes of it", timeout=1.5)
    assert time.monotonic() - began >= 1.5
    assert not caught.value.stdout, "a packet of which a half came is not handed on"


def test_death_while_it_receives(make_faulty: MakeFaulty, tmp_path: Path) -> None:
    device = make_faulty()
    (tmp_path / "source").write_bytes(os.urandom(1_000_000))
    device.fault(die_after_received=300_000)
    push = ["push", str(tmp_path / "source"), "/data/local/tmp/f"]
    assert device.host.adb("-s", device.serial, *push).returncode != 0


def test_restart_after_death(make_faulty: MakeFaulty) -> None:
    device = make_faulty()
    device.fault(die_after_sent=0, how="exit")
    device.shell("echo x")
    device.fault_free_restart()
    device.reconnect()
    assert device.shell("exit 3").returncode == 3
