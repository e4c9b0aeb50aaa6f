"""D1.2, D1-b3: each fault ends in its own error, with nothing half-written and no setting left changed."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import numpy as np
import pytest

import edgekit
from edgekit.addresses import parse
from edgekit.api.devices import connect
from edgekit.benchmarking import BenchOptions
from edgekit.benchmarking.measure import measure
from edgekit.deployment import release_on_device, releases
from edgekit.devices import Device
from edgekit.errors import DeviceFull, DeviceLost, DeviceReadOnly, EdgekitError, VerificationError
from edgekit.events import Event
from edgekit.models import open_model
from edgekit.profiles import load_profile
from edgekit.transports.sim.transport import forget
from tests.sim.devices import DIGITS, MODEL, PROFILE, RUNTIME, address, bench, opened, push

RUNNER_FAULTS = {
    "crash": "E_RUNNER_CRASH",
    "killed": "E_RUNNER_KILLED",
    "garbage": "E_RUNNER_OUTPUT",
    "hang": "E_RUNNER_TIMEOUT",
}
GOVERNOR = "/sys/devices/system/cpu/cpufreq/policy0/scaling_governor"


def nothing_is_left(device: Device) -> None:
    """No setting changed, no lease held, no scratch folder, no temporary file."""
    assert device.read_texts([GOVERNOR]) == {GOVERNOR: "schedutil\n"}
    with device.leased("look", 0.0):
        pass
    root = device.layout.root
    assert (
        device.agent.glob([f"{root}/run/*", *(f"{root}/{stars}.*ek-tmp" for stars in ("", "*/*/", "*/*/*/"))])
        == ()
    )


@pytest.mark.parametrize("fault", RUNNER_FAULTS)
def test_a_runner_that_fails_in_the_smoke_run_is_not_active(fault: str) -> None:
    began = time.monotonic()
    with opened(address(fault=fault)) as device:
        with pytest.raises(EdgekitError) as caught:
            push(open_model(MODEL), device)
        assert caught.value.code == RUNNER_FAULTS[fault]
        assert caught.value.device == device.address
        assert not any(row.active for row in releases(device))
        nothing_is_left(device)
    assert time.monotonic() - began < 60  # a hang takes device time only


@pytest.mark.parametrize("fault", RUNNER_FAULTS)
def test_a_runner_that_fails_at_once_is_an_error_of_the_bench(fault: str) -> None:
    with opened(address(fault=fault)) as device:
        push(open_model(MODEL), device, smoke=False)
        with pytest.raises(EdgekitError) as caught:
            bench(device)
        assert caught.value.code == RUNNER_FAULTS[fault]
        nothing_is_left(device)


@pytest.mark.parametrize("fault", RUNNER_FAULTS)
def test_a_runner_that_fails_later_leaves_what_was_measured(fault: str) -> None:
    with opened(address(fault=fault, after=2)) as device:
        push(open_model(MODEL), device, smoke=False)
        outcome, samples = bench(device)
        nothing_is_left(device)
    record = outcome.record
    assert [launch.ok for launch in record.launches] == [True, True, False, False, False]
    assert record.verdict.state == "invalid"
    assert all((launch.error or "").startswith(RUNNER_FAULTS[fault]) for launch in record.launches[2:])
    assert [array.size > 0 for array in samples.launches] == [True, True, False, False, False]


@pytest.mark.parametrize("fault", ["vanish", "reboot"])
def test_a_device_that_goes_in_a_launch_comes_back_clean(fault: str) -> None:
    where = address(fault=fault, after=3)
    with opened(where) as device:
        push(open_model(MODEL), device, smoke=False)
        boot_id, uptime_us = device.agent.hello.boot_id, device.clock_us()
        with pytest.raises(DeviceLost):
            bench(device)
        with connect(where) as again:
            nothing_is_left(again)
            assert (again.agent.hello.boot_id != boot_id) == (fault == "reboot")
            assert (again.clock_us() < uptime_us) == (fault == "reboot")
            assert bench(again)[0].record.verdict.state == "valid"


def test_a_device_that_goes_at_any_request_of_a_push_has_all_of_it_or_nothing() -> None:
    model = open_model(MODEL)
    lost = 0
    for at in range(1, 60):
        where = address(fault="vanish", at=at)
        try:
            with connect(where) as device:
                push(model, device)
        except DeviceLost:
            lost += 1
        with opened(where) as again:
            rows = releases(again)
            assert all(row.sha256 == model.sha256 for row in rows)
            pushed = push(model, again)
            assert pushed.activated
            assert [row.active for row in releases(again, "digits")] == [True]
            nothing_is_left(again)
        if at > lost:
            break
    assert 15 < lost < 55


def test_a_full_device() -> None:
    with opened(address(fault="full")) as device:
        device.agent.write(f"{device.layout.root}/keep", b"x")
        with pytest.raises(DeviceFull) as caught:
            push(open_model(MODEL), device)
        assert caught.value.hint
        assert releases(device) == []
        with pytest.raises(DeviceFull):
            device.agent.put(bytes(2 << 20), f"{device.layout.root}/large")
        nothing_is_left(device)


def test_a_device_that_fills_up_while_it_runs() -> None:
    """The samples do not fit: a clear error, not a short file."""
    with opened(address(disk="9MB", median_us=1)) as device:
        push(open_model(MODEL), device, smoke=False)
        with pytest.raises(DeviceFull):
            bench(device)
        nothing_is_left(device)


def test_a_read_only_device() -> None:
    with opened(address(fault="readonly")) as device, pytest.raises(DeviceReadOnly):
        push(open_model(MODEL), device)


def test_wrong_outputs_are_found(tmp_path: Path) -> None:
    with opened(address(fault="wrong-outputs")) as device:
        with pytest.raises(VerificationError) as caught:
            push(open_model(MODEL), device)
        assert caught.value.code == "E_SMOKE"  # two runs differ
        assert not any(row.active for row in releases(device))
    pytest.importorskip("ai_edge_quantizer")
    artifact = edgekit.convert(
        MODEL,
        profile=load_profile(PROFILE),
        recipe="float32",
        evaluation=DIGITS / "evaluation.npz",
        output=tmp_path / "digits.ekm",
    )
    with opened(address(fault="wrong-outputs")) as device, pytest.raises(VerificationError) as caught:
        push(artifact, device)
    assert caught.value.code == "E_SMOKE"
    with opened(address(fault="wrong-outputs", after=1)) as device:
        push(artifact, device)
        record = bench(device)[0].record
    assert (record.verdict.state, record.accuracy.golden) == ("invalid", "failed")


def test_a_clock_that_jumps_is_told_apart_from_one_that_does_not() -> None:
    with opened(address(fault="clock-jump", after=1)) as device:
        push(open_model(MODEL), device, smoke=False)
        sampling = device.agent.sample(["/proc/uptime"], period_ms=100)
        bench(device, min_seconds=1.0)
        samples = sampling.stop()
    apart = np.array([s.boottime_ns - s.monotonic_raw_ns for s in samples])
    assert sorted(set((apart - apart[0]).tolist())) == [0, 90_000_000_000]


def test_a_hang_without_a_deadline_ends_when_it_is_cancelled() -> None:
    where = address(fault="hang")
    with opened(where) as device:
        push(open_model(MODEL), device, smoke=False)
        script = f"{device.layout.root}/litert_runner.py"
        device.agent.write(script, b"")
        argv = ["python3", script, "--samples", "s", "--empty-body"]
        with device.agent.start_run(argv) as running:
            running.started(5)
            running.cancel()
            result = running.wait()
    assert (result.cancelled, result.signal) == (True, 15)
    forget(parse(where))


def test_a_disk_that_is_full_in_the_long_launch_costs_no_measurement() -> None:
    """D1-b3: what was measured before is kept; its note says what is missing."""
    with opened(address(disk=f"{5 << 20}B")) as device:
        push(open_model(MODEL), device, smoke=False)
        done, samples = bench(device, sustained_minutes=60.0, launches=3, meter="none")
        assert done.record.latency.count > 0
        assert len(samples.launches) == 3
        assert done.record.sustained is None
        assert any("no sustained load: E_DEVICE_FULL" in note for note in done.record.verdict.notes)
        nothing_is_left(device)


def test_a_disk_that_is_full_in_a_timed_launch_costs_that_launch() -> None:
    """D1-b3: the launches before it are kept, and the run says what is missing and is invalid."""
    with opened(address(disk=f"{5 << 20}B")) as device:
        push(open_model(MODEL), device, smoke=False)
        filler = f"{device.layout.root}/someone-elses"

        def fill(event: Event) -> None:
            """Someone else takes all of the disk when three launches are done."""
            if event.unit == "launches" and event.done == 3:
                for size in (1 << 20, 1 << 16, 1 << 12):
                    with contextlib.suppress(DeviceFull):
                        for number in range(16):
                            device.agent.put(bytes(size), f"{filler}-{size}-{number}")

        wanted = BenchOptions(runtime=RUNTIME, seed=1, launches=5, iterations=2000, meter="none")
        profile, release = load_profile(PROFILE), release_on_device(device, "digits", None)
        record, samples = measure(release, device, profile=profile, options=wanted, sink=fill)
        assert [launch.ok for launch in record.launches] == [True] * 3 + [False] * 2
        assert "E_DEVICE_FULL" in (record.launches[-1].error or "")
        assert sum(len(one) for one in samples.launches) == record.latency.count > 0
        assert record.verdict.state == "invalid"


def test_the_verdict_names_the_first_launch_that_failed_and_why() -> None:
    """D1-b3: a clear record; the reader need not look for the launch."""
    with opened(address(fault="killed", after=2)) as device:
        push(open_model(MODEL), device, smoke=False)
        done, _ = bench(device, launches=4, meter="none")
        (reason,) = [text for text in done.record.verdict.reasons if "ended well" in text]
        assert reason.startswith("only 2 of 4 launches ended well (launch 3: E_RUNNER_KILLED: ")
