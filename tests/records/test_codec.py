"""A record goes to JSON and back exactly; what is not a record is refused with the path. (A8)"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import numpy as np
import pytest

from edgekit import records as r
from edgekit.errors import InputError
from edgekit.stats import summarize

pytestmark = pytest.mark.base


def make_record(**changes: Any) -> r.Record:
    latency = summarize([np.linspace(9, 11, 400), np.linspace(9.1, 11.2, 400)], load_us=[1000.0, 1100.0])
    fields: dict[str, Any] = {
        "id": r.new_id(),
        "started_at": "2026-01-31T12:00:00.000Z",
        "edgekit_version": "0.1.0",
        "model": r.Model(name="m", size_bytes=1234),
        "device": r.Device(address="local:"),
        "runtime": r.Runtime(name="litert", argv=("edgekit-runner-litert", "--threads", "4")),
        "plan": r.Plan(launches=2, threads=4),
        "latency": latency,
        "verdict": r.Verdict(state="valid"),
        "launches": (r.Launch(index=0, exit_code=0), r.Launch(index=1, ok=False, signal=9, error="killed")),
        "labels": {"branch": "main"},
    }
    return r.Record(**{**fields, **changes})


def test_a_record_survives_the_way_there_and_back() -> None:
    record = make_record(
        profile=r.Profile(name="raspberry-pi-5"),
        energy=r.Energy(meter="rpi-pmic", boundary="soc-rails", per_inference_uj=3.5, ci95_uj=(3.0, 4.0)),
        conditions=r.BeforeAfter(
            before=r.Conditions(governor="performance", temperatures_mc={"cpu": 51_000})
        ),
        events=(r.RecordEvent(kind="cooled", message="waited for 60 degrees", t_us=1.5),),
    )
    assert r.decode(r.encode(record)) == record


PROMISED = {
    "": "id started_at edgekit_version schema model profile device runtime plan conditions latency memory energy "
    "accuracy verdict launches",
    "model": "name version sha256 format recipe size_bytes",
    "device": "address model soc abi os kernel fingerprint",
    "runtime": "name version sha256 argv requested_accelerator actual_accelerator",
    "plan": "launches threads cpus seed",
    "conditions.before": "governor frequency_khz temperature_mc battery_percent throttled",
    "conditions.after": "governor frequency_khz temperature_mc battery_percent throttled",
    "latency": "unit count median mean p50 p90 p95 p99 p999 min max stddev mad ci95_low ci95_high "
    "between_launch_cv first_inference load",
    "memory": "unit model_delta peak_rss peak_pss",
    "energy": "meter boundary per_inference_uj ci95_uj idle_power_mw mean_power_mw",
    "accuracy": "metric value source_value flips golden",
    "verdict": "state reasons notes",
}


@pytest.mark.parametrize("place", PROMISED)
def test_the_json_has_every_promised_key_and_null_for_the_unknown(place: str) -> None:
    found = json.loads(r.encode(make_record(energy=r.Energy(meter="m"))))
    for name in filter(None, place.split(".")):
        found = found[name]
    assert set(PROMISED[place].split()) <= set(found)


def test_units_are_told_and_the_unknown_is_null() -> None:
    plain = json.loads(r.encode(make_record()))
    assert plain["schema"] == "edgekit.record/1"
    assert plain["latency"]["unit"] == "us"
    memory = plain["memory"]
    assert memory.pop("unit") == "bytes"
    unknown = {"minor": None, "major": None}
    assert memory.pop("faults") == {"load": unknown, "first": unknown, "steady": unknown}
    assert (memory.pop("unavailable"), memory.pop("excludes")) == ({}, [])
    assert {"model_delta", "peak_rss", "peak_pss", "rss_start", "rss_loaded", "arena"} <= set(memory)
    assert set(memory.values()) == {None}


def test_energy_is_either_measured_or_unavailable_with_a_reason() -> None:
    without = json.loads(r.encode(make_record(energy=r.Energy(unavailable="no meter"))))
    assert without["energy"] == {"unavailable": "no meter"}
    with_meter = json.loads(r.encode(make_record(energy=r.Energy(meter="m", per_inference_uj=2.0))))
    assert "unavailable" not in with_meter["energy"]
    assert with_meter["energy"]["ci95_uj"] is None


def _set(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(plain: dict[str, Any]) -> None:
        *way, last = path.split(".")
        for name in way:
            plain = plain[name]
        plain[last] = value

    return change


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ("latency.median", "12", "`$.latency.median`"),
        ("latency.count", 1.5, "`$.latency.count`"),
        ("latency.surprise", 1, "surprise"),
        ("surprise", 1, "surprise"),
        ("latency.unit", "ms", "`$.latency.unit`"),
        ("verdict.state", "great", "`$.verdict.state`"),
        ("launches", [{"index": "0"}], "`$.launches[0].index`"),
        ("labels", {"a": 1}, "`$.labels[...]`"),
        ("model", None, "`$.model`"),
    ],
)
def test_unknown_keys_and_wrong_types_are_errors_with_their_path(path: str, value: Any, told: str) -> None:
    plain = json.loads(r.encode(make_record()))
    _set(path, value)(plain)
    with pytest.raises(InputError) as caught:
        r.decode(json.dumps(plain))
    assert caught.value.code == "E_RECORD"
    assert caught.value.exit_code == 1
    assert told in caught.value.message


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{", b"\xff\xfe", b"[" * 100_000, b'{"schema": "edgekit.record/1"}']
)
def test_what_is_no_record_is_an_input_error(data: bytes) -> None:
    with pytest.raises(InputError) as caught:
        r.decode(data)
    assert caught.value.code == "E_RECORD"


def test_a_record_of_another_schema_is_named_as_such() -> None:
    plain = json.loads(r.encode(make_record()))
    plain["schema"] = "edgekit.record/2"
    plain["brand_new"] = True
    with pytest.raises(InputError, match=r"schema 'edgekit\.record/2'") as caught:
        r.decode(json.dumps(plain))
    assert "upgrade" in (caught.value.hint or "")


def test_records_are_frozen() -> None:
    with pytest.raises(AttributeError):
        make_record().id = "x"  # type: ignore[misc]
    assert all(kind.__struct_config__.frozen for kind in msgspec.Struct.__subclasses__() if _ours(kind))


def _ours(kind: type) -> bool:
    return kind.__module__ in ("edgekit.records.schema", "edgekit.stats.types")


def test_ids_are_unique_and_sort_by_time() -> None:
    moment = datetime(2026, 1, 31, 12, tzinfo=UTC)
    ids = [r.new_id(moment + timedelta(milliseconds=i)) for i in range(2000)]
    assert ids == sorted(ids)
    assert len({r.new_id(moment) for _ in range(1000)}) == 1000
    assert ids[0].startswith("20260131-120000000-")


def test_reading_and_writing_records_loads_no_numpy() -> None:
    """Push reads and writes records' parts too; NumPy costs 100 ms."""
    code = "import sys, edgekit.records, edgekit.stats; print('numpy' in sys.modules, 'sqlalchemy' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert out.stdout.split() == ["False", "False"]


@pytest.mark.parametrize("name", r.METRICS)
def test_every_metric_has_a_path_in_the_record(name: str) -> None:
    value = r.value_of(make_record(), name)
    assert value is None or value >= 0


def test_metrics_take_their_value_from_the_record() -> None:
    record = make_record()
    assert r.value_of(record, "median_latency") == record.latency.median
    assert r.value_of(record, "load") == 1050
    assert r.value_of(record, "model_size") == 1234
    assert r.value_of(record, "p999_latency") is None
    assert r.value_of(record, "energy_per_inference") is None
    assert not r.metric("accuracy").lower_is_better
    assert r.metric("peak_rss").unit == "bytes"


def test_an_unknown_metric_names_its_neighbours() -> None:
    with pytest.raises(InputError) as caught:
        r.value_of(make_record(), "meadian_latency")
    assert caught.value.code == "E_METRIC"
    assert "median_latency" in (caught.value.hint or "")
