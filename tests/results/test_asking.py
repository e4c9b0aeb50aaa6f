"""Filters, listings, trends and the best, on SQLite and on PostgreSQL (D3.2, D3.3)."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result
from sqlalchemy import event

from benchmarks.postgres_here import Cluster
from edgekit.cli.commands.results import results
from edgekit.errors import InputError, StoreError
from edgekit.records import Accuracy, Device, Energy, Latency, Model, Record, Runtime, Verdict, new_id
from edgekit.results import asking
from edgekit.results.database import migrate
from edgekit.results.filters import Filter, parse_filters, parse_since
from edgekit.results.place import place_of
from edgekit.results.store import Store
from tests.benchmarking.records import record
from tests.results.conftest import new_store

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
BASE = record([100.0, 101.0])


def run(day: int, *, model: str = "detector", state: Any = "valid", **more: Any) -> Record:
    at = datetime(2026, 5, day, 9, tzinfo=UTC)
    median = more.pop("median", 100.0)
    changes = {
        "id": new_id(at),
        "started_at": at.isoformat(),
        "model": Model(
            name=model,
            version=more.pop("version", None),
            recipe=more.pop("recipe", None),
            size_bytes=more.pop("size", None),
        ),
        "verdict": Verdict(state=state),
        "latency": Latency(median=median, count=20, launches=2),
        **more,
    }
    return msgspec.structs.replace(BASE, **changes)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def filled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Five runs; read only."""
    store = new_store(request, tmp_path_factory.mktemp("filled"))
    pi = Device(address="ssh://pi@rpi5", model="Raspberry Pi 5", soc="BCM2712", abi="arm64-v8a")
    phone = Device(address="adb:0123", model="Pixel 8", soc="Tensor G3", abi="arm64-v8a")
    store.add_many(
        (one, None)
        for one in (
            run(1, device=pi, labels={"project": "vision", "board": "7"}, version="v1"),
            run(2, device=pi, median=90.0, labels={"board": "8"}, version="v2"),
            run(3, device=phone, median=20.0, state="suspect", runtime=Runtime(name="litert", version="2.1")),
            run(4, model="Pose_100%", device=phone, state="invalid", median=1.0),
            run(5, model="pose", device=phone, median=None, accuracy=Accuracy(metric="top1", value=0.5)),
        )
    )
    return store


@pytest.mark.parametrize(
    ("filters", "days"),
    [
        ([], [5, 4, 3, 2, 1]),
        (["model~DET"], [3, 2, 1]),
        (["model!~det"], [5, 4]),
        (["model=pose_100%"], [4]),
        (["model~0%"], [4]),
        (["soc=bcm2712"], [2, 1]),
        (["soc!=bcm2712"], [5, 4, 3]),
        (["device=Pixel 8"], [5, 4, 3]),
        (["device~adb:"], [5, 4, 3]),
        (["verdict=valid,suspect"], [5, 3, 2, 1]),
        (["since=30d"], [5, 4, 3]),
        (["since=2026-05-02", "until=2026-05-04"], [3, 2]),
        (["until=2026-05-03", "soc=bcm2712"], [2, 1]),
        (["label=board"], [2, 1]),
        (["label=board=7"], [1]),
        (["label!=board"], [5, 4, 3]),
        (["label=board=8", "model~det"], [2]),
        (["project=vision"], [1]),
        (["project="], [5, 4, 3, 2]),
        (["median_latency<95us"], [4, 3, 2]),
        (["median_latency>=0.09ms", "verdict=valid"], [2, 1]),
        (["accuracy>=50%"], [5]),
        (["version=v2"], [2]),
        (["runtime_version=2.1"], [3]),
        (["launches>2"], []),
        (["model~nothing"], []),
        (["model~x' OR '1'='1"], []),
        (["model~\0"], []),
    ],
)
def test_filters_choose_runs(filled: Store, filters: list[str], days: list[int]) -> None:
    wanted = parse_filters(filters, NOW)
    assert [int(row.started_at[8:10]) for row in filled.list(wanted)] == days
    assert [int(row.started_at[8:10]) for row in filled.list(wanted, limit=100)] == days
    assert [int(run[6:8]) for run in filled.ids(wanted)] == days[::-1]
    assert [int(row.started_at[8:10]) for row in filled.list(wanted, limit=1)] == days[:1]
    paged: list[int] = []
    before = None
    while rows := filled.list(wanted, limit=2, before=before):
        paged += [int(row.started_at[8:10]) for row in rows]
        before = rows[-1].cursor
    assert paged == days


