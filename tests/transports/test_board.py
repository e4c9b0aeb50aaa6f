"""A4: both transports against a virtual arm64 board: another processor, another kernel, a slow one."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from edgekit.errors import DeviceError, DeviceLost
from edgekit.transports import Transport, connect
from tests.targets.adb_host import AdbHost
from tests.targets.board import Board
from tests.targets.fixtures_board import MakeBoard
from tests.timed import timed
from tests.transports.contract import MIB, StreamContract, in_thread


@pytest.fixture(scope="module")
def board_ssh(board: Board) -> Iterator[Transport]:
    with pytest.MonkeyPatch.context() as patch:
        board.client.use(patch)
        opened = connect(board.address, timeout=60)
    yield opened
    opened.close()


class TestSshToBoard(StreamContract):
    @pytest.fixture
    def transport(self, board_ssh: Transport) -> Transport:
        return board_ssh

    @pytest.fixture
    def folder(self, transport: Transport) -> Iterator[str]:
        name = f"/var/tmp/folder-{time.monotonic_ns()}"
        transport.run(["mkdir", "-p", name], timeout=20)
        yield name
        transport.run(["rm", "-rf", name], timeout=20)

    def test_it_is_arm64(self, transport: Transport) -> None:
        assert transport.run(["uname", "-m"], timeout=20).stdout == b"aarch64\n"


class TestAdbToBoard(StreamContract):
    @pytest.fixture
    def transport(self, board: Board, board_adb: AdbHost, monkeypatch: pytest.MonkeyPatch) -> Transport:
        board_adb.use(monkeypatch)
        return connect(f"adb:{board.adb_serial}", timeout=30)

    @pytest.fixture
    def folder(self, transport: Transport) -> Iterator[str]:
        name = f"/data/local/tmp/folder-{time.monotonic_ns()}"
        transport.run(["mkdir", name], timeout=20)
        yield name
        transport.run(["rm", "-rf", name], timeout=20)

    def test_it_is_arm64(self, transport: Transport) -> None:
        assert transport.run(["uname", "-m"], timeout=20).stdout == b"aarch64\n"


@timed
@pytest.mark.parametrize("how", ["freeze", "kill"])
def test_a_board_that_stops(make_board: MakeBoard, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """Power cut, or a system that hangs: streams, commands and files are lost within 10 s."""
    board = make_board()
    board.client.use(monkeypatch)
    transport = connect(board.address, timeout=60)
    idle = transport.open(["cat"], timeout=20)
    work = [
        in_thread(lambda: idle.recv(10, 60)),
        in_thread(lambda: transport.run(["sleep", "60"], timeout=60)),
        in_thread(lambda: transport.put(b"x" * (300 * MIB), "/var/tmp/f", mode=0o644, timeout=60)),
    ]
    time.sleep(2)
    began = time.monotonic()
    if how == "freeze":
        board.freeze()
    else:
        board.kill()
    for thread, _ in work:
        thread.join(15)
    took = time.monotonic() - began
    if how == "freeze":
        board.freeze(on=False)
    for _, result in work:
        assert isinstance(result[0], DeviceLost), result
    assert took < 10
    transport.close()
    if how == "kill":
        with pytest.raises(DeviceError):
            connect(board.address, timeout=5)
        board.boot_again()
        assert connect(board.address, timeout=60).run(["true"], timeout=20).exit_code == 0
