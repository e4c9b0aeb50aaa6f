"""board: one virtual arm64 board for the session, and a factory for tests that cut its power."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.targets.adb_host import AdbHost
    from tests.targets.board import Board

MakeBoard = Callable[..., "Board"]
BOARD_FIXTURES = frozenset({"board", "board_adb", "make_board"})


def group_board_tests(items: Sequence[pytest.Item]) -> None:
    """Mark tests that use the board, and ask xdist for one worker for them (`--dist loadgroup`): a board takes
    1 GB and 7 s. Where xdist does not heed it, each worker has its own board."""
    for item in items:
        if BOARD_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.board)
            item.add_marker(pytest.mark.xdist_group("board"))


@pytest.fixture(scope="session")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    """A running board, shared: leave it as you found it, and do not cut its power.
    `board.client.use(monkeypatch)` makes its key and known_hosts those of the test."""
    from tests.targets.board import Board

    shared = Board(tmp_path_factory.mktemp("board"))
    try:
        shared.start()
        yield shared
    finally:
        shared.close()


@pytest.fixture(scope="session")
def board_adb(board: Board, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AdbHost]:
    """An adb 36 server that knows the Android device inside the shared board (`board.adb_serial`)."""
    from tests.targets.adb_host import AdbHost

    host = AdbHost(tmp_path_factory.mktemp("board-adb") / "host", "36")
    try:
        host.start()
        host.connect_again_until(board.adb_serial, "device", timeout=30.0)
        yield host
    finally:
        host.close()


@pytest.fixture
def make_board(tmp_path: Path) -> Iterator[MakeBoard]:
    """make_board(cpu="cortex-a72", cpus=2, memory_mib=1024): a running board of this test only, with a disk of
    its own: kill it, boot it again."""
    from tests.targets.board import Board, BoardOptions

    boards: list[Board] = []

    def make(*, cpu: str = "cortex-a72", cpus: int = 2, memory_mib: int = 1024) -> Board:
        options = BoardOptions(cpu=cpu, cpus=cpus, memory_mib=memory_mib)
        made = Board(tmp_path / f"board-{len(boards)}", options=options)
        boards.append(made)
        made.start()
        return made

    yield make
    for made in boards:
        made.close()
