"""A metric over time with the runs marked that changed. (D3.3)"""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path
from typing import Any

import msgspec
import pytest

from benchmarks.store_runs import runs
from edgekit.cli.commands.results_render import runs_table
from edgekit.records.metrics import metric
from edgekit.results.asking import RunRow, Trend
from edgekit.results.store import Store
from edgekit.results.trending import points_of, told_apart

pytestmark = pytest.mark.base


def rows(folder: Path, **latency: Any) -> tuple[RunRow, ...]:
    """Six runs, oldest first; the last one is slower beyond the others' intervals."""
    store = Store(folder / "a.sqlite")
    record, _ = next(runs(1, seed=5))
    for day in range(1, 7):
        shift = 50.0 if day == 6 else 0.0
        found = {"ci95_low": 99.0 + shift, "ci95_high": 101.0 + shift, "median": 100.0 + shift, "mean": 300.0}
        changed = msgspec.structs.replace(record.latency, **{**found, **latency})
        moment = f"2026-01-0{day}T00:00:00.000Z"
        store.add(msgspec.structs.replace(record, id=f"run-{day}", started_at=moment, latency=changed))
    return store.list()[::-1]


def test_an_interval_belongs_to_the_metric_that_it_is_of(tmp_path: Path) -> None:
    """The median's is no interval of the mean, which may lie outside of it."""
    found = rows(tmp_path)
    assert [one.change for one in points_of(found, metric("median_latency"))] == [None] * 5 + ["worse"]
    means = points_of(found, metric("mean_latency"))
    assert {(one.ci95_low, one.ci95_high, one.change) for one in means} == {(None, None, None)}


def test_of_a_tool_that_tells_averages_the_interval_is_the_mean_s(tmp_path: Path) -> None:
    found = rows(tmp_path, median=None, ci95_of="mean")
    assert points_of(found, metric("mean_latency"))[-1].change == "worse"
    assert {one.ci95_low for one in points_of(found, metric("median_latency"))} == {None}
    table = runs_table(found, 200)
    (cells,) = [list(column.cells) for column in table.columns if column.header == "95 % interval"]
    assert set(cells) == {"unknown"}


def test_series_of_one_title_are_told_apart_by_what_differs() -> None:
    """D3.3: two devices of one model, or two projects, are no series that a reader has to guess at."""
    here = Trend(None, "m", None, "pi", "ssh://a", "Pi 5", "litert", ())
    other = dataclasses.replace(here, device="ssh://b")
    vision = dataclasses.replace(other, project="vision")
    alone = dataclasses.replace(here, recipe="int8-static")
    assert told_apart([here]) == ("",)
    assert told_apart([here, alone, other]) == ("ssh://a", "", "ssh://b")
    assert told_apart([here, other, vision]) == (
        "no project, ssh://a",
        "no project, ssh://b",
        "project vision, ssh://b",
    )
    assert told_apart([here, dataclasses.replace(here, profile=None)]) == ("profile pi", "no profile")


def test_a_narrow_table_breaks_the_device_and_not_the_version(tmp_path: Path) -> None:
    from rich.console import Console

    found = [
        dataclasses.replace(
            row, model_name="digits", model_version="18c50cd15c17", device_model="Raspberry Pi 5 (simulated)"
        )
        for row in rows(tmp_path)
    ]
    console = Console(width=80, file=io.StringIO())
    with console.capture() as text:
        console.print(runs_table(found, 80))
    assert text.get().count("digits@18c50cd15c17") == len(found)
    assert all(len(line) <= 80 for line in text.get().splitlines())


def test_the_command_tells_the_marks_of_the_page(tmp_path: Path) -> None:
    """D3.3: steps and releases, in words and in --json; one run only is said to be one."""
    from tests.cli.running import edgekit

    store = Store(tmp_path / "a.sqlite")
    record, _ = next(runs(1, seed=5))
    for day, value, version in (
        (1, 100, "1"),
        (2, 101, "1"),
        (3, 99, "1"),
        (4, 0, "2"),
        (5, 0, "2"),
        (6, 7, "2"),
    ):
        accuracy = msgspec.structs.replace(record.accuracy, value=value / 1000)
        model = msgspec.structs.replace(record.model, version=version)
        moment = f"2026-01-0{day}T00:00:00.000Z"
        valid = msgspec.structs.replace(record.verdict, state="valid")
        store.add(
            msgspec.structs.replace(
                record, id=f"run-{day}", started_at=moment, accuracy=accuracy, model=model, verdict=valid
            )
        )
    asked = ("results", "trend", "--metric", "accuracy", "--db", tmp_path / "a.sqlite")
    text = edgekit(*asked).ok().stdout
    assert "2026-01-04 00:00  regression: accuracy 0 × what it was\n" in text
    assert "2026-01-04 00:00  release: model 1 → 2\n" in text
    (found,) = edgekit(*asked, "--json").ok().json()["trends"]
    assert [(one["run"], one["ratio"], one["worse"]) for one in found["steps"]] == [("run-4", 0.0, True)]
    assert [(one["run"], one["changes"]) for one in found["releases"]] == [("run-4", "model 1 → 2")]
