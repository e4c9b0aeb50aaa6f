"""Bytes that change on the device behind everybody's back, before and after activation: found at the next connect, push
or run, and never used (C1-b2)."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from edgekit.deployment.listing import release_on_device
from edgekit.deployment.payload import payload_of
from edgekit.errors import EdgekitError
from tests.cli.running import QUICK, edgekit
from tests.faults import state
from tests.faults.cases import CASES, NAME, Models, copied, damage, opened, prepared, push
from tests.faults.table import LONG

BYTES = 400 if LONG else 30
"""Flipped one at a time, of each small file."""


class Store:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.models = Models(folder / "host")
        self.count = 0

    def start(self, case: str) -> Path:
        """A device of its own, in the state in which the case begins."""
        base = self.folder / f"base-{case}".replace(" ", "-").replace(",", "")
        if not base.exists():
            prepared(CASES[case], self.models, base)
        self.count += 1
        return copied(base, self.folder / f"device-{self.count:05}-damage")

    def push_again(self, root: Path, version: str = "2") -> None:
        """Goes well, and all is whole then."""
        with opened(str(root)) as device:
            push(self.models, device, version)
        found = state.read_store(root, NAME)
        assert found.current == version
        assert found.hashes[version] == state.sha256(self.models.path(version))
        assert not found.problems(), found
        assert not found.strays


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("EDGEKIT_CACHE_DIR", str(tmp_path / "cache"))
    return Store(tmp_path)


def flipped(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def places(path: Path, seed: int) -> list[int]:
    size = path.stat().st_size
    return sorted(random.Random(seed).sample(range(size), min(BYTES, size)))


def test_an_active_model_that_changed_is_not_used_and_is_repaired(store: Store) -> None:
    """By what a run does first, by the command, and by a push."""
    root = store.start("update")
    damage(root, "1")
    with opened(str(root)) as device, pytest.raises(EdgekitError) as caught:
        release_on_device(device, NAME, None)
    assert caught.value.code == "E_HASH"
    (store.folder / "edgekit.yaml").write_text(f"devices: {{it: {{address: 'local:', root: '{root}'}}}}\n")
    ran = edgekit("bench", NAME, "-d", "it", "--json", *QUICK, cwd=store.folder)
    assert (ran.code, ran.error()["code"]) == (7, "E_HASH")
    store.push_again(root, "1")


def test_every_kind_of_damage_to_the_active_manifest(store: Store) -> None:
    """The push of what is there repairs it, or finds it harmless; a run uses the right bytes or none."""
    right = state.sha256(store.models.path("1"))
    manifest = Path("models", NAME, "1", "manifest.json")
    codes = set()
    for at in places(store.start("update") / manifest, 1):
        root = store.start("update")
        flipped(root / manifest, at)
        with opened(str(root)) as device:
            try:
                release = release_on_device(device, NAME, None)
                assert state.sha256(Path(release.folder, "model.tflite")) == right
            except EdgekitError as error:
                codes.add(error.code)
        code = None
        try:
            store.push_again(root, "1")
        except EdgekitError as error:
            code = error.code
        if (
            code is not None
        ):  # it may be a newer edgekit's: that is said, it is left alone, and is in nobody's way
            assert code == "E_RELEASE_SCHEMA"
            assert b'"edgekit.release/1"' not in (root / manifest).read_bytes()
            store.push_again(root)
    assert codes <= {"E_HASH", "E_RELEASE_DAMAGED", "E_RELEASE_SCHEMA"}
    assert codes


def test_current_that_names_nothing(store: Store) -> None:
    for text in ("", "\n", "7\n", "..\n", "1", "\0\n", "1\n2\n", "x" * 5000):
        root = store.start("update")
        (root / "models" / NAME / "current").write_text(text)
        if text != "1":  # without its newline it still names the version
            with opened(str(root)) as device, pytest.raises(EdgekitError):
                release_on_device(device, NAME, None)
        store.push_again(root)


@pytest.mark.parametrize("case", ["recovery, unnamed", "recovery, named"])
def test_every_kind_of_damage_to_the_journal(store: Store, case: str) -> None:
    for at in places(store.start(case) / "journal", 2):
        root = store.start(case)
        flipped(root / "journal", at)
        opened(str(root)).close()
        found = state.read_store(root, NAME)
        assert found.current in ("1", "2")
        assert not found.problems(), (at, found)
        assert not (root / "journal").exists()
        store.push_again(root)


def test_what_was_staged_and_what_waits_for_recovery(store: Store) -> None:
    """A part, a whole file in the staging folder, and a file behind the journal: before activation."""
    version = "2"
    content = payload_of(store.models.info(version), NAME, version).content
    for name, size in ((".model.tflite.ek-tmp", 300_000), ("model.tflite", None)):
        root = store.start("update")
        staging = root / "models" / NAME / f".{version}.{content}.ek-tmp"
        staging.mkdir()
        data = bytearray(store.models.path(version).read_bytes()[:size])
        data[100_000] ^= 1
        (staging / name).write_bytes(data)
        store.push_again(root)
    root = store.start("recovery, unnamed")
    flipped(next((root / "models" / NAME).glob(".2.*/model.tflite")), 100_000)
    with opened(str(root)) as device:
        if state.read_store(root, NAME).current == "2":
            with pytest.raises(EdgekitError) as caught:
                release_on_device(device, NAME, None)
            assert caught.value.code == "E_HASH"
    store.push_again(root)
