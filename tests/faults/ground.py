"""A case on this machine: its prepared device, and a copy of it for each cut."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgekit.agent import link
from edgekit.transports.local import LocalTransport
from tests.agent.starting import eventually
from tests.faults.cases import CASES, Case, Models, copied, opened, prepared
from tests.faults.table import Place


class Ground:
    """One case's prepared device, and a copy of it for each cut."""

    def __init__(self, case: Case, folder: Path) -> None:
        self.case = case
        self.folder = folder
        self.models = Models(folder / "host")
        self.base = prepared(case, self.models, folder / "prepared-device")
        self._count = 0

    def place(self) -> Place:
        self._count += 1
        root = copied(self.base, self.folder / f"device-{self._count:05}-cut")
        return Place(str(root), root, LocalTransport, lambda: opened(str(root)))


@pytest.fixture
def ground(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Ground]:
    monkeypatch.setenv("EDGEKIT_CACHE_DIR", str(tmp_path / "cache"))
    before = open_files()
    yield Ground(CASES[request.param], tmp_path)
    assert eventually(lambda: len(open_files()) <= len(before)), (before, open_files())


@pytest.fixture
def soon_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that hears nothing gives up before long."""
    monkeypatch.setattr(link, "PING_S", 0.3)
    monkeypatch.setattr(link, "SILENCE_S", 3.0)


def open_files() -> list[str]:
    """What this process holds open."""
    gc.collect()
    found = []
    for each in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # the listing's own
            found.append(str(each.readlink()))
    return sorted(found)
