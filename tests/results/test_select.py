"""Which runs a listing finds, by whatever way it looks for them: like going through all runs (D3.3), on either database."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from benchmarks.store import fill
from benchmarks.store_runs import MODELS, entries
from edgekit.results import select
from edgekit.results.adding import add_entries
from edgekit.results.filters import parse_filters
from edgekit.results.rows import Entry
from edgekit.results.store import Store
from tests.results.conftest import new_store

RUNS = 1500
Meets = Callable[[Entry], bool]


def _label(entry: Entry, key: str) -> str | None:
    return next((row["value"] for row in entry.labels if row["key"] == key), None)


def _median(entry: Entry) -> float:
    return float(entry.run["median_latency_us"])


CHOICES: dict[str, list[tuple[str, Meets]]] = {
    "words": [
        ("", lambda e: True),
        ("model~detector", lambda e: "detector" in e.series["model"]),
        (f"model={MODELS[3]}", lambda e: e.series["model"] == MODELS[3]),
        ("soc=BCM2712", lambda e: e.series["soc"] == "BCM2712"),
        ("verdict=invalid", lambda e: e.series["verdict"] == "invalid"),
        ("model~none", lambda e: False),
    ],
    "label": [
        ("", lambda e: True),
        ("label=board=3", lambda e: _label(e, "board") == "3"),
        ("label=board", lambda e: _label(e, "board") is not None),
        ("label=commit=000000000004", lambda e: _label(e, "commit") == "000000000004"),
        ("label=commit=none", lambda e: False),
        ("label!=board=3", lambda e: _label(e, "board") != "3"),
    ],
    "second label": [("", lambda e: True), ("label=project=vision", lambda e: True)],
    "value": [
        ("", lambda e: True),
        ("median_latency<5ms", lambda e: _median(e) < 5000),
        ("median_latency<1ns", lambda e: False),
        ("version=v3", lambda e: e.run["model_version"] == "v3"),
    ],
    "time": [
        ("", lambda e: True),
        ("since=2026-05-01", lambda e: e.run["started_at"] >= "2026-05-01"),
        ("until=2025-03-01", lambda e: e.run["started_at"] < "2025-03-01"),
    ],
}
CASES = list(itertools.product(*CHOICES.values()))


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def many(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Runs of more than a thousand series. Read only."""
    store = new_store(request, tmp_path_factory.mktemp("many"))
    fill(store, RUNS, samples=False)
    return store


@pytest.fixture(scope="module")
def every() -> list[Entry]:
    """The same runs, newest first."""
    found = list(entries(RUNS, samples=False))
    return sorted(found, key=lambda one: (one.run["started_s"], one.id), reverse=True)


@pytest.mark.parametrize("counted", [40, 20_000], ids=["labels of many", "labels of few"])
def test_a_listing_finds_what_a_look_at_every_run_finds(
    many: Store, every: list[Entry], counted: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With pages, of all sizes: each way to look for runs is taken by some of the cases."""
    monkeypatch.setattr(select, "_COUNTED", counted)
    draw = random.Random(counted)
    second_pages = 0
    for case in draw.sample(CASES, 400):
        filters = parse_filters([text for text, _ in case if text])
        wanted = [one.id for one in every if all(meets(one) for _, meets in case)]
        limit = draw.choice((1, 7, 30, 190, 300, None))
        found = many.list(filters, limit=limit)
        assert [row.id for row in found] == wanted[:limit], (case, limit)
        if found and len(found) < len(wanted):
            rest = many.list(filters, limit=limit, before=found[-1].cursor)
            assert [row.id for row in rest] == wanted[limit:][:limit], (case, limit, "second page")
            second_pages += 1
    assert second_pages >= 20


def test_the_newest_of_each_is_what_a_look_at_every_run_finds(many: Store, every: list[Entry]) -> None:
    """What was measured is asked of the newest run of a combination only; an invalid run stands for none."""
    names = ("project", "model", "recipe", "profile", "device", "runtime")
    for case in random.Random(5).sample(CASES, 120):
        filters = parse_filters([text for text, _ in case if text])
        by_value = case[3] if case[3][0].startswith("median") else None
        newest: dict[tuple[object, ...], Entry] = {}
        for one in every:
            before = [pair for pair in case if pair is not by_value]
            if one.series["verdict"] != "invalid" and all(meets(one) for _, meets in before):
                newest.setdefault(tuple(one.series[name] for name in names), one)
        wanted = [one.id for one in newest.values() if by_value is None or by_value[1](one)]
        found = many.ranked(filters, metrics=["median_latency"], limit=RUNS)
        assert sorted(row.id for row in found.rows) == sorted(wanted), case


def _at_few_moments() -> list[Entry]:
    """Runs of four series, all of which began at one of nine moments, newest first."""
    made = list(entries(90, samples=False))
    chosen = [one.series for one in made if one.series["verdict"] == "valid"][:4]
    moments = [made[n].run["started_s"] for n in range(5, 90, 10)]
    draw = random.Random(2)
    found = []
    for one in made:
        at_s, of_series = draw.choice(moments), draw.choice(chosen)
        found.append(
            replace(
                one,
                series={**of_series, "last_s": at_s},
                run={**one.run, "started_s": at_s},
                labels=tuple({**row, "started_s": at_s} for row in one.labels),
            )
        )
    return sorted(found, key=lambda one: (one.run["started_s"], one.id), reverse=True)


def test_of_runs_of_one_moment_the_one_that_is_asked_for(any_store: Store) -> None:
    """A label of one of them must not give another one, nor what was measured leave just that."""
    every = _at_few_moments()
    with any_store.database.writing() as connection:
        add_entries(connection, every)
    medians = sorted(_median(one) for one in every)
    several = 0
    for board, limit_us in itertools.product(range(20), (None, medians[20], medians[45], medians[70])):
        labelled = [one for one in every if _label(one, "board") == str(board)]
        last = {one.series["hash"]: one.run["started_s"] for one in reversed(labelled)}
        newest: dict[str, Entry] = {}
        for one in labelled:
            if last[one.series["hash"]] == one.run["started_s"] and (
                limit_us is None or _median(one) < limit_us
            ):
                newest.setdefault(one.series["hash"], one)
        wanted = [one.id for one in newest.values()]
        value = [] if limit_us is None else [f"median_latency<{limit_us}us"]
        found = any_store.ranked(
            parse_filters([f"label=board={board}", *value]), metrics=["median_latency"], limit=100
        )
        assert sorted(row.id for row in found.rows) == sorted(wanted), (board, limit_us)
        several += any(
            last.get(one.series["hash"]) == one.run["started_s"] and one not in labelled for one in every
        )
    assert several > 10
