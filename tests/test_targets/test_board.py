"""The virtual arm64 board does what it says, seen with the real ssh and adb (demand A9)."""

from __future__ import annotations

import socket
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from tests.timed import timed

if TYPE_CHECKING:
    from tests.targets.adb_host import AdbHost
    from tests.targets.board import Board
    from tests.targets.fixtures_board import MakeBoard

FREE_BYTES = 600 << 20


def test_is_arm64_with_its_own_kernel_and_proc(board: Board) -> None:
    assert board.run("uname -m; hostname").split() == [b"aarch64", b"board"]
    assert b"0xd08" in board.run("cat /proc/cpuinfo")
    memory_kib = int(board.run("cat /proc/meminfo").split()[1])
    assert 800_000 < memory_kib < 1_048_576
    assert board.run("cat /proc/device-tree/model").rstrip(b"\0") == b"linux,dummy-virt"


def test_has_python_and_room(board: Board) -> None:
    assert board.run("python3 -c 'import json, struct; print(json.dumps([1]))'") == b"[1]\n"
    free = int(board.run("df -B1 --output=avail / | tail -1"))
    assert free >= FREE_BYTES


def test_user_who_is_not_root(board: Board) -> None:
    argv = ["ssh", "-p", str(board.port), "pi@127.0.0.1", "id -un; pwd; touch here && rm here; touch /x"]
    done = subprocess.run(argv, capture_output=True, timeout=60, check=False, env=board.client.full_env)
    assert done.stdout == b"pi\n/home/pi\n"
    assert b"Permission denied" in done.stderr


def test_cannot_reach_this_host(board: Board) -> None:
    """10.0.2.2 would be this host's loopback to a board that is not fenced in."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        port = server.getsockname()[1]
        probe = f"import socket; socket.create_connection(('10.0.2.2', {port}), 2)"
        with pytest.raises(RuntimeError, match=r"timed out|unreachable|refused"):
            board.run(f'python3 -c "{probe}"')
        with pytest.raises(TimeoutError):
            server.accept()


def test_has_netem(board: Board) -> None:
    board.run("modprobe sch_netem && tc qdisc add dev lo root netem delay 1ms && tc qdisc del dev lo root")


def test_android_device_inside(board: Board, board_adb: AdbHost) -> None:
    done = board_adb.adb(
        "-s", board.adb_serial, "shell", "uname -m; id -u; getprop ro.product.cpu.abi; exit 5"
    )
    assert (done.returncode, done.stdout.split()) == (5, [b"aarch64", b"2000", b"arm64-v8a"])
    refused = board_adb.adb("-s", board.adb_serial, "shell", "touch /x")
    assert b"Read-only file system" in refused.stderr


def test_adbd_inside_comes_back_when_killed(board: Board, board_adb: AdbHost) -> None:
    board.run("pkill -9 -x adbd")

    board_adb.disconnect(board.adb_serial)
    board_adb.connect_again_until(board.adb_serial)
    assert board_adb.adb("-s", board.adb_serial, "shell", "exit 4").returncode == 4


def test_power_cut_keeps_what_was_flushed_and_boots_again(make_board: MakeBoard) -> None:
    board = make_board(cpu="cortex-a53")
    assert b"0xd03" in board.run("cat /proc/cpuinfo")
    boot_id = board.run("cat /proc/sys/kernel/random/boot_id")
    board.run("echo flushed > /root/flushed && sync")
    board.run("echo lost > /root/lost")
    board.kill()
    board.boot_again()
    assert board.run("cat /root/flushed") == b"flushed\n"
    assert board.run("cat /root/lost 2>/dev/null; true") != b"lost\n"
    assert board.run("cat /proc/sys/kernel/random/boot_id") != boot_id


@timed
def test_boots_fast(make_board: MakeBoard) -> None:
    """Promised: 15 s from a finished image; asserted with a threefold margin."""
    began = time.monotonic()
    make_board()
    assert time.monotonic() - began < 45
