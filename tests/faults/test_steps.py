"""The agent dies at every step: all its processes are killed before each of its changes of the file system (C1-b2)."""

from __future__ import annotations

import pytest

from edgekit.devices import lease
from tests.faults import stepping
from tests.faults.cases import CASES
from tests.faults.ground import Ground, ground
from tests.faults.table import LONG, Tally, run_step

__all__ = ["ground"]
AT_A_PROMPT = ("update", "repair", "remove all")
UNTRIED = [name for name in CASES if name != "update, tried"]
"""The runner, too, writes files: its own business."""


@pytest.mark.skipif(not stepping.SUPPORTED, reason="needs x86_64 (system calls are counted)")
@pytest.mark.timeout(3000 if LONG else 300)
@pytest.mark.parametrize("ground", UNTRIED if LONG else AT_A_PROMPT, indirect=True)
def test_killed_at_every_step(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """C1-b2, C1-b3: nobody is left who could give the lease back, so that it has to run out, too."""
    monkeypatch.setattr(lease, "LEASE_SECONDS", 0.3)
    monkeypatch.setattr(lease, "ASK_AGAIN_SECONDS", 0.05)
    tally = Tally("local", ground.case.name, "killed at a step")
    note = ground.folder / "steps"
    steps = run_step(ground.case, ground.models, ground.place(), 0, Tally("local", "", ""), note)
    assert steps > 10
    stride = 1 if LONG else 2 if ground.case.name == "update" else 4
    for at in range(1, steps + 1, stride):
        run_step(ground.case, ground.models, ground.place(), at, tally, note)
    tally.require(ground.case.phases - {"start", "look", "release"})
    assert tally.not_reached <= steps // 5, tally  # how often the lease is renewed depends on the time
    tally.keep()
