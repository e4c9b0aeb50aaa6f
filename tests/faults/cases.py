"""What is cut: operations on a store, each with the state it begins in, and the states that it may leave."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from edgekit.config import Config, DeviceEntry
from edgekit.deployment import PushResult, rates
from edgekit.deployment.collect import gc
from edgekit.deployment.payload import payload_of
from edgekit.deployment.push import push_payload
from edgekit.deployment.switching import remove, rollback
from edgekit.devices import Device, journal, open_device
from edgekit.models import ModelInfo, open_model
from tests.cli.running import MODEL

NAME = "digits"
NEXT = "9"
"""The version that is pushed behind a cut where the operation itself is no push."""
PATCHED_BYTES = 1_500_000
"""Where patches are cut, models are this much larger: a patch has to be worth it."""
ALWAYS = frozenset({"start", "lease", "release"})


@dataclass(frozen=True)
class Models:
    """Versions of the digit classifier: the same model, with bytes behind it that no reader looks at."""

    folder: Path

    def path(self, version: str, *, large: bool = False) -> Path:
        path = self.folder / f"model-{version}{'-large' if large else ''}.tflite"
        if not path.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            common = random.Random(0).randbytes(PATCHED_BYTES) if large else b""
            own = random.Random(version).randbytes(300_000 if large else 64)
            path.write_bytes(MODEL.read_bytes() + common + own)
        return path

    @cached_property
    def _known(self) -> dict[Path, ModelInfo]:
        return {}

    def info(self, version: str, *, large: bool = False) -> ModelInfo:
        path = self.path(version, large=large)
        if path not in self._known:
            self._known[path] = open_model(path)
        return self._known[path]


def push(models: Models, device: Device, version: str, *, large: bool = False, **wishes: Any) -> PushResult:
    """One push as the command does it, without the smoke run where nothing else is asked for."""
    usual: dict[str, Any] = {"profile": None, "name": NAME, "version": version, "activate": True}
    usual |= {"smoke": False, "lease_wait_seconds": 30.0}
    return push_payload(models.info(version, large=large), device, **{**usual, **wishes})


def opened(root: str, address: str = "local:") -> Device:
    return open_device("it", config=Config(devices={"it": DeviceEntry(address=address, root=root)}))


Act = Callable[[Models, Device], object]
Prepare = Callable[[Models, Device], object]


def _nothing(models: Models, device: Device) -> None:
    """The device is as new."""


@dataclass(frozen=True)
class Case:
    """`before`, `after`: versions that `current` may name, None: no such file. `gone`: versions that it takes away."""

    name: str
    prepare: Prepare
    act: Act
    before: str | None
    after: str | None
    phases: frozenset[str]
    """All of them have to be cut at."""
    damage: tuple[str, ...] = ()
    """Versions whose model file is damaged before."""
    gone: frozenset[str] = frozenset()
    is_push: bool = True
    """Whether doing it again is the next push; else another version is pushed."""
    large: bool = False
    again: Act | None = None
    """The next push, where that is not the operation itself."""


def _old(models: Models, device: Device) -> None:
    push(models, device, "1")


def _old_tried(models: Models, device: Device) -> None:
    """The smoke run brings the runtime there."""
    push(models, device, "1", smoke=True)


def _old_large(models: Models, device: Device) -> None:
    push(models, device, "1", large=True)


def _two(models: Models, device: Device) -> None:
    push(models, device, "1")
    push(models, device, "2")


def _two_tried(models: Models, device: Device) -> None:
    push(models, device, "1", smoke=True)
    push(models, device, "2", smoke=True)


def _five(models: Models, device: Device) -> None:
    for version in ("1", "2", "3"):
        push(models, device, version, activate=False)
    push(models, device, "4", smoke=True)
    push(models, device, "5")


def _patched(models: Models, device: Device) -> PushResult:
    rates.remember_rate(device.address, 1_000_000, 10.0)  # as if the last transfer had had 100 kB/s
    return push(models, device, "2", large=True)


def _journal_after(steps_done: int) -> Prepare:
    """A push of version 2 whose last batch ended after so many steps."""

    def prepare(models: Models, device: Device) -> None:
        push(models, device, "1")
        payload = payload_of(models.info("2"), NAME, "2")
        staging = device.layout.staging(NAME, "2", payload.content)
        text = payload.manifest.encode()
        entry = journal.entry_of(NAME, "2", payload.content, text, activate=True)
        steps = journal.steps(entry, device.layout, text, replaces=False, exchange=False)
        with device.leased("test", 5.0):
            device.agent.mkdir(staging)
            device.agent.put(models.path("2"), f"{staging}/model.tflite")
            device.agent.batch(steps[:steps_done])

    return prepare


def _push_two(models: Models, device: Device) -> None:
    push(models, device, "2")


def _finish(models: Models, device: Device) -> None:
    device.finish_what_was_cut()


_PUSHED = ALWAYS | {"look", "put", "complete"}
CASES = {
    case.name: case
    for case in (
        Case("first push", _nothing, lambda m, d: push(m, d, "2"), None, "2", _PUSHED | {"claim"}),
        Case("update", _old, lambda m, d: push(m, d, "2"), "1", "2", _PUSHED),
        Case(
            "update, tried",
            _old_tried,
            lambda m, d: push(m, d, "2", smoke=True),
            "1",
            "2",
            _PUSHED | {"smoke"},
        ),
        Case("patch", _old_large, _patched, "1", "2", _PUSHED, large=True),
        Case("repair", _two, lambda m, d: push(m, d, "2"), "2", "2", _PUSHED, damage=("2",)),
        Case(
            "rollback",
            _two_tried,
            lambda m, d: rollback(d, NAME),
            "2",
            "1",
            ALWAYS | {"look", "switch"},
            is_push=False,
        ),
        Case(
            "remove",
            _two,
            lambda m, d: remove(d, NAME, "1"),
            "2",
            "2",
            ALWAYS | {"delete"},
            gone=frozenset({"1"}),
            is_push=False,
        ),
        Case(
            "remove all",
            _two,
            lambda m, d: remove(d, NAME),
            "2",
            None,
            ALWAYS | {"delete"},
            gone=frozenset({"1", "2"}),
            is_push=False,
        ),
        Case(
            "gc",
            _five,
            lambda m, d: gc(d, NAME, keep=0),
            "5",
            "5",
            ALWAYS | {"look", "delete"},
            gone=frozenset({"1", "2", "3"}),
            is_push=False,
        ),
        Case(
            "recovery, unnamed", _journal_after(4), _finish, "1", "2", ALWAYS | {"recover"}, again=_push_two
        ),
        Case("recovery, named", _journal_after(5), _finish, "1", "2", ALWAYS | {"recover"}, again=_push_two),
    )
}


def damage(root: Path, version: str) -> None:
    """Flip bytes in the middle of a release's model, behind everybody's back."""
    path = root / "models" / NAME / version / "model.tflite"
    data = bytearray(path.read_bytes())
    for at in range(len(data) // 2, len(data) // 2 + 16):
        data[at] ^= 0xFF
    path.write_bytes(data)


def prepared(case: Case, models: Models, root: Path, address: str = "local:") -> Path:
    """The folder of a device in the state that the case begins in, made by real pushes on this machine."""
    with opened(str(root), address) as device:
        case.prepare(models, device)
    for version in case.damage:
        damage(root, version)
    for name in ("lease", "lease.lock"):
        (root / name).unlink(missing_ok=True)
    return root


def copied(prepared_root: Path, root: Path) -> Path:
    """The same for one cut."""
    shutil.copytree(prepared_root, root)
    return root
