"""D1.3: thread counts of one model side by side, on simulated devices in virtual time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgekit.api.configurations import bench_threads
from edgekit.benchmarking.ci_report import junit
from edgekit.benchmarking.outcome import Configured
from edgekit.benchmarking.plan import BenchOptions
from edgekit.devices import Device
from edgekit.errors import DeviceLost, EdgekitError, InputError
from edgekit.models import open_model
from edgekit.profiles import load_profile
from edgekit.records import Record
from edgekit.results.store import Store
from tests.sim.devices import MODEL, PROFILE, RUNTIME, address, opened, push

COUNTS = (1, 2, 4)


def run(
    device: Device, threads: tuple[int, ...] = COUNTS, *, store: Any = False, **wishes: Any
) -> Configured:
    push(open_model(MODEL), device, smoke=False)
    options = BenchOptions(
        **{"runtime": RUNTIME, "launches": 4, "seed": 3, "lease_wait_seconds": 1.0, **wishes}
    )
    return bench_threads(
        "digits", device, threads, profile=load_profile(PROFILE), options=options, store=store
    )


def rounds(records: list[Record]) -> list[list[int]]:
    """Thread counts in the order in which the launches began, by round."""
    began = sorted((one.start_us or 0.0, one.order, index, record.plan.threads or 0)
                   for record in records for index, one in enumerate(record.launches))  # fmt: skip
    assert [order for _, order, _, _ in began] == list(range(len(began)))
    assert [index for _, _, index, _ in began] == sorted(index for _, _, index, _ in began), (
        "a round ends first"
    )
    counts = [threads for *_, threads in began]
    return [counts[at : at + len(records)] for at in range(0, len(counts), len(records))]


def records_of(found: Configured) -> list[Record]:
    assert not found.failed
    return [outcome.record for outcome in found.outcomes]


def test_d1_3_launches_are_interleaved_in_an_order_of_the_seed_that_is_kept(tmp_path: Path) -> None:
    """One launch of each in every round, under one lease: conditions are shared, and every record is in the store."""
    place = tmp_path / "results.sqlite"
    with opened(address()) as device:
        records = records_of(run(device, store=place))
    order = rounds(records)
    assert [sorted(one) for one in order] == [[1, 2, 4]] * 4
    assert len({tuple(one) for one in order}) > 1, "not the same order in every round"
    assert [one.plan.threads for one in records] == [1, 2, 4]
    assert [{launch.threads for launch in one.launches} for one in records] == [{1}, {2}, {4}]
    assert {(one.plan.seed, one.plan.other["configurations"]) for one in records} == {(3, "1,2,4")}
    assert len({one.started_at for one in records}) == 1
    assert all(one.conditions == records[0].conditions for one in records)
    assert all(one.verdict.state != "invalid" for one in records)
    assert all(one.energy.per_inference_uj is not None for one in records)
    with opened(address()) as device:
        assert rounds(records_of(run(device))) == order, "the same seed, the same order"
    with opened(address()) as device:
        assert rounds(records_of(run(device, seed=4))) != order
    assert {Store(place).get(one.id).id for one in records} == {one.id for one in records}


def test_d1_3_no_seed_gets_one_that_is_kept() -> None:
    with opened(address()) as device:
        records = records_of(run(device, seed=None))
    (seed,) = {one.plan.seed for one in records}
    with opened(address()) as device:
        assert rounds(records_of(run(device, seed=seed))) == rounds(records)


def test_d1_3_each_is_judged_for_itself_and_the_worst_verdict_is_the_exit_code() -> None:
    """The last of all launches crashes: its configuration has a launch that failed, the other one has none."""
    with opened(address(fault="crash", after=7)) as device:
        found = run(device, (1, 2))
    states = {outcome.record.plan.threads: outcome.record.verdict.state for outcome in found.outcomes}
    last = max(found.outcomes, key=lambda one: max(launch.order for launch in one.record.launches)).record
    assert states.pop(last.plan.threads) == "invalid"
    assert list(states.values()) == ["valid"]
    assert found.exit_code() == 4


def test_d1_3_one_that_does_not_run_is_told_and_the_others_are_measured(tmp_path: Path) -> None:
    """The first round's second launch crashes, as all do after it: of that one there is no record."""
    place = tmp_path / "results.sqlite"
    with opened(address(fault="crash", after=1)) as device:
        found = run(device, (1, 2), store=place)
    ((count, error),) = found.failed
    (outcome,) = found.outcomes
    assert {count, outcome.record.plan.threads} == {1, 2}
    assert [launch.ok for launch in outcome.record.launches] == [True, False, False, False]
    assert found.exit_code() == error.exit_code
    (failed,) = found.document()["failed"]
    assert (failed["threads"], failed["error"]["code"]) == (count, error.code)
    assert Store(place).get(outcome.record.id) == outcome.record


def test_d1_3_where_none_runs_the_error_is_the_answer() -> None:
    with opened(address(fault="crash")) as device, pytest.raises(EdgekitError):
        run(device)


def test_d1_3_a_device_that_vanishes_ends_it() -> None:
    with opened(address(fault="vanish", after=2)) as device, pytest.raises(DeviceLost):
        run(device)


def test_d1_3_gates_are_of_each_and_ci_can_tell_them_apart() -> None:
    with opened(address()) as device:
        found = run(device, (1, 2), gates=("median_latency<=1us", "peak_rss<=1GB"))
    assert [[gate.passed for gate in one.gates] for one in found.outcomes] == [[False, True]] * 2
    assert found.exit_code() == 5
    told = junit(found.outcomes, strict=False)
    assert "digits, threads 1 on sim:" in told
    assert "digits, threads 2 on sim:" in told


@pytest.mark.parametrize(
    ("threads", "wishes"),
    [
        ((), {}),
        ((2, 2), {}),
        ((1, 0), {}),
        ((1, 257), {}),
        (COUNTS, {"sustained_minutes": 1.0}),
        (COUNTS, {"op_profile": True}),
        (COUNTS, {"evaluation": "labels.npz"}),
        (COUNTS, {"streams": 2}),
        (COUNTS, {"gates": ("median_latency<=baseline*1.03",)}),
    ],
)
def test_d1_3_what_cannot_be_is_refused_before_anything_is_sent(
    threads: tuple[int, ...], wishes: dict[str, Any]
) -> None:
    with opened(address()) as device, pytest.raises(InputError) as caught:
        bench_threads(MODEL, device, threads, options=BenchOptions(runtime=RUNTIME, **wishes), store=False)
    assert caught.value.code == "E_PLAN"
