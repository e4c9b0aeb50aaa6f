"""The fault table: every case is cut at every boundary that is asked for, and judged by what is on the disk then."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from edgekit.agent import bootstrap
from edgekit.agent.bootstrap import connect_agent
from edgekit.devices import Device, resolve
from edgekit.errors import EdgekitError
from edgekit.transports.base import Transport
from tests.agent.starting import eventually
from tests.faults import state, stepping
from tests.faults.cases import NAME, NEXT, Case, Models, push
from tests.faults.cutting import Cut, CuttingTransport, How, Wire
from tests.faults.phases import Direction, Seen

LONG = os.environ.get("EDGEKIT_FAULTS") == "all"
"""Every boundary in every way; else what fits a few minutes."""
TABLE = os.environ.get("EDGEKIT_FAULTS_TABLE")
"""A file to which each tally is added as a line of JSON; `scripts/fault_table` prints it."""
SILENCE_MS = 3000
"""After which the agent gives the host up where the link goes silent: soon, so that the test need not wait for it. Where it
does not, as long as for users: a process that a busy machine lets wait is not lost."""


@dataclass(frozen=True)
class Place:
    """Where a device's folder is: `root` as the agent takes it, `path` as this machine sees it."""

    root: str
    path: Path
    connect: Callable[[], Transport]
    """A new connection."""
    reopen: Callable[[], Device]
    """As a user's next command would open it."""
    silence_ms: int = bootstrap.SILENCE_MS
    """After which the agent gives the host up."""


@dataclass
class Tally:
    """What the cuts of one case on one target came to."""

    target: str
    case: str
    how: str
    phases: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    not_reached: int = 0
    seconds: float = 0.0

    @property
    def cuts(self) -> int:
        return sum(self.phases.values())

    def add(self, phase: str, outcome: str) -> None:
        self.phases[phase] += 1
        self.outcomes[outcome] += 1

    def require(self, phases: Iterable[str]) -> None:
        missing = sorted(set(phases) - set(self.phases))
        assert not missing, (
            f"{self.target}, {self.case}, {self.how}: no cut in {missing} ({dict(self.phases)})"
        )

    def keep(self) -> None:
        if TABLE:
            row = {k: dict(v) if isinstance(v, Counter) else v for k, v in self.__dict__.items()}
            with open(TABLE, "a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")


def open_through(place: Place, wire: Wire, timeout: float = 60.0, wrap: tuple[str, ...] = ()) -> Device:
    """As `open_device` does it, over a transport that will be cut."""
    transport = CuttingTransport(place.connect(), wire, wrap)
    try:
        agent = connect_agent(transport, root=place.root, silence_ms=place.silence_ms, timeout=timeout)
    except BaseException:
        transport.close()
        raise
    return Device(resolve(transport.address), transport, agent)


def act(
    case: Case,
    models: Models,
    place: Place,
    wire: Wire,
    timeout: float = 60.0,
    wrap: tuple[str, ...] = (),
) -> str | None:
    """Do it; the code of the error that it ended with."""
    try:
        device = open_through(place, wire, timeout, wrap)
    except EdgekitError as error:
        return error.code
    try:
        device.finish_what_was_cut()
        case.act(models, device)
        return None
    except EdgekitError as error:
        return error.code
    finally:
        device.close()


def learn(case: Case, models: Models, place: Place) -> list[Seen]:
    """The frames of the case when nothing is cut; it has to go well."""
    wire = Wire()
    code = act(case, models, place, wire)
    assert code is None, code
    found = state.read_store(place.path, NAME)
    assert found.current == case.after, found
    assert not found.problems(), found
    return list(wire.seen)


def boundaries(seen: list[Seen], how: How) -> list[Cut]:
    """Behind every frame in both directions, and before the first that the device sends."""
    to = sum(each.direction == "to" for each in seen)
    back = len(seen) - to
    return [Cut("from", n, how) for n in range(back + 1)] + [Cut("to", n, how) for n in range(1, to + 1)]


def inside(seen: list[Seen], how: How, count: int, seed: int) -> list[Cut]:
    """At random bytes of random frames, the long ones not more often than the short."""
    dice = random.Random(seed)
    by_direction = {way: [s for s in seen if s.direction == way] for way in ("to", "from")}
    cuts = []
    for _ in range(count):
        direction: Direction = "to" if dice.random() < 0.5 else "from"
        frames = by_direction[direction]
        n = dice.randrange(len(frames))
        cuts.append(Cut(direction, n, how, dice.randrange(1, frames[n].size_bytes)))
    return cuts


def one_in_each_phase(cuts: list[Cut], seen: list[Seen], seed: int, each: int = 1) -> list[Cut]:
    """So many cuts of each phase, picked at random."""
    dice = random.Random(seed)
    if any(frame.phase == "smoke" for frame in seen):
        # what a runner prints comes in one frame or in two: only the host's frames can be counted on
        cuts = [cut for cut in cuts if cut.direction == "to" or cut.frames < 2]
    by_phase: dict[str, list[Cut]] = {}
    for cut in cuts:
        frames = [s for s in seen if s.direction == cut.direction]
        phase = frames[cut.frames - 1].phase if cut.frames else "start"
        by_phase.setdefault(phase, []).append(cut)
    return [cut for group in by_phase.values() for cut in dice.sample(group, min(each, len(group)))]


