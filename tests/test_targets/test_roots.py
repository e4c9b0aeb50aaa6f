"""Cached trees are made once, whole, and under a hash of what shapes them (demand A9)."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tests.targets import roots
from tests.targets.all_roots import all_recipes

NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "test-roots"
    place.mkdir()
    monkeypatch.setattr(roots, "test_roots", lambda: place)
    return place


def recipe(name: str = "a", **changes: object) -> roots.Recipe:
    def build(target: Path, needed: Sequence[Path]) -> None:
        (target / "file").write_text(f"{name} {[(path / 'file').read_text() for path in needed]}")

    return replace(roots.Recipe(name=name, build=build), **changes)  # type: ignore[arg-type]


def test_key_is_of_all_that_shapes_a_tree(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_text("1")
    plain, with_source = recipe(), recipe(sources=(source,))
    keys = [
        plain.key,
        recipe("b").key,
        recipe(inputs=("x",)).key,
        with_source.key,
        recipe(needs=(plain,)).key,
    ]
    source.write_text("2")
    keys += [with_source.key, recipe(needs=(recipe(inputs=("y",)),)).key]
    assert len(set(keys)) == len(keys)
    assert recipe().key == plain.key


@NEEDS_ROOT
def test_made_once_with_what_it_needs(own_cache: Path) -> None:
    top = recipe("top", needs=(recipe("below"),))
    place = roots.folder(top)
    assert (place / "file").read_text() == "top ['below []']"
    changed_at = (place / "file").stat().st_mtime_ns
    assert roots.folder(top) == place
    assert (place / "file").stat().st_mtime_ns == changed_at
    assert sorted(name for name, _, _ in roots.finished()) == ["below", "top"]


@NEEDS_ROOT
def test_two_at_once_make_it_once() -> None:
    calls: list[Path] = []

    def build(target: Path, needed: Sequence[Path]) -> None:
        calls.append(target)
        time.sleep(0.3)

    shared = recipe("shared", build=build)
    threads = [threading.Thread(target=roots.folder, args=(shared,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(calls) == 1


@NEEDS_ROOT
def test_an_unfinished_tree_is_never_used(own_cache: Path) -> None:
    def build(target: Path, needed: Sequence[Path]) -> None:
        (target / "half").touch()
        raise OSError("disk full")

    broken = recipe("broken", build=build)
    with pytest.raises(OSError, match="disk full"):
        roots.make(broken)
    assert not (own_cache / broken.key).exists()
    assert (roots.make(replace(broken, build=recipe().build)) / "file").exists()


@NEEDS_ROOT
def test_an_archive_out_of_reach_is_asked_once_and_skips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roots, "mirror", lambda: "http://127.0.0.1:9/debian")
    unreachable = roots.debian("unreachable", "bookworm", "amd64", ("busybox-static",))
    with pytest.raises(roots.Unavailable, match="could not fetch unreachable"):
        roots.make(unreachable)
    monkeypatch.setattr(roots, "_make", lambda recipe, *_: pytest.fail(f"asked again for {recipe.name}"))
    with pytest.raises(pytest.skip.Exception, match="could not fetch unreachable"):
        roots.folder(unreachable)


@NEEDS_ROOT
def test_a_missing_tool_is_a_reason() -> None:
    with pytest.raises(roots.Unavailable, match="not installed: no-such-tool"):
        roots.make(recipe(tools=("no-such-tool",)))


def test_every_tree_comes_after_what_it_needs() -> None:
    seen: set[str] = set()
    for each in all_recipes():
        assert {needed.key for needed in each.needs} <= seen
        seen.add(each.key)
