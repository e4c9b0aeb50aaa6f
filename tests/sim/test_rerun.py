"""D3.1: a kept run done again by the same plan and compared, on simulated devices in virtual time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

import edgekit as sdk
from edgekit.api.configurations import bench_threads
from edgekit.api.pipelines import bench_outcome
from edgekit.benchmarking.plan import BenchOptions
from edgekit.cli.main import run
from edgekit.devices import Device
from edgekit.errors import InputError
from edgekit.events import Event
from edgekit.models import open_model
from edgekit.profiles import load_profile
from edgekit.records import Record, Samples
from edgekit.results.store import Store
from tests.sim.devices import MODEL, PROFILE, RUNTIME, address, opened, push

PLAN = {"launches": 4, "iterations": 30, "min_seconds": 0.0, "warmup_iterations": 3, "seed": 7, "threads": 2}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "results.sqlite"


@pytest.fixture
def device() -> Iterator[Device]:
    with opened(address(median_us=2000, within_sd=0.02)) as found:
        push(open_model(MODEL), found, smoke=False)
        yield found


def bench(device: Device, place: Path, **wishes: Any) -> Record:
    options = BenchOptions(**{"runtime": RUNTIME, "lease_wait_seconds": 1.0, **PLAN, **wishes})
    profile = load_profile(PROFILE)
    return bench_outcome("digits", device, profile=profile, options=options, store=place).record


def plan_of(record: Record) -> Any:
    return msgspec.to_builtins(record.plan)


def test_d3_1_the_same_plan_on_the_same_device_shows_no_difference(device: Device, place: Path) -> None:
    """Wishes that no profile has stand in the record's plan, and are done again; labels come along; the new run is kept."""
    first = bench(device, place, streams=2, spread_seconds=3.0, priority=5, labels={"board": "7"})
    found = sdk.rerun(first.id, store=place)
    assert found.verdict == "no_difference"
    assert found.exit_code() == 0
    assert found.not_repeated == ()
    assert plan_of(found.record) == plan_of(first)
    assert [launch.seed for launch in found.record.launches] == [launch.seed for launch in first.launches]
    assert found.record.runtime.argv[0] == first.runtime.argv[0]
    assert (found.record.labels, found.record.device.address) == ({"board": "7"}, device.address)
    assert found.record.environment is not None
    assert found.record.environment.rerun_of == first.id
    assert found.difference.fields == ()
    assert Store(place).get("latest") == found.record
    assert found.record.id != first.id


def test_d3_1_another_device_is_measured_and_said_to_be_another(device: Device, place: Path) -> None:
    """`-d`: a slower one; the difference is Welch's over launches, and what else differs stands beside it."""
    first = bench(device, place, min_seconds=2.0)
    assert first.energy.meter
    with opened(address(median_us=3000, within_sd=0.02)) as slower:
        push(open_model(MODEL), slower, smoke=False, name="another-name")
        found = sdk.rerun(first.id, device=slower.address, meter="none", store=place)
    assert (found.verdict, found.exit_code()) == ("slower", 0)
    (median,) = [one for one in found.difference.metrics if one.metric == "median_latency"]
    assert median.ratio == pytest.approx(1.5, rel=0.02)
    assert median.p_value is not None
    (told,) = found.not_repeated
    assert told.startswith(f"energy was measured by {first.energy.meter}; now it is not")
    assert "the runs are of different devices" in found.difference.warnings
    assert {"device.address", "model.name"} <= {one.path for one in found.difference.fields}


def test_d3_1_the_profile_of_today_does_not_change_the_plan(device: Device, place: Path) -> None:
    """Knobs, governor and cooling are those of the record, also where the profile says otherwise now."""
    first = bench(device, place, cool=False)
    profile = load_profile(PROFILE)
    other = msgspec.structs.replace(
        profile, bench=msgspec.structs.replace(profile.bench, governor="powersave", cpus="0", priority=3)
    )
    assert (first.plan.cool_to_mc, first.plan.governor) == (None, "performance")
    assert plan_of(sdk.rerun(first.id, profile=other, store=place).record) == plan_of(first)


def test_d3_1_where_the_bytes_are_not_on_the_device_the_error_says_which_to_push(place: Path) -> None:
    with opened(address()) as device:
        push(open_model(MODEL), device, smoke=False)
        first = bench(device, place)
    with opened(device.address), pytest.raises(InputError) as caught:
        sdk.rerun(first.id, store=place)
    assert caught.value.code == "E_RERUN_MODEL"
    assert f"name the file whose sha256 is {first.model.sha256}: --model FILE" in (caught.value.hint or "")
    assert "state=FOLDER" in (caught.value.hint or "")
    assert Store(place).count() == 1


def test_d3_1_what_cannot_be_done_again_is_told(device: Device, place: Path, tmp_path: Path) -> None:
    """The inputs are gone, or other ones; counts were measured side by side; the profile is gone."""
    pixels = np.random.default_rng(1).random((2, 28, 28, 1), np.float32)
    np.savez(tmp_path / "mine.npz", image=pixels)
    first = bench(device, place, inputs=str(tmp_path / "mine.npz"))
    (tmp_path / "mine.npz").rename(tmp_path / "moved.npz")
    gone = sdk.rerun(first.id, store=place)
    (told,) = gone.not_repeated
    assert told.startswith(f"inputs: {tmp_path / 'mine.npz'} is gone; golden or random ones are timed")
    assert gone.record.plan.inputs == "random"
    assert "plan.inputs" in {one.path for one in gone.difference.fields}
    moved = sdk.rerun(first.id, inputs=tmp_path / "moved.npz", store=place)
    assert moved.not_repeated == ()
    assert plan_of(moved.record) == plan_of(first)


