"""The store against a model of it: any order of pushes, cuts, switches, deletions and damage (C1-b3).

The model knows names and versions; the disk is read by itself (tests/faults/state.py), never through edgekit.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from edgekit.deployment.collect import gc
from edgekit.deployment.listing import release_on_device
from edgekit.deployment.switching import remove, rollback
from edgekit.devices import Device, lease
from edgekit.errors import EdgekitError
from edgekit.transports.local import LocalTransport
from tests.faults import state, stepping
from tests.faults.cases import NAME, Models, damage, opened, push
from tests.faults.cutting import Cut, How, Wire
from tests.faults.phases import Direction
from tests.faults.table import Place, open_through

EXAMPLES = int(os.environ.get("EDGEKIT_STORE_EXAMPLES", "10"))
VERSIONS = ("1", "2", "3", "4")
versions = st.sampled_from(VERSIONS)
cut_frames = st.integers(0, 12)
directions = st.sampled_from(("to", "from"))
extra_bytes = st.integers(0, 400)


def outcome(call: Callable[[], object]) -> str | None:
    """The code of the error that it ends with."""
    try:
        call()
    except EdgekitError as error:
        return error.code
    return None


class StoreMachine(RuleBasedStateMachine):
    """`order`: complete versions, in the order in which they were pushed; `tried`: those whose smoke run passed."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="edgekit-store-"))
        self.root = self.folder / "device-machine"
        self.undo = ExitStack()
        patch = self.undo.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("EDGEKIT_CACHE_DIR", str(self.folder / "cache"))
        patch.setattr(lease, "LEASE_SECONDS", 0.5)  # of an agent that died with its guardian
        patch.setattr(lease, "ASK_AGAIN_SECONDS", 0.05)
        self.models = Models(self.folder / "host")
        self.order: list[str] = []
        self.tried: set[str] = set()
        self.damaged: set[str] = set()
        self.active: str | None = None
        self.device: Device | None = None

    def teardown(self) -> None:
        self._close()
        assert state.nothing_runs(str(self.root))
        self.undo.close()
        shutil.rmtree(self.folder)

    def _close(self) -> None:
        if self.device is not None:
            self.device.close()
        self.device = None

    @property
    def open(self) -> Device:
        if self.device is None:
            self.device = opened(str(self.root))
        return self.device

    @initialize()
    def connect(self) -> None:
        self.open  # noqa: B018

    @rule()
    def reconnect(self) -> None:
        self._close()

    @rule(version=versions, activate=st.booleans(), smoke=st.sampled_from((False, False, False, True)))
    def push(self, version: str, activate: bool, smoke: bool) -> None:
        done = push(self.models, self.open, version, activate=activate, smoke=smoke)
        self._pushed(version, done.smoke == "passed")
        if activate:
            self.active = version
        assert done.activated == (self.active == version)
        assert done.smoke == ("passed" if version in self.tried else "unchecked")

    def _pushed(self, version: str, tried: bool) -> None:
        """A repair is a new push; one that finds the release whole changes nothing of it."""
        new = version not in self.order
        if new or version in self.damaged:
            if not new:
                self.order.remove(version)
            self.order.append(version)
            self.tried.discard(version)
        self.damaged.discard(version)
        if tried:
            self.tried.add(version)

    @rule(
        version=versions,
        direction=directions,
        frames=cut_frames,
        extra=extra_bytes,
        how=st.sampled_from(("closed", "agent killed")),
        again=st.booleans(),
    )
    def push_that_is_cut(
        self, version: str, direction: Direction, frames: int, extra: int, how: How, again: bool
    ) -> None:
        wire = Wire(Cut(direction, frames, how, extra), lambda: state.kill_agents(str(self.root)))
        self._push_that_fails(version, wire, (), again=again)

    @precondition(lambda self: stepping.SUPPORTED)
    @rule(version=versions, step=st.integers(1, 70), again=st.booleans())
    def push_that_is_killed_at_a_step(self, version: str, step: int, again: bool) -> None:
        note = str(self.folder / "steps")
        wrap = (sys.executable, "-S", "-E", stepping.__file__, str(step), note)
        self._push_that_fails(version, Wire(), wrap, again=again)

    def _push_that_fails(self, version: str, wire: Wire, wrap: tuple[str, ...], *, again: bool) -> None:
        """Then the same push again, where something is under way: whatever was cut, that goes well."""
        self._close()
        before = state.read_store(self.root, NAME)
        place = Place(str(self.root), self.root, LocalTransport, lambda: opened(str(self.root)))
        try:
            with open_through(place, wire, wrap=wrap) as device:
                push(self.models, device, version)
        except EdgekitError:
            pass  # or it was through already
        finally:
            wire.free()
        assert state.nothing_runs(str(self.root))
        found = state.read_store(self.root, NAME)
        assert found.current in (before.current, version)
        assert set(before.releases) - {version} == set(found.releases) - {version}
        assert {version} & set(before.releases) <= set(found.releases)
        if again or found.strays:
            push(self.models, self.open, version)
            self._pushed(version, tried=False)
            self.active = version
            if state.strays(self.root):  # garbage waits for the next who needs the lease
                gc(self.open, NAME, keep=len(VERSIONS))
        else:
            self._as_found(version, found)

    def _as_found(self, version: str, found: state.Store) -> None:
        """Nothing is under way, so it was done, or it was not."""
        self.active = found.current
        if version in found.releases and not found.releases[version]:
            self._pushed(version, tried=False)

    @rule(to=st.one_of(st.none(), versions))
    def rollback(self, to: str | None) -> None:
        wanted = to if to is not None else self._before_active()
        code = outcome(lambda: rollback(self.open, NAME, to))
        assert code == self._why_no_rollback(wanted)
        if code is None:
            self.active = wanted

    def _before_active(self) -> str | None:
        """As documented: the one that was pushed last before the active one, and ran on this device."""
        at = self.order.index(self.active) if self.active in self.order else len(self.order)
        usable = [v for v in self.order[:at] if v in self.tried]
        return usable[-1] if usable else None

    def _why_no_rollback(self, wanted: str | None) -> str | None:
        if wanted is None or wanted not in self.order:
            return "E_NO_RELEASE"
        if wanted in self.damaged:
            return "E_HASH"
        if wanted not in self.tried and wanted != self.active:
            return "E_UNCHECKED"
        return None

    @rule(version=st.one_of(st.none(), versions), force=st.booleans())
    def remove(self, version: str | None, force: bool) -> None:
        chosen = [v for v in self.order if version in (None, v)]
        active = version is not None and version == self.active and not force
        code = outcome(lambda: remove(self.open, NAME, version, force=force))
        assert code == ("E_NO_RELEASE" if not chosen else "E_RELEASE_ACTIVE" if active else None)
        for each in chosen if code is None else ():
            self._forget(each)

    def _forget(self, version: str) -> None:
        self.order.remove(version)
        self.tried.discard(version)
        self.damaged.discard(version)
        if self.active == version:
            self.active = None

    @rule(keep=st.integers(0, 3))
    def gc(self, keep: int) -> None:
        stays = {self.active, self._before_active(), *(self.order[-keep:] if keep else ())}
        removed = gc(self.open, NAME, keep=keep).removed
        gone = [v for v in self.order if v not in stays]
        assert sorted(each.name for each in removed if each.kind == "release") == sorted(
            f"{NAME}@{v}" for v in gone
        )
        for version in gone:
            self._forget(version)

    @precondition(lambda self: self.order)
    @rule(data=st.data())
    def damage(self, data: st.DataObject) -> None:
        version = data.draw(st.sampled_from(self.order))
        if version not in self.damaged:  # flipping the same bits twice would mend it
            damage(self.root, version)
            self.damaged.add(version)

    @precondition(lambda self: self.active is not None)
    @rule()
    def use(self) -> None:
        """What bench and run do first: damage is found, never used."""
        code = outcome(lambda: release_on_device(self.open, NAME, None))
        assert code == ("E_HASH" if self.active in self.damaged else None)

    @invariant()
    def the_disk_is_as_the_model_says(self) -> None:
        found = state.read_store(self.root, NAME)
        assert found.current == self.active
        assert set(found.releases) == set(self.order)
        assert {v for v, why in found.releases.items() if why} == self.damaged
        assert not found.strays
        expected = {v: state.sha256(self.models.path(v)) for v in self.order if v not in self.damaged}
        assert {v: found.hashes[v] for v in expected} == expected


StoreMachine.TestCase.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    database=None,
    print_blob=True,
)


@pytest.mark.timeout(36_000 if EXAMPLES > 20 else 300)
class TestStore(StoreMachine.TestCase):  # type: ignore[misc, valid-type]
    """Any order of what users do, and of what goes wrong."""
