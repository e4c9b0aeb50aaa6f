"""The same table over a real sshd and a real adbd: the update at every frame, the rest sampled (C1-b2)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.faults.cases import CASES, Case
from tests.faults.cutting import Cut, How
from tests.faults.ground import soon_lost
from tests.faults.remote import Grounds, of_adbd, of_sshd
from tests.faults.table import LONG, Tally, boundaries, inside, learn, one_in_each_phase, run_cut

__all__ = ["soon_lost"]

SEED = 30
OTHERS = ("patch", "repair", "rollback", "remove all", "recovery, unnamed")


@pytest.fixture(params=["ssh", pytest.param("adb", marks=pytest.mark.android)])
def grounds(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Grounds:
    if request.param == "ssh":
        remote = of_sshd(request.getfixturevalue("make_sshd")())
    else:
        device: Any = request.getfixturevalue("make_adbd")()
        device.host.use(monkeypatch)
        remote = of_adbd(device)
    monkeypatch.setenv("EDGEKIT_CACHE_DIR", str(tmp_path / "cache"))
    return Grounds(remote, tmp_path / "grounds")


def cut_all(grounds: Grounds, case: Case, cuts: list[Cut], how: str) -> None:
    tally = Tally(grounds.remote.kind, case.name, how)
    for cut in cuts:
        run_cut(case, grounds.models, grounds.place(case), cut, tally)
    tally.require(case.phases)
    assert tally.not_reached <= 1 + len(cuts) // 10, tally
    tally.keep()


@pytest.mark.timeout(3000 if LONG else 300)
@pytest.mark.parametrize("how", ["closed", "agent killed"])
def test_update_cut_at_every_frame(grounds: Grounds, how: How) -> None:
    case = CASES["update"]
    every = boundaries(seen := learn(case, grounds.models, grounds.place(case)), how)
    cuts = every if LONG or how == "closed" else one_in_each_phase(every, seen, SEED)
    cut_all(grounds, case, cuts + inside(seen, how, 40 if LONG else 3, SEED), how)


@pytest.mark.timeout(3000 if LONG else 300)
@pytest.mark.parametrize("name", [name for name in CASES if name != "update"] if LONG else OTHERS)
def test_others_cut_in_each_phase(grounds: Grounds, name: str) -> None:
    case = CASES[name]
    learn(case, grounds.models, grounds.place(case))  # a device is asked once what it is
    seen = learn(case, grounds.models, grounds.place(case))
    cuts = one_in_each_phase(boundaries(seen, "closed"), seen, SEED, each=4 if LONG else 1)
    cut_all(grounds, case, cuts, "closed")


@pytest.mark.timeout(3000 if LONG else 300)
def test_silent_link(grounds: Grounds, soon_lost: None) -> None:
    case = CASES["update"]
    seen = learn(case, grounds.models, grounds.place(case))
    cuts = one_in_each_phase(boundaries(seen, "silent"), seen, SEED, each=3 if LONG else 1)
    if not LONG:
        cuts = [cut for cut in cuts if cut.frames][:4]
    tally = Tally(grounds.remote.kind, case.name, "silent")
    for cut in cuts:
        run_cut(case, grounds.models, grounds.place(case), cut, tally)
    assert tally.cuts >= len(cuts) - 1
    tally.keep()
