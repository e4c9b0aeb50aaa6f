"""What is exported says what the store holds, exactly. (A8)"""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import msgspec
import numpy as np
import pytest

from edgekit.errors import InputError
from edgekit.records import METRICS, Model, Record, Samples, TelemetryPoint, decode, new_id, value_of
from edgekit.results.store import Store

pytestmark = pytest.mark.base
Real = tuple[Record, Samples]


@pytest.fixture
def two(store: Store, real: Real) -> tuple[Store, Record, Record]:
    record, samples = real
    other = msgspec.structs.replace(
        record, id=new_id(), started_at="2020-01-01T00:00:00Z", model=Model(name="=cmd()"), launches=()
    )
    odd = Samples.of([[1.5, 2.25]], [TelemetryPoint(1.0, "-heat", float("nan"), "mC", "@x")])
    store.add(record, samples)
    store.add(other, odd)
    return store, other, record


def text(store: Store, *runs: str, **how: Any) -> str:
    return "".join(store.export(runs, **how))


def test_json_lines_are_the_records_oldest_first(two: tuple[Store, Record, Record]) -> None:
    store, old, new = two
    lines = text(store).splitlines()
    assert [decode(line) for line in lines] == [old, new]


def test_json_is_one_document_of_the_chosen_runs(two: tuple[Store, Record, Record]) -> None:
    store, old, new = two
    found = json.loads(text(store, new.id[-6:], format="json"))
    assert [one["id"] for one in found["records"]] == [new.id]
    assert [one["id"] for one in json.loads(text(store, format="json"))["records"]] == [old.id, new.id]


def test_an_empty_store_exports_an_empty_document(store: Store) -> None:
    assert json.loads(text(store, format="json")) == {"records": []}
    assert text(store) == text(store, format="csv") == ""


def test_samples_are_exact_and_the_unreadable_is_null(two: tuple[Store, Record, Record], real: Real) -> None:
    store, _old, _new = two
    first, second = (json.loads(line)["samples"] for line in text(store, with_samples=True).splitlines())
    assert first["unit"] == "us"
    assert first["telemetry"][0]["value"] == [None]
    for kept, exported in zip(real[1].launches, second["launches"], strict=True):
        assert np.array_equal(kept, exported)


def test_csv_has_every_metric_in_its_unit_and_empty_for_the_unknown(
    two: tuple[Store, Record, Record],
) -> None:
    store, old, new = two
    rows = list(csv.DictReader(io.StringIO(text(store, format="csv"))))
    assert [row["run"] for row in rows] == [old.id, new.id]
    assert float(rows[1]["median_latency_us"]) == new.latency.median
    assert float(rows[1]["peak_rss_bytes"]) == new.memory.peak_rss
    assert rows[1]["energy_per_inference_uj"] == ""
    for name, metric in METRICS.items():
        units = {"1": "", "1/s": "_per_s"}
        column = name + units.get(metric.unit, f"_{metric.unit.lower()}")
        value = value_of(new, name)
        assert rows[1][column] == ("" if value is None else repr(value))


def test_csv_of_samples_has_a_row_for_each(two: tuple[Store, Record, Record], real: Real) -> None:
    store, _, new = two
    rows = list(csv.DictReader(io.StringIO(text(store, new.id, format="csv", with_samples=True))))
    latencies = [row for row in rows if row["kind"] == "latency"]
    readings = [row for row in rows if row["kind"] == "telemetry"]
    assert len(latencies) == new.latency.count
    assert len(readings) == sum(len(series.t_us) for series in real[1].telemetry)
    third = [float(row["value"]) for row in latencies if row["launch"] == "2"]
    assert third == real[1].launches[2].tolist()


def test_csv_never_begins_a_text_like_a_formula(two: tuple[Store, Record, Record]) -> None:
    store, old, _ = two
    (row,) = csv.DictReader(io.StringIO(text(store, old.id, format="csv")))
    assert row["model"] == "'=cmd()"
    rows = list(csv.DictReader(io.StringIO(text(store, old.id, format="csv", with_samples=True))))
    assert (rows[-1]["name"], rows[-1]["path"], rows[-1]["value"]) == ("'-heat", "'@x", "")


def test_a_wrong_run_or_format_fails_before_anything_is_written(two: tuple[Store, Record, Record]) -> None:
    store, _, new = two
    with pytest.raises(InputError):
        store.export([new.id, "nothing"])
    with pytest.raises(InputError, match="xml"):
        store.export([new.id], format="xml")  # type: ignore[arg-type]
