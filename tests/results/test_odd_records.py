"""Records and samples as other programs may send them: what is taken can be shown, exported and brought back. (D3.2)"""

from __future__ import annotations

import csv
import io
from pathlib import Path

import msgspec
import numpy as np
import pytest

from benchmarks.store_runs import runs
from edgekit.errors import InputError
from edgekit.records import Samples, TelemetryPoint, encode
from edgekit.results.export import Format
from edgekit.results.filters import parse_filters
from edgekit.results.importing import read_runs
from edgekit.results.pruning import prune
from edgekit.results.store import Store
from tests.results.test_keeping import whole

pytestmark = pytest.mark.base


def exported(store: Store, path: Path, *, with_samples: bool = True) -> Path:
    path.write_text("".join(store.export(with_samples=with_samples)), encoding="utf-8")
    return path


@pytest.mark.parametrize("with_samples", [True, False])
def test_a_record_of_several_lines_is_one_line_in_every_export(tmp_path: Path, with_samples: bool) -> None:
    record, samples = next(runs(1, seed=5))
    store, back = Store(tmp_path / "a.sqlite"), Store(tmp_path / "back.sqlite")
    pretty = msgspec.json.format(encode(record), indent=2) + b"\n"
    assert store.add(pretty, samples)
    assert not store.add(pretty, samples)
    assert back.add_many(read_runs(exported(store, tmp_path / "a.jsonl", with_samples=with_samples))) == 1
    assert back.get_bytes(record.id) == store.get_bytes(record.id)
    assert not with_samples or whole(back) == whole(store)


def test_readings_that_are_no_numbers_come_back_with_their_seal(tmp_path: Path) -> None:
    """JSON has no word for infinity, and NaN has many bit patterns; a backup of PostgreSQL is such lines."""
    record, samples = next(runs(1, seed=5))
    values = (1.0, float("inf"), -float("inf"), np.copysign(np.nan, -1.0), 2.0)
    odd = Samples.of(
        samples.launches, [TelemetryPoint(float(i), "x", v, "mC", "/p") for i, v in enumerate(values)]
    )
    store, back = Store(tmp_path / "a.sqlite"), Store(tmp_path / "back.sqlite")
    assert store.add(record, odd)
    assert back.add_many(read_runs(exported(store, tmp_path / "a.jsonl"))) == 1
    assert whole(back) == whole(store)
    (series,) = back.samples(record.id).telemetry
    np.testing.assert_array_equal(series.value, [1.0, np.nan, np.nan, np.nan, 2.0])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e300])
def test_a_latency_that_is_no_time_is_refused(tmp_path: Path, value: float) -> None:
    record, samples = next(runs(1, seed=5))
    launches = [launch.copy() for launch in samples.launches]
    launches[0][3] = value
    with pytest.raises(InputError) as caught:
        Store(tmp_path / "a.sqlite").add(record, Samples(tuple(launches)))
    assert caught.value.code == "E_SAMPLES"


@pytest.mark.parametrize(
    "moment", ["0001-01-01T00:00:00+14:00", "1969-12-31T23:59:59Z", "9999-12-31T23:59:59Z"]
)
def test_a_time_that_no_axis_has_room_for_is_refused(tmp_path: Path, moment: str) -> None:
    """One such run would take the page of trends from all others."""
    record, samples = next(runs(1, seed=5))
    with pytest.raises(InputError) as caught:
        Store(tmp_path / "a.sqlite").add(msgspec.structs.replace(record, started_at=moment), samples)
    assert caught.value.code == "E_RECORD"


def test_an_id_like_a_formula_is_none_in_a_spreadsheet(tmp_path: Path) -> None:
    """CWE-1236: older stores may have such ids; names come back as they were."""
    record, samples = next(runs(1, seed=5))
    model = msgspec.structs.replace(record.model, name="'quoted'")
    odd = msgspec.structs.replace(record, id='=HYPERLINK("http://evil")', model=model)
    store, back = Store(tmp_path / "a.sqlite"), Store(tmp_path / "back.sqlite")
    store.add(odd, samples)
    for with_samples in (True, False):
        rows = csv.DictReader(io.StringIO("".join(store.export(format="csv", with_samples=with_samples))))
        assert {row["run"] for row in rows} == {"'" + odd.id}
    prune(store.database, parse_filters(["launches>0"]))
    store.add(msgspec.structs.replace(odd, id=record.id), samples)
    (tmp_path / "a.csv").write_text("".join(store.export(format="csv")), encoding="utf-8")
    assert back.add_many(read_runs(tmp_path / "a.csv")) == 1
    assert [(row.id, row.model_name) for row in back.list()] == [(record.id, "'quoted'")]


@pytest.mark.parametrize(
    "run_id", ["a/b", "..", ".hidden", "latest", "a b", "a\nb", "\x1b[2J", "é", "-n", "x" * 10_000, "=1+1"]
)
@pytest.mark.parametrize(("name", "format_"), [("a.jsonl", "jsonl"), ("a.csv", "csv"), ("a.xml", "junit")])
def test_an_id_that_cannot_be_typed_is_not_brought_in(
    tmp_path: Path, run_id: str, name: str, format_: Format
) -> None:
    """It would have no address on the dashboard, and name another file (D3.2)."""
    record, samples = next(runs(1, seed=5))
    store = Store(tmp_path / "a.sqlite")
    store.add(msgspec.structs.replace(record, id=run_id), samples)
    (tmp_path / name).write_text("".join(store.export(format=format_)), encoding="utf-8")
    back = Store(tmp_path / "back.sqlite")
    with pytest.raises(InputError) as caught:
        back.add_many(read_runs(tmp_path / name))
    assert caught.value.code == "E_RUN_ID"
    assert len(caught.value.message) < 300
    assert caught.value.message.isprintable()
    assert back.count() == 0


def test_runs_that_are_forgotten_while_an_export_begins_are_no_damage(tmp_path: Path) -> None:
    """What is exported is of one moment (D3.2)."""
    store = Store(tmp_path / "a.sqlite")
    store.add_many(runs(3))
    first, second, third = store.ids()
    everything, named = store.entries(), store.entries([second, third])
    prune(store.database, parse_filters([f"id={third}"]))
    assert len(list(everything)) == 2
    next(named)
    with pytest.raises(InputError) as caught:
        next(named)
    assert caught.value.code == "E_NO_RUN"
    assert store.ids() == (first, second)


@pytest.mark.parametrize("path", ["latency.count", "latency.launches", "memory.peak_rss"])
def test_a_number_that_no_column_has_room_for_is_refused(tmp_path: Path, path: str) -> None:
    """JSON has whole numbers of any length, and so has Python."""
    record, samples = next(runs(1, seed=5))
    part, field = path.split(".")
    changed = msgspec.structs.replace(getattr(record, part), **{field: 10**400})
    with pytest.raises(InputError) as caught:
        Store(tmp_path / "a.sqlite").add(msgspec.structs.replace(record, **{part: changed}), samples)
    assert caught.value.code == "E_RECORD"