def judge_after_cut(case: Case, place: Place) -> str:
    """What `current` names now: the old or the new, and all that has a name is whole."""
    found = state.read_store(place.path, NAME)
    problems = found.problems(frozenset(case.damage))
    assert not problems, problems
    assert found.current in (case.before, case.after), found
    kept = {v for v in ("1", "2", "3", "4", "5") if (place.path / "models" / NAME / v).exists()}
    lost = {case.before, case.after} - {None} - kept - case.gone
    assert not lost or found.current not in lost, (lost, found)
    if found.current is None:
        return "none"
    if case.before == case.after:
        return "the same"
    return "new" if found.current == case.after else "old"


def judge_next(case: Case, models: Models, place: Place, *, same: bool = True) -> None:
    """The next push succeeds without help, and leaves nothing. `same`: it is the one that was cut off, where that was a
    push; else somebody pushes another version."""
    same = same and case.is_push
    version = "2" if same else NEXT
    with place.reopen() as device:
        if same:
            (case.again or case.act)(models, device)
        else:
            push(models, device, version, large=case.large, smoke="smoke" in case.phases)
    found = state.read_store(place.path, NAME)
    if found.strays and all(name.endswith(".ek-gone") for name in found.strays):
        # an unchanged push needs no lease; the next that takes it clears what a deletion left
        version = NEXT
        with place.reopen() as device:
            push(models, device, version, large=case.large)
        found = state.read_store(place.path, NAME)
    assert found.current == version, found
    assert found.hashes[version] == state.sha256(models.path(version, large=case.large))
    assert not found.problems(frozenset() if same else frozenset(case.damage)), found
    assert not found.strays, found
    assert state.nothing_runs(place.root), "processes are left on the device"


def run_cut(
    case: Case,
    models: Models,
    place: Place,
    cut: Cut,
    tally: Tally,
    event: Callable[[], object] | None = None,
    mend: Callable[[], object] = lambda: None,
) -> None:
    """One cut, from the prepared state to the judgement. `event`: what happens where it is no cut; `mend`: what undoes
    that before the next push."""
    began = time.monotonic()
    wire = Wire(cut, event or (lambda: state.kill_agents(place.root)))
    try:
        silent = cut.how == "silent"
        there = replace(place, silence_ms=SILENCE_MS) if silent else place
        code = act(case, models, there, wire, timeout=12.0 if silent else 60.0)
        if wire.fired is None:
            tally.not_reached += 1
            assert code is None, code
        tally.errors[code or "none"] += 1
        outcome = judge_after_cut(case, place)
        mend()
        judge_next(case, models, place, same=cut.frames % 3 != 2)
    except AssertionError as error:
        raise AssertionError(f"{case.name}, {cut}: {error}") from error
    finally:
        wire.free()
    if wire.fired is not None:
        tally.add(wire.fired, outcome)
    tally.seconds += time.monotonic() - began


def run_step(case: Case, models: Models, place: Place, at: int, tally: Tally, note: Path) -> int:
    """The agent and all its processes killed before the `at`-th change of the file system (0: not at all). How many
    changes there were until then."""
    began = time.monotonic()
    wire = Wire()
    wrap = (sys.executable, "-S", "-E", stepping.__file__, str(at), str(note))
    note.unlink(missing_ok=True)
    try:
        code = act(case, models, place, wire, wrap=wrap)
        assert eventually(note.exists, 60.0), "the tracer did not end"
        done = note.read_text().split()[0]
        if at == 0 or int(done) < at:
            tally.not_reached += 1
            assert code is None, code
            return int(done)
        outcome = judge_after_cut(case, place)
        judge_next(case, models, place)
    except AssertionError as error:
        raise AssertionError(f"{case.name}, step {at}: {error}") from error
    phases = [each.phase for each in wire.seen if each.direction == "to"]
    tally.add(phases[-1] if phases else "start", outcome)
    tally.seconds += time.monotonic() - began
    return int(done)


def run_in_child(case: Case, models: Models, place: Place, cut: Cut, tally: Tally) -> None:
    """The operation in a process of its own, which is killed at the cut."""
    began = time.monotonic()
    words = [case.name, models.folder, place.root, cut.direction, cut.frames, cut.extra_bytes]
    argv = [sys.executable, "-m", "tests.faults.child", *map(str, words)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=200, check=False)
    reached = done.returncode == -signal.SIGKILL
    assert reached or done.returncode == 0, done.stderr
    try:
        outcome = judge_after_cut(case, place)
        judge_next(case, models, place)
    except AssertionError as error:
        raise AssertionError(f"{case.name}, {cut}: {error}") from error
    if reached:
        tally.add(json.loads(done.stdout), outcome)
    else:
        tally.not_reached += 1
    tally.seconds += time.monotonic() - began