def test_d3_1_data_that_changed_are_told_before_anything_is_measured(
    device: Device, place: Path, tmp_path: Path
) -> None:
    """Other bytes under the record's path are not taken; those that the user names are."""
    data = tmp_path / "mine.npz"
    pixels = np.random.default_rng(1).random((2, 28, 28, 1), np.float32)
    np.savez(data, image=pixels, labels=np.array([1, 2]))
    first = bench(device, place, inputs=str(data), evaluation=str(data))
    np.savez(data, image=pixels + 1, labels=np.array([1, 2]))
    steps: list[str] = []

    def told(event: Event) -> None:
        steps.append(event.message if event.task == "rerun" else event.task)

    found = sdk.rerun(first.id, store=place, sink=told)
    assert found.not_repeated[:2] == tuple(
        f"{what}: {data} has changed since; {instead}"
        for what, instead in (
            ("inputs", "golden or random ones are timed (--inputs FILE names them)"),
            ("evaluation data", "nothing is scored on the device (--evaluation FILE names them)"),
        )
    )
    assert [one for one in steps if one.startswith("not repeated: ")] == [
        f"not repeated: {text}" for text in found.not_repeated[:2]
    ]
    assert steps.index(f"not repeated: {found.not_repeated[1]}") < steps.index("measure")
    assert found.record.plan.inputs == "random"
    assert found.record.accuracy.scored_on != "device"
    named = sdk.rerun(first.id, inputs=data, evaluation=data, store=place)
    assert named.not_repeated == (
        "the inputs are other ones than those of the first run",
        "the evaluation data are other ones than those of the first run",
    )
    assert (named.record.plan.inputs, named.record.accuracy.scored_on) == ("own", "device")


def test_d3_1_a_run_beside_others_and_without_its_profile(device: Device, place: Path) -> None:
    options = BenchOptions(runtime=RUNTIME, lease_wait_seconds=1.0, **PLAN)  # type: ignore[arg-type]
    profile = msgspec.structs.replace(load_profile(PROFILE), name="nobodys-profile")
    first = bench_threads("digits", device, (1, 2), profile=profile, options=options, store=place).outcomes[1]
    found = sdk.rerun(first.record.id, store=place)
    assert [text.partition(":")[0] for text in found.not_repeated][:1] == [
        "without the profile nobodys-profile"
    ]
    assert "it was measured side by side with other thread counts; now alone" in found.not_repeated
    assert found.record.plan.threads == 2
    assert found.record.plan.governor == first.record.plan.governor


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"model": {"name": "m"}}, "E_RERUN"),
        ({"device": {"address": "ssh:0123456789ab"}}, "E_RERUN_DEVICE"),
        ({"device": {"address": "sim:no-such-profile"}}, "E_RERUN_DEVICE"),
        ({"plan": {"launches": 1_000_000_000}}, "E_PLAN"),
    ],
)
def test_d3_1_a_record_that_cannot_be_done_again_says_why(
    device: Device, place: Path, change: dict[str, Any], code: str
) -> None:
    """Imported from another tool, redacted, or not made by edgekit at all."""
    plain = msgspec.to_builtins(bench(device, place))
    record = msgspec.convert({**plain, **change, "id": "20260131-120000000-abcdef"}, Record)
    Store(place).add(record, Samples())
    with pytest.raises(InputError) as caught:
        sdk.rerun("abcdef", store=place)
    assert caught.value.code == code
    assert caught.value.hint


def test_d3_1_an_older_record_is_done_again_and_says_what_it_does_not_tell(
    device: Device, place: Path
) -> None:
    first = msgspec.structs.replace(bench(device, place), id="20260131-120000000-abcdef", environment=None)
    Store(place).add(first, Samples())
    found = sdk.rerun("abcdef", store=place)
    assert [text.partition(":")[0] for text in found.not_repeated] == ["an older record"]
    assert plan_of(found.record) == plan_of(first)
    assert not [one for one in found.difference.fields if one.path.startswith("environment")]


def test_d3_1_the_command_prints_both_and_an_invalid_run_is_4(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A launch crashes in the second run: it is invalid, and so is the comparison; its record is kept."""
    with opened(address(fault="crash", after=5)) as device:
        push(open_model(MODEL), device, smoke=False)
        first = bench(device, place)
        arguments = ["rerun", first.id, "--db", str(place), "--json"]
        assert run(arguments) == 4
    document = json.loads(capsys.readouterr().out)
    assert (document["run"], document["verdict"]) == (first.id, "invalid")
    assert document["record"]["id"] == document["rerun"] == document["difference"]["b"]
    assert document["record"]["environment"]["argv"] == arguments
    assert Store(place).get(document["rerun"]).verdict.state == "invalid"
