"""Every push, cut at every frame and at random bytes: the real agent on this machine (C1-b2)."""

from __future__ import annotations

import pytest

from tests.faults.cases import CASES
from tests.faults.cutting import Cut, How
from tests.faults.ground import Ground, ground, soon_lost
from tests.faults.phases import Seen
from tests.faults.table import (
    LONG,
    Tally,
    boundaries,
    inside,
    learn,
    one_in_each_phase,
    run_cut,
    run_in_child,
)

__all__ = ["ground", "soon_lost"]

SEED = 20
INSIDE = 40 if LONG else 6


def cut_all(ground: Ground, cuts: list[Cut], how: str, but: frozenset[str] = frozenset()) -> None:
    tally = Tally("local", ground.case.name, how)
    for cut in cuts:
        run_cut(ground.case, ground.models, ground.place(), cut, tally)
    tally.require(ground.case.phases - but)
    # what a runner prints comes in one frame or in two
    assert tally.not_reached <= len(cuts) // (3 if "smoke" in ground.case.phases else 10), tally
    tally.keep()


def chosen(ground: Ground, seen: list[Seen], how: How) -> list[Cut]:
    """All of them for the update; of the others, at a prompt, some of each phase."""
    every = boundaries(seen, how)
    if LONG or (ground.case.name == "update" and how in ("closed", "agent killed")):
        return every
    return one_in_each_phase(every, seen, SEED, each=3 if how == "closed" else 2)


@pytest.mark.timeout(3000 if LONG else 300)
@pytest.mark.parametrize("how", ["closed", "agent killed"])
@pytest.mark.parametrize("ground", list(CASES), indirect=True)
def test_cut_at_frames_and_bytes(ground: Ground, how: How) -> None:
    """C1-b2: the active version is the old or the new one, whole; the next push succeeds without help."""
    seen = learn(ground.case, ground.models, ground.place())
    cut_all(ground, chosen(ground, seen, how) + inside(seen, how, INSIDE, SEED), how)


@pytest.mark.timeout(3000 if LONG else 300)
@pytest.mark.parametrize("ground", list(CASES) if LONG else ["update"], indirect=True)
def test_silent_link(ground: Ground, soon_lost: None) -> None:
    """C1-b2: no end of stream on either side. The next push waits until the agent has given up."""
    seen = learn(ground.case, ground.models, ground.place())
    every = boundaries(seen, "silent")
    cuts = every if LONG else [cut for cut in one_in_each_phase(every, seen, SEED) if cut.frames > 1]
    cut_all(ground, cuts + inside(seen, "silent", 4 if LONG else 1, SEED), "silent", frozenset({"start"}))


@pytest.mark.timeout(3000 if LONG else 300)
@pytest.mark.parametrize("ground", list(CASES) if LONG else ["update"], indirect=True)
def test_host_process_killed(ground: Ground) -> None:
    """C1-b2, C1.1: SIGKILL of the process that pushes; another one goes on."""
    seen = learn(ground.case, ground.models, ground.place())
    every = boundaries(seen, "host killed")
    cuts = every if LONG else one_in_each_phase(every, seen, SEED)
    tally = Tally("local", ground.case.name, "host killed")
    for cut in cuts + inside(seen, "host killed", INSIDE if LONG else 2, SEED):
        run_in_child(ground.case, ground.models, ground.place(), cut, tally)
    tally.require(ground.case.phases)
    tally.keep()
