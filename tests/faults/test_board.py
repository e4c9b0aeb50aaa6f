"""A board whose power is cut in the middle of a push, and whose clock jumps: what its disk kept is judged (C1-b2)."""

from __future__ import annotations

import io
import random
import shutil
import tarfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from edgekit.agent import link
from edgekit.devices import Device, resolve
from edgekit.devices.opening import open_transport
from tests.faults import state
from tests.faults.cases import CASES, NAME, Case, Models, opened, push
from tests.faults.cutting import Cut, Wire
from tests.faults.phases import Seen
from tests.faults.table import LONG, Place, Tally, act
from tests.targets.board import Board
from tests.targets.fixtures_board import MakeBoard

CASE = CASES["update"]
ROOT = "/root/faults/device-board"
CUTS = 10 if LONG else 2
SEED = 50


class Powered:
    """A board, its store read by its own tar, never by edgekit."""

    def __init__(self, board: Board, folder: Path) -> None:
        self.board = board
        self.folder = folder
        self.models = Models(folder / "host")
        self._copies = 0

    def place(self) -> Place:
        """The store as it is now; nothing runs there meanwhile."""
        self._copies += 1
        path = self.folder / f"copy-{self._copies}"
        path.mkdir()
        data = self.board.run(f"cd {ROOT} && tar -cf - --exclude=./agent --exclude=./runtimes .")
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            archive.extractall(path, filter="data")
        return Place(
            ROOT, path, lambda: open_transport(resolve(self.board.address), 60.0), self.reopen, 30_000
        )

    def reopen(self) -> Device:
        return opened(ROOT, self.board.address)

    def reset(self) -> None:
        """Only version 1, active. The agent stays."""
        self.board.run(f"cd {ROOT} && rm -rf models failed journal")
        with self.reopen() as device:
            push(self.models, device, "1")
        self.board.run("sync")

    def judge(self, expected: set[str | None]) -> str:
        place = self.place()
        found = state.read_store(place.path, NAME)
        assert not found.problems(), found
        assert found.current in expected, found
        shutil.rmtree(place.path)
        return str(found.current)


@pytest.fixture
def powered(make_board: MakeBoard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Powered:
    board = make_board()
    board.client.use(monkeypatch)
    monkeypatch.setenv("EDGEKIT_CACHE_DIR", str(tmp_path / "cache"))
    powered = Powered(board, tmp_path)
    powered.reopen().close()
    board.run("sync")
    return powered


def learn_there(powered: Powered, case: Case) -> list[Seen]:
    powered.reset()
    wire = Wire()
    assert act(case, powered.models, powered.place(), wire) is None
    return list(wire.seen)


def moments(seen: list[Seen], count: int) -> list[tuple[str, Cut, float]]:
    """In the middle of the file; behind the last batch, at once and a little later, while the board works on it."""
    to = [each for each in seen if each.direction == "to"]
    put = [n + 1 for n, each in enumerate(to) if each.phase == "put"]
    complete = [n + 1 for n, each in enumerate(to) if each.phase == "complete"]
    dice = random.Random(SEED)
    found = [("put", Cut("to", put[-1], "event"), 0.0), ("complete", Cut("to", complete[0], "event"), 0.0)]
    while len(found) < count:
        late = dice.random() * 0.6
        found.append(("complete", Cut("to", complete[0], "event"), late))
        if len(found) < count and len(found) % 3 == 0:
            found.append(("put", Cut("to", dice.choice(put), "event"), late))
    return found


@pytest.mark.timeout(3000 if LONG else 500)
def test_power_cut(powered: Powered) -> None:
    """The disk survives, with what was flushed; the next push after the boot goes well."""
    seen = learn_there(powered, CASE)
    tally = Tally("board", CASE.name, "power cut")
    for phase, cut, late in moments(seen, CUTS):
        began = time.monotonic()
        powered.reset()
        wire = Wire(cut, _after(late, powered.board.kill))
        place = powered.place()
        code = act(CASE, powered.models, place, wire)
        assert wire.fired == phase
        _ended(wire)
        powered.board.boot_again()
        kept = powered.judge({"1", "2"})
        with powered.reopen() as device:
            push(powered.models, device, "2")
        assert powered.judge({"2"}) == "2"
        assert not state.read_store(powered.place().path, NAME).strays
        gone = (
            f"for i in $(seq 60); do pgrep -f [/]{ROOT[1:]} || exit 0; sleep 0.5; done >/dev/null; echo left"
        )
        assert not powered.board.run(gone).strip()
        tally.add(phase, "new" if kept == "2" else "old")
        tally.errors[code or "none"] += 1
        tally.seconds += time.monotonic() - began
    tally.require({"put", "complete"})
    tally.keep()


_TIMERS: list[threading.Timer] = []


def _after(seconds: float, call: Callable[[], None]) -> Callable[[], object]:
    """At once, or from a thread of its own, so that the push goes on until then."""
    if not seconds:
        return call

    def start() -> None:
        _TIMERS.append(threading.Timer(seconds, call))
        _TIMERS[-1].start()

    return start


def _ended(wire: Wire) -> None:
    while _TIMERS:
        _TIMERS.pop().join(30.0)
    wire.free()


@pytest.mark.timeout(500)
def test_the_clock_jumps_in_the_middle(powered: Powered, monkeypatch: pytest.MonkeyPatch) -> None:
    """Years ahead and back, at the lease, in the file and behind the last batch: nobody notices, and the lease of
    one who died runs out in its time."""
    monkeypatch.setattr(link, "SILENCE_S", 20.0)
    seen = learn_there(powered, CASE)
    to = [each.phase for each in seen if each.direction == "to"]
    tally = Tally("board", CASE.name, "clock jump")
    jumps = [("lease", "2038-01-01"), ("put", "1999-01-01"), ("complete", "2036-05-05")]
    for phase, date in jumps if LONG else jumps[1:]:
        powered.reset()
        wire = Wire(Cut("to", to.index(phase) + 1, "event"), partial(_set_clock, powered, date))
        assert act(CASE, powered.models, powered.place(), wire) is None
        assert wire.fired == phase
        tally.add(phase, "new")
        assert powered.judge({"2"}) == "2"
    tally.keep()
    year = powered.board.run("date +%Y").decode().strip()
    assert year == "2036"


def _set_clock(powered: Powered, date: str) -> None:
    powered.board.run(f"date -s '{date} 00:00:00'")
