"""D3.1: the gates of a kept run are held again where it is done again; and its model is put there again where it is gone."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import msgspec
import pytest

import edgekit as sdk
from edgekit.addresses import parse
from edgekit.cli.main import run
from edgekit.devices import Device
from edgekit.errors import InputError, StoreError
from edgekit.events import Event
from edgekit.models import open_model
from edgekit.profiles import load_profile
from edgekit.records import Record
from edgekit.results.store import Store
from edgekit.transports.sim.transport import forget
from tests.sim.devices import MODEL, PROFILE, RUNTIME, address, opened, push
from tests.sim.test_rerun import bench, device, place  # noqa: F401 - fixtures

QUICK = [
    "--launches",
    "4",
    "--iterations",
    "20",
    "--min-seconds",
    "0",
    "--runtime",
    RUNTIME,
    "--meter",
    "none",
]


def asked(record: Record) -> Any:
    assert record.environment is not None
    return record.environment.asked


def test_d3_1_gates_of_the_run_are_held_again(device: Device, place: Path) -> None:  # noqa: F811
    """Numbers and units alike; the record keeps what was asked, and so does that of the rerun; off by gates=False."""
    gates = ("median_latency<=1ms", "peak_rss<64MiB")
    first = bench(device, place, gates=gates)
    found = sdk.rerun(first.id, store=place)
    assert [gate.gate for gate in found.gates[:2]] == list(gates)
    assert not found.gates[0].passed
    assert (found.exit_code(), found.document()["gates"][0]["passed"]) == (5, False)
    assert asked(found.record).gates == asked(first).gates == gates
    free = sdk.rerun(first.id, gates=False, store=place)
    assert (free.gates, free.exit_code(), "gates" in free.document()) == ((), 0, False)


def test_d3_1_the_profiles_limits_are_held_again(device: Device, place: Path) -> None:  # noqa: F811
    first = bench(device, place)
    plain = load_profile(PROFILE)
    limits = msgspec.structs.replace(plain.limits, median_latency_us=10.0)
    found = sdk.rerun(first.id, profile=msgspec.structs.replace(plain, limits=limits), store=place)
    assert [(gate.metric, gate.passed) for gate in found.gates] == [("median_latency", False)]
    assert found.exit_code() == 5


def test_d3_1_a_gate_against_a_baseline_compares_with_the_same_run_and_is_confirmed(
    device: Device,  # noqa: F811
    place: Path,  # noqa: F811
) -> None:
    """A run that was named stays the baseline, whatever is the store's by now; a failure is measured once more, by the plan."""
    before = bench(device, place, seed=3)
    first = bench(device, place, gates=("median_latency<=baseline*1.5",), baseline=before.id[:-1])
    assert asked(first).baseline == before.id
    with opened(address(median_us=9000, within_sd=0.02)) as slower:
        push(open_model(MODEL), slower, smoke=False)
        found = sdk.rerun(first.id, device=slower.address, store=place)
        assert (found.gates[0].passed, found.gates[0].confirmed, found.exit_code()) == (False, True, 5)
        assert found.second is not None
        assert found.second.plan == found.record.plan == first.plan
        assert found.document()["second_run"] == found.second.id
        other = sdk.rerun(first.id, device=slower.address, baseline=found.record.id, store=place)
    assert other.gates[0].passed
    assert asked(other.record).baseline == found.record.id
    with pytest.raises(InputError) as caught:
        sdk.rerun(first.id, baseline="no-such-run", store=place)
    assert caught.value.code == "E_NO_RUN"


def test_d3_1_a_simulated_device_of_another_process_is_measured_again(
    place: Path,  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without state=FOLDER it is gone with its process; the record says where the model lies, whose bytes decide."""
    model = tmp_path / "mine.tflite"
    model.write_bytes(MODEL.read_bytes())
    where = address(median_us=2000, within_sd=0.02)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGEKIT_RESULTS", str(place))
    assert run(["bench", "mine.tflite", "-d", where, *QUICK, "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    forget(parse(where))
    assert first["environment"]["asked"]["model"] == str(model)
    try:
        assert run(["rerun", "latest", "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert (found["run"], found["not_repeated"]) == (first["id"], [])
        assert found["record"]["model"] == first["model"]
        forget(parse(where))
        model.write_bytes(MODEL.read_bytes() + b"\0")
        assert run(["rerun", first["id"], "--json"]) == 1
        error = json.loads(capsys.readouterr().out)["error"]
        assert error["code"] == "E_RERUN_MODEL"
        assert f"{model} is another file by now" in error["message"]
        assert run(["rerun", first["id"], "--model", str(model)]) == 1
        assert run(["rerun", first["id"], "--model", str(MODEL)]) == 0
        assert "verdict: " in capsys.readouterr().out
    finally:
        forget(parse(where))


def test_d3_1_a_store_that_cannot_be_written_is_told_before_anything_is_measured(
    device: Device,  # noqa: F811
    place: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Root writes into what is read-only, so the database itself is told to be."""
    first = bench(device, place)
    from edgekit.results import sqlite_file

    usual = sqlite_file._set_up

    def set_up(connection: sqlite3.Connection, record: object) -> None:
        usual(connection, record)
        connection.execute("PRAGMA query_only = ON").close()

    monkeypatch.setattr(sqlite_file, "_set_up", set_up)
    events: list[Event] = []
    with pytest.raises(StoreError) as caught:
        sdk.rerun(first.id, store=place, sink=events.append)
    assert caught.value.code == "E_STORE_READ_ONLY"
    assert [event.task for event in events if event.task == "measure"] == []


def test_d3_1_a_profile_that_changed_since_is_told(
    device: Device,  # noqa: F811
    place: Path,  # noqa: F811
) -> None:
    first = bench(device, place)
    assert first.profile is not None
    other = msgspec.structs.replace(
        first,
        id="20260131-120000000-abcdef",
        profile=msgspec.structs.replace(first.profile, sha256="ab" * 32),
    )
    Store(place).add(other)
    told = sdk.rerun("abcdef", store=place).not_repeated
    assert told == (f"the profile {PROFILE} has changed since: its limits and its meter are today's",)