@pytest.mark.base
@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("model", "E_FILTER"),
        ("=x", "E_FILTER"),
        ("modl~x", "E_FILTER"),
        ("model<3", "E_FILTER"),
        ("verdict=fine", "E_FILTER"),
        ("since=yesterday", "E_SINCE"),
        ("median_latency<12 parsecs", "E_UNIT"),
        ("median_latency~12ms", "E_FILTER"),
        ("count<1" + 400 * "0", "E_FILTER"),
        ("launches=many", "E_FILTER"),
    ],
)
def test_a_wrong_filter_is_told_with_what_would_be_right(text: str, code: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_filters([text], NOW)
    assert caught.value.code == code
    assert caught.value.hint


def test_many_series_and_equal_times_page_alike(any_store: Store) -> None:
    """Pages join without a gap, whatever way the listing took; times that are equal too."""
    for_model = [run(1 + k // 40, model=f"m{k % 40:02}", median=float(k)) for k in range(160)]
    any_store.add_many((one, None) for one in for_model)
    whole = [row.id for row in any_store.list(["model~m"])]
    assert len(whole) == 160
    assert whole == sorted(whole, reverse=True)
    assert [row.id for row in any_store.list(["model~m"], limit=30)] == whole[:30]
    paged: list[str] = []
    before = None
    while rows := any_store.list(["model~m"], limit=7, before=before):
        paged += [row.id for row in rows]
        before = rows[-1].cursor
    assert paged == whole


def test_a_trend_is_of_runs_that_differ_in_time_only(filled: Store) -> None:
    found = filled.trend(["device=Pixel 8"])
    assert [(one.model, [row.median_us for row in one.runs]) for one in found] == [
        ("detector", [20.0]),
        ("Pose_100%", [1.0]),
        ("pose", [None]),
    ]
    assert filled.trend(["model~nothing"]) == ()


def test_the_best_are_those_that_no_other_beats(any_store: Store) -> None:
    """D3.3: Pareto of latency, energy, accuracy and size; only the newest run of each counts, no invalid one."""
    for day, recipe, median, size, score in [
        (1, "float32", 1.0, 4, 0.99),  # of long ago: a newer run of the same says otherwise
        (2, "float32", 100.0, 400, 0.99),
        (3, "int8", 30.0, 100, 0.97),
        (4, "slow", 200.0, 500, 0.98),
        (5, "tiny", 10.0, 50, 0.60),
    ]:
        top1 = Accuracy(metric="top1", value=score)
        any_store.add(run(day, model="m", recipe=recipe, median=median, size=size, accuracy=top1))
    any_store.add(run(6, model="m", median=0.1, state="invalid"))
    assert {row.recipe for row in any_store.best()} == {"float32", "int8", "tiny"}
    assert {row.recipe for row in any_store.best(metrics=["median_latency"])} == {"tiny"}
    assert {row.recipe for row in any_store.best(["accuracy>=0.9"])} == {"float32", "int8"}
    with pytest.raises(InputError):
        any_store.best(metrics=["beauty"])


def test_the_best_are_looked_for_among_all_runs(any_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many runs of one model came after the only one of another (D3.3)."""
    monkeypatch.setattr(asking, "_AT_ONCE", 3)
    any_store.add_many((run(day, model="busy", median=float(day)), None) for day in range(2, 9))
    any_store.add_many([(run(1, model="rare", median=100.0), None)])
    for filters in ((), ("count>0",), ("count>0", "until=2026-05-30"), ("model~a,b", "count>0")):
        found = any_store.ranked(filters, metrics=["median_latency"], limit=5)
        assert [row.model_name for row in found.rows] == ["busy", "rare"], filters
        assert (found.best, found.known, found.candidates) == (1, 2, 2)
    found = any_store.ranked(["count>0", "until=2026-05-06"], metrics=["median_latency"], limit=5)
    assert [row.median_us for row in found.rows] == [5.0, 100.0]
    for filters, models in (
        (["until=2026-05-01"], []),
        (["until=2026-05-02"], ["rare"]),
        (["since=2026-05-03", "until=2026-05-06"], ["busy"]),
        (["since=2026-05-08"], ["busy"]),
        (["since=2026-05-20", "until=2026-05-30"], []),
    ):
        asked = any_store.ranked(filters, metrics=["median_latency"], limit=5)
        assert [row.model_name for row in asked.rows] == models, filters
    assert [row.model_name for row in any_store.best(["count>0"], metrics=["median_latency"])] == ["busy"]


def test_best_as_of_a_day_looks_each_series_up_once(postgres: Cluster) -> None:
    """D3-b1: at a million runs that is what it takes."""
    url = postgres.new_database()
    migrate(place_of(url))
    store, asked = Store(url), []

    @event.listens_for(store.database.engine, "before_cursor_execute")
    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        asked.append((statement, parameters))

    store.best(["until=2026-05-06"])
    ((statement, parameters),) = [one for one in asked if "row_number" in one[0]]
    with store.database.reading() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN {statement}", parameters).scalars().all()
    assert sum(line.strip().startswith("SubPlan") for line in plan) == 1, plan


@pytest.mark.base
def test_what_is_not_known_beats_nothing(store: Store) -> None:
    store.add(run(1, model="measured", median=10.0, energy=Energy(meter="m", per_inference_uj=5.0)))
    store.add(run(2, model="unmeasured", median=9.0))
    store.add(run(3, model="slower", median=11.0))
    by = ["median_latency", "energy_per_inference"]
    assert {row.model_name for row in store.best(metrics=by)} == {"measured", "unmeasured"}
    found = store.ranked(metrics=by, limit=5)
    assert [row.model_name for row in found.rows] == ["measured"]
    assert (found.best, found.known, found.candidates) == (1, 1, 3)


@pytest.mark.base
def test_best_says_how_many_runs_do_not_tell_a_metric(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """In text and as JSON, as the dashboard's page does (D3.3)."""
    store.add(run(1, model="measured", median=10.0, energy=Energy(meter="m", per_inference_uj=5.0)))
    store.add(run(2, model="no energy", median=9.0))
    store.add(run(3, model="nothing", median=None))
    monkeypatch.setenv("EDGEKIT_RESULTS", str(store.path))

    def best(*args: str) -> Result:
        done = CliRunner().invoke(results, ["best", "--by", *args])
        assert done.exit_code == 0, done.output
        return done

    by = "median_latency,energy_per_inference"
    told = json.loads(best(by, "--json").stdout)
    assert {name: told[name] for name in ("candidates", "unknown", "left_out")} == {
        "candidates": 3,
        "unknown": {"median_latency": 1, "energy_per_inference": 2},
        "left_out": 1,
    }
    assert "of 3 runs to choose from is not known: median latency of 1, energy" in best(by).stderr
    assert "energy" in best(by, "--csv").stderr
    assert "and the 1 that tell nothing are left out" in best(by).stderr
    assert best("median_latency", "model!=nothing").stderr == ""
    assert "left out" in best("accuracy").stderr
    assert "no runs" not in best("accuracy").stderr


def test_words_are_what_there_is_to_choose_from(filled: Store) -> None:
    assert set(filled.words("model")) == {"detector", "pose", "Pose_100%"}
    assert filled.words("soc") == ("BCM2712", "Tensor G3")
    assert filled.count() == 5
    with pytest.raises(InputError):
        filled.words("id")


def test_the_same_in_both_databases(any_store: Store) -> None:
    """Idempotent by id; another record under an id is refused; NUL in a name is no trouble (D3.2)."""
    one = run(1, model="a\0b", labels={"k\0": "v\0"})
    assert any_store.add(one)
    assert not any_store.add(one)
    assert any_store.add_many([(one, None), (run(2), None), (run(3), None)]) == 2
    with pytest.raises(InputError) as caught:
        any_store.add_many([(run(4), None), (msgspec.structs.replace(one, notes=("x",)), None)])
    assert caught.value.code == "E_RECORD_CONFLICT"
    assert any_store.count() == 3  # all of a batch, or nothing
    assert any_store.get(one.id) == one
    any_store.set_baseline(one.id)
    found = any_store.baseline("a\0b", None)
    assert found == one
    assert [row.id for row in any_store.list(["model=a\0b"])] == [one.id]


def test_reading_cannot_write(any_store: Store) -> None:
    from sqlalchemy import text

    with pytest.raises(StoreError) as caught, any_store.database.reading() as connection:
        connection.execute(text("DELETE FROM series"))
    assert caught.value.code == "E_STORE_READ_ONLY"


@pytest.mark.base
def test_filters_may_be_given_as_values(store: Store) -> None:
    store.add(run(1))
    assert store.list([Filter("model", "~", ("det",))])


def test_a_date_is_local_by_the_clock_of_that_day(monkeypatch: pytest.MonkeyPatch) -> None:
    """Daylight saving: what is asked in summer about a day in winter. A span is so many hours."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        winter, summer = parse_since("2026-01-15"), parse_since("2026-07-15T12:00")
        assert winter.astimezone(UTC).isoformat() == "2026-01-14T23:00:00+00:00"
        assert summer.astimezone(UTC).isoformat() == "2026-07-15T10:00:00+00:00"
        now = datetime(2026, 3, 29, 12, tzinfo=UTC)  # that night the clocks went forward
        assert now - parse_since("1d", now) == timedelta(hours=24)
        assert parse_since("2026-01-15", now).isoformat() == "2026-01-15T00:00:00+00:00"
        assert parse_since("0001-01-01").year == 1
    finally:
        monkeypatch.undo()
        time.tzset()
