"""Baselines in the results store (D1.10)."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.errors import InputError
from edgekit.records import Model, Profile
from edgekit.results.store import Store
from tests.benchmarking.records import record
from tests.cli.running import edgekit

pytestmark = pytest.mark.base


def add(store: Store, run: str, **more: object) -> None:
    store.add(record([100.0], id=run, **more))


def test_a_baseline_is_of_a_model_a_profile_and_a_runtime(store: Store) -> None:
    add(store, "20260101-000000000-aaaaaa")
    add(store, "20260102-000000000-bbbbbb", profile=Profile(name="pi"))
    add(store, "20260103-000000000-cccccc", model=Model(name="other"))
    assert store.baseline("m", None) is None
    for run in ("aaaaaa", "bbbbbb", "cccccc"):
        store.set_baseline(run)
    found = [store.baseline("m", None), store.baseline("m", "pi", "litert"), store.baseline("other", None)]
    assert [one.id[-6:] if one else None for one in found] == ["aaaaaa", "bbbbbb", "cccccc"]
    assert store.baseline("m", "pi", "onnxruntime") is None


def test_a_later_baseline_takes_the_place(store: Store) -> None:
    add(store, "20260101-000000000-aaaaaa")
    add(store, "20260102-000000000-bbbbbb")
    store.set_baseline("aaaaaa")
    store.set_baseline("latest")
    found = store.baseline("m", None, "litert")
    assert found is not None
    assert found.id.endswith("bbbbbb")
    with pytest.raises(InputError):
        store.set_baseline("nobody")


def test_an_invalid_run_is_refused_unless_forced(store: Store) -> None:
    """A throttled run as the baseline would let every slowdown pass (D1.10)."""
    store.add(record([100.0], "invalid", id="20260101-000000000-aaaaaa"))
    with pytest.raises(InputError) as refused:
        store.set_baseline("latest")
    assert refused.value.code == "E_BASELINE_INVALID"
    assert store.baseline("m", None) is None
    store.set_baseline("latest", force=True)
    assert store.baseline("m", None) is not None


def test_the_command_refuses_an_invalid_run_and_notes_a_suspect_one(tmp_path: Path) -> None:
    store = Store(tmp_path / "data" / "results.db")
    env = {"EDGEKIT_RESULTS": str(store.path)}
    store.add(record([100.0], "invalid", id="20260101-000000000-aaaaaa"))
    store.add(record([100.0], "suspect", id="20260102-000000000-bbbbbb"))
    refused = edgekit("results", "baseline", "aaaaaa", "--json", env=env)
    assert (refused.code, refused.error()["code"]) == (1, "E_BASELINE_INVALID")
    edgekit("results", "baseline", "aaaaaa", "--force", env=env).ok()
    noted = edgekit("results", "baseline", "bbbbbb", env=env).ok()
    assert "the run is suspect: it swapped" in noted.stderr
    named = edgekit("results", "baseline", "bbbbbb", "--json", env=env).ok().json()
    assert (named["verdict"], named["reasons"]) == ("suspect", ["it swapped"])
