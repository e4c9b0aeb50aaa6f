"""D1.2: the whole chain on a simulated device, with nothing above the transport knowing."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import edgekit
from edgekit.addresses import parse
from edgekit.api.devices import connect
from edgekit.api.doctor import check_device
from edgekit.benchmarking.assemble import device_part
from edgekit.benchmarking.gates import check_gate, parse_gate
from edgekit.benchmarking.verdict import SIMULATED
from edgekit.cli.commands.meters import meters
from edgekit.config import Config
from edgekit.deployment import gc, releases, rollback
from edgekit.deployment.listing import no_release
from edgekit.devices.discovery import discover, matching_profile
from edgekit.devices.readiness import cool_down
from edgekit.errors import DeviceBusy, DevicePermission, EdgekitError, HostError, InputError
from edgekit.events import ignore
from edgekit.models import Artifact, open_model
from edgekit.profiles import load_profile
from edgekit.transports.sim.transport import forget
from tests.cli.running import QUICK
from tests.cli.running import edgekit as command
from tests.sim.devices import DIGITS, MODEL, PROFILE, address, bench, opened, push

QUIET = {"within_sd": 0.001, "launch_sd": 0, "outlier_share": 0}


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """With golden inputs and outputs."""
    pytest.importorskip("ai_edge_quantizer")
    return edgekit.convert(
        MODEL,
        profile=load_profile(PROFILE),
        recipe="float32",
        evaluation=DIGITS / "evaluation.npz",
        output=tmp_path_factory.mktemp("artifact") / "digits.ekm",
    )


def other_version(folder: Path) -> Path:
    """The same model with some other weights."""
    data = bytearray(MODEL.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 64] = bytes(64)
    path = folder / "other.tflite"
    path.write_bytes(data)
    return path


def test_push_patch_unchanged_rollback_and_gc(tmp_path: Path) -> None:
    first, second = open_model(MODEL), open_model(other_version(tmp_path))
    with opened(address()) as device:
        pushed = push(first, device)
        assert (pushed.smoke, pushed.activated) == ("passed", True)
        assert push(first, device).method == "unchanged"
        patched = push(second, device)
        assert patched.bytes_sent < pushed.bytes_sent / 10
        assert [row.active for row in releases(device, "digits")].count(True) == 1
        assert rollback(device, "digits").version == pushed.version
        gc(device, keep=1)
        assert [(row.version, row.active) for row in releases(device, "digits")][:1] == [
            (pushed.version, True)
        ]


def test_golden_outputs_are_given_for_golden_inputs(artifact: Artifact) -> None:
    with opened(address(**QUIET)) as device:
        assert push(artifact, device).smoke == "passed"
        outcome, _ = bench(device)
    assert outcome.record.accuracy.golden == "passed"
    assert outcome.record.model.recipe_sha256 == artifact.manifest.recipe_sha256 != ""


def test_record_has_the_latencies_of_the_address_and_says_that_it_is_simulated() -> None:
    with opened(address(median_us=2345, **QUIET)) as device:
        push(open_model(MODEL), device, smoke=False)
        outcome, samples = bench(device)
    record = outcome.record
    assert record.latency.median == pytest.approx(2345, rel=0.002)
    assert record.latency.first_inference == pytest.approx(3 * 2345, rel=0.02)
    assert record.verdict.state == "valid"
    assert SIMULATED in record.verdict.notes
    assert "simulated" in (record.device.model or "")
    assert "simulated" in (record.device.os or "")
    assert (record.device.address or "").startswith("sim:")
    assert len(samples.launches) == 5
    assert all(launch.count >= 2e6 / 2345 for launch in record.launches)


def test_what_is_injected_is_seen() -> None:
    """The shape's own laws are tested with the shape; here that each reaches the record."""
    model = open_model(MODEL)
    with opened(address(launch_modes="1,1.5", **QUIET)) as device:
        push(model, device, smoke=False)
        medians = {round((launch.median_us or 0) / 2500) for launch in bench(device)[0].record.launches}
    assert medians == {2, 3}
    with opened(address(drift=0.5, drift_seconds=6, **QUIET)) as device:
        push(model, device, smoke=False)
        record = bench(device)[0].record
        assert (record.launches[-1].median_us or 0) > 1.3 * (record.launches[0].median_us or 0)
        again = bench(device)[0].record
    # the device rested in between: it drifts from the start again
    assert again.launches[0].median_us == pytest.approx(record.launches[0].median_us or 0, rel=0.02)


@pytest.mark.parametrize("profile", ["raspberry-pi-5", "pixel-8", "jetson-nano"])
def test_throttling_shows_where_such_a_device_shows_it(profile: str) -> None:
    with opened(address(profile, throttle_at_s=3, throttle_factor=1.4, **QUIET)) as device:
        push(open_model(MODEL), device, smoke=False)
        record = bench(device)[0].record
    assert record.verdict.state != "valid"
    assert any("frequency" in reason or "throttled" in reason for reason in record.verdict.reasons)
    assert (record.launches[-1].median_us or 0) == pytest.approx(7000, rel=0.01)


def test_without_sensors_what_cannot_be_seen_is_unknown() -> None:
    with opened(address(sensors="no", throttle_at_s=3, throttle_factor=1.4, **QUIET)) as device:
        push(open_model(MODEL), device, smoke=False)
        record = bench(device)[0].record
        assert device.sensors.sampled() == ()
    before = record.conditions.before
    assert (before.temperature_mc, before.frequency_khz, before.governor, before.throttled) == (None,) * 4


def test_a_simulated_phone_is_no_phone_in_a_list_of_runs() -> None:
    """D1.2: its profile knows it by the real one's model; the record's has the mark all the same."""
    with opened(address("pixel-8")) as device:
        assert matching_profile(device.facts) == "pixel-8"
        assert device_part(device.address, device.facts).model == "Pixel 8 (simulated)"
        assert device_part("adb:0123", device.facts).model == "Pixel 8"


def test_a_device_without_releases_says_how_one_gets_there(tmp_path: Path) -> None:
    """D1.9: a hint that there are none is no hint; a device that forgets them with its process says so."""
    with opened(address()) as device:
        hint = no_release(device, "digits", None).hint
        assert "edgekit push" in hint
        assert "state=FOLDER" in hint
    with opened(address(state=str(tmp_path))) as device:
        assert "state=" not in no_release(device, "digits", None).hint
        push(open_model(MODEL), device, smoke=False)
        assert no_release(device, "other", None).hint.startswith("there are: digits@")


def test_meters_do_not_send_the_reader_to_themselves() -> None:
    """D1.9: what they say of a device without any."""
    told = CliRunner().invoke(meters, ["-d", address(sensors="no")]).stdout
    assert "nothing on the device tells its power" in told
    assert "edgekit meters says" not in told


def test_telemetry_is_in_device_time_and_heats_up() -> None:
    with opened(address(temperature=40, temperature_rise=20, temperature_seconds=5, **QUIET)) as device:
        push(open_model(MODEL), device, smoke=False)
        outcome, samples = bench(device, min_seconds=3.0)
    record = outcome.record
    series = next(one for one in samples.telemetry if one.name == "cpu-thermal")
    heat = series.value.tolist()
    assert len(heat) >= 25
    assert heat == sorted(heat)
    assert heat[0] == 40_000
    assert 55_000 < heat[-1] <= 60_000
    start, end = record.launches[0].start_us, record.launches[-1].start_us
    assert start is not None
    assert end is not None
    assert 10e6 < end - start < 20e6
    assert series.t_us[0] == pytest.approx(start, abs=1e6)


def test_cooling_takes_device_time() -> None:
    began = time.monotonic()
    with opened(address(temperature=40, temperature_start=90, temperature_seconds=60)) as device:
        assert cool_down(device, 50_000, 600.0) is True
        before = device.clock_us()
        assert cool_down(device, 30_000, 60.0) is False
        assert device.clock_us() - before == pytest.approx(60e6, abs=3e6)
    assert time.monotonic() - began < 60


def test_same_seed_same_samples() -> None:
    model = open_model(MODEL)

    def run(seed: int) -> list[np.ndarray]:
        with opened(address(seed=seed)) as device:
            push(model, device)
            return [array for _ in range(2) for array in bench(device, min_seconds=0.2)[1].launches]

    first, same, other = run(5), run(5), run(6)
    assert all(np.array_equal(a, b) for a, b in zip(first, same, strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(first, other, strict=True))
    assert not np.array_equal(first[0], first[5])


def test_two_connections_are_one_device_and_exclude_each_other() -> None:
    where = address()
    with opened(where) as first, connect(where) as second:
        push(open_model(MODEL), first, smoke=False)
        assert [row.name for row in releases(second)] == ["digits"]
        with first.leased("measure", 0.0), pytest.raises(DeviceBusy) as busy, second.leased("push", 0.0):
            pass
        assert "measure" in busy.value.message
        with second.leased("push", 0.0):
            pass


def test_a_folder_keeps_the_device(tmp_path: Path) -> None:
    where = address(state=tmp_path / "board")
    with opened(where) as device:
        pushed = push(open_model(MODEL), device)
        boot_id = device.agent.hello.boot_id
    with opened(where) as device:
        assert device.agent.hello.boot_id == boot_id
        assert push(open_model(MODEL), device).method == "unchanged"
        assert releases(device, "digits")[0].version == pushed.version
        device.agent.remove(device.layout.models(), recursive=True)
    with opened(where) as device:
        assert releases(device) == []


def test_command_line(tmp_path: Path) -> None:
    """What a user types, from process to process."""
    where = address("host-x86-64", state=tmp_path / "device", **QUIET)
    shown = command("devices", "-d", where, "--json", cwd=tmp_path).ok().json()["devices"]
    assert [row["profile"] for row in shown] == ["host-x86-64"]
    assert "simulated" in shown[0]["os"]
    command("push", MODEL, "-d", where, "--name", "digits", cwd=tmp_path).ok()
    rows = command("releases", "-d", where, "--json", cwd=tmp_path).ok().json()["releases"]
    assert [row["active"] for row in rows] == [True]
    record = command("bench", "digits", "-d", where, "--json", *QUICK, cwd=tmp_path).ok().json()
    assert record["latency"]["median"] == pytest.approx(5000, rel=0.01)
    assert SIMULATED in record["verdict"]["notes"]
    checks = check_device(where, Config(), ignore)
    assert [check.state for check in checks] == ["ok"] * 5
    forget(parse(where))
    error = command("releases", "-d", "sim:raspberry-pi-5?medain_us=3", "--json", cwd=tmp_path).error()
    assert (error["code"], "median_us" in error["message"]) == ("E_SIM_OPTION", True)


@pytest.mark.parametrize(
    "profile",
    [
        "coral-dev-board",
        "galaxy-s24",
        "generic-android-arm64",
        "generic-linux-armv7",
        "jetson-orin-nano",
        "pixel-6",
    ],
)
def test_profile_knows_its_device(profile: str) -> None:
    with opened(address(profile)) as device:
        assert matching_profile(device.facts) == profile
        assert device.facts.unread == ()
        assert "simulated" in f"{device.facts.model} {device.facts.os_name} {device.facts.os_version}"


def test_discovery_asks_it_for_itself() -> None:
    found = discover(Config(), [address("pixel-8")])
    assert [(row.state, row.profile) for row in found] == [("ready", "pixel-8")]
    assert "simulated" in (found[0].os or "")


def test_a_bench_is_quick() -> None:
    """Aim: well under 100 ms of host time for 5 launches; the truth tests run thousands."""
    with opened(address()) as device:
        push(open_model(MODEL), device, smoke=False)
        bench(device)  # what is imported once
        took = []
        for _ in range(10):
            began = time.perf_counter()
            bench(device)
            took.append(time.perf_counter() - began)
        assert min(took) < 0.3


def test_a_folder_has_one_user_and_one_device(tmp_path: Path) -> None:
    where = address(state=tmp_path / "board")
    with opened(where):
        busy = command("releases", "-d", where, "--json", cwd=tmp_path).error()
    assert busy["code"] == "E_DEVICE_BUSY"
    with pytest.raises(HostError) as caught:
        connect(address("pixel-8", state=tmp_path / "board"))
    assert caught.value.code == "E_SIM_STATE"


def test_knobs_are_set_for_the_bench_and_restored() -> None:
    path = "/sys/devices/system/cpu/cpufreq/policy0/scaling_governor"
    with opened(address()) as device:
        push(open_model(MODEL), device, smoke=False)
        record = bench(device)[0].record
        assert record.conditions.before.governor == "performance"
        assert device.read_texts([path])[path] == "schedutil\n"
        with connect(device.address) as other:
            other.agent.knob_set(path, b"powersave\n")
            with pytest.raises(EdgekitError):
                device.agent.knob_set(path, b"ondemand\n")
        assert device.read_texts([path])[path] == "schedutil\n"
        with pytest.raises(EdgekitError):
            device.agent.knob_set(path, b"no such governor\n")
        with pytest.raises(DevicePermission):
            device.agent.knob_set("/proc/uptime", b"1\n")


def test_power_follows_the_load() -> None:
    path = "/sys/class/hwmon/hwmon0/power1_input"
    with opened(address(power_idle_mw=1000, power_active_mw=4000)) as device:
        push(open_model(MODEL), device, smoke=False)
        sampling = device.agent.sample([path], period_ms=100)
        bench(device)
        seen = [int(sample.files[0].data) for sample in sampling.stop()]
        assert device.read_texts([path])[path] == "1000000\n"
    assert set(seen) == {1_000_000, 4_000_000}
    assert seen.count(4_000_000) > 90


def test_sustained_load_on_a_device_that_throttles() -> None:
    """D1.3: three minutes of device time, without waiting for them."""
    where = address(median_us=20_000, throttle_at_s=90, throttle_factor=1.5)
    with opened(where) as device:
        push(open_model(MODEL), device)
        outcome, samples = bench(device, launches=3, iterations=10, min_seconds=0.5, sustained_minutes=3.0)
    found = outcome.record.sustained
    assert found is not None
    assert [m.minute for m in found.minutes[:3]] == [0, 1, 2]
    assert found.minutes[0].median_us == pytest.approx(20_000, rel=0.03)
    assert found.last_over_first == pytest.approx(1.5, rel=0.03)
    assert outcome.record.latency.count < 1000, "the long launch is not among the others"
    assert any("slowest minute took 1.5" in note for note in outcome.record.verdict.notes)
    assert not check_gate(parse_gate("sustained_slowdown<=1.1"), outcome.record).passed
    assert len(found.minutes) == 3, "a moment over the end is no minute"
    series = [s for s in samples.telemetry if s.name == "sustained latency"]
    assert len(series[0].value) == sum(m.count for m in found.minutes)


def test_launches_are_spread_over_the_time_that_was_asked_for() -> None:
    """D1.3: a state that the device keeps for a while is one launch's, not the whole measurement's."""
    with opened(address(median_us=1000)) as device:
        push(open_model(MODEL), device)
        outcome, _ = bench(device, launches=5, iterations=10, min_seconds=0.5, spread_seconds=50.0)
        close, _ = bench(device, launches=5, iterations=10, min_seconds=0.5)
    starts = [launch.start_us for launch in outcome.record.launches]
    apart = np.diff([start for start in starts if start is not None]) / 1e6
    assert apart == pytest.approx([10.0] * 4, abs=0.5)
    assert outcome.record.plan.other["spread_seconds"] == 50.0
    assert "spread_seconds" not in close.record.plan.other


def test_a_spread_that_is_too_short_delays_nothing() -> None:
    with opened(address(median_us=1000)) as device:
        push(open_model(MODEL), device)
        outcome, _ = bench(device, launches=3, iterations=10, min_seconds=5.0, spread_seconds=1.0)
    first, second, third = (launch.start_us or 0.0 for launch in outcome.record.launches)
    assert second - first < 6.5e6
    assert third - second < 6.5e6


def test_a_long_load_that_is_too_long_for_a_quick_model_is_left_out_with_a_note() -> None:
    """Millions of samples are memory on the device and here."""
    with opened(address(median_us=100)) as device:
        push(open_model(MODEL), device)
        outcome, _ = bench(device, launches=3, iterations=10, min_seconds=0.1, sustained_minutes=60.0)
    record = outcome.record
    assert record.sustained is None
    assert any("no sustained load: 36 million samples" in note for note in record.verdict.notes)
    assert record.latency.count > 0


@pytest.mark.parametrize("fault", ["crash", "garbage"])
def test_a_long_load_that_fails_costs_nothing_that_was_measured(fault: str) -> None:
    with opened(address(fault=fault, after=3)) as device:
        push(open_model(MODEL), device, smoke=False)
        outcome, _ = bench(device, launches=3, iterations=10, min_seconds=0.1, sustained_minutes=0.1)
    record = outcome.record
    assert record.sustained is None
    assert any(note.startswith("no sustained load: E_RUNNER") for note in record.verdict.notes)
    assert all(launch.ok for launch in record.launches)


def test_a_folder_is_not_that_of_a_smaller_disk(tmp_path: Path) -> None:
    """Refused with what to do, again and again, and the folder stays as it was."""
    state = tmp_path / "board"
    where, small = address(state=state), address(state=state, disk="10KiB")
    with opened(where) as device:
        push(open_model(MODEL), device, smoke=False)
    for _ in range(2):
        with pytest.raises(HostError, match="No space left") as caught:
            connect(small)
        assert (caught.value.code, "disk" in (caught.value.hint or "")) == ("E_SIM_STATE", True)
    with opened(where) as device:
        assert [row.name for row in releases(device)] == ["digits"]


@pytest.mark.parametrize("name", ["caf\udce9", "100%25", "café"])
def test_a_folder_keeps_names_that_are_no_text(tmp_path: Path, name: str) -> None:
    where = address(state=tmp_path / "board")
    with opened(where) as device:
        path = f"{device.layout.root}/{name}"
        device.agent.put(b"1", path, mode=0o640)
    with opened(where) as device:
        assert device.agent.get(path) == b"1"
        assert device.agent.stat(path).mode & 0o777 == 0o640


def test_the_latest_run_as_baseline_is_the_one_before(tmp_path: Path) -> None:
    """D1-b1: compared with itself, no run would ever be a regression."""
    state = tmp_path / "board"
    where, slow = address(state=state), address(state=state, median_us=10_000)
    runtime = ("--runtime", "litert-python", *QUICK, "--launches", "5", "--iterations", "60")
    command("push", MODEL, "-d", where, "--no-smoke", cwd=tmp_path).ok()
    command("bench", "digits", "-d", where, *runtime, cwd=tmp_path).ok()
    gate = ("--gate", "median_latency<=baseline*1.03", "--baseline", "latest", "--json")
    done = command("bench", "digits", "-d", slow, *runtime, *gate, cwd=tmp_path)
    found = done.json()["gates"][0]
    assert (done.code, found["passed"]) == (5, False)
    assert found["limit"] == pytest.approx(5000 * 1.03, rel=0.02)


def test_operators_of_a_simulated_device_are_not_made_up() -> None:
    """D1.2, D1.8: nothing ran, so nothing is told of operators, in words."""
    with opened(address()) as device:
        push(open_model(MODEL), device, smoke=False)
        with pytest.raises(InputError, match="a simulated device runs no operators") as caught:
            bench(device, runtime="litert", op_profile=True, launches=3, meter="none")
    assert caught.value.code == "E_TOOL_OPTION"


def test_the_version_of_a_runtime_that_does_not_tell_it_is_unknown() -> None:
    """D1.1: the scripts that edgekit brings for a board's Python have a number of their own, which is no runtime's."""
    with opened(address()) as device:
        push(open_model(MODEL), device, smoke=False)
        done, _ = bench(device, launches=3, meter="none")
        assert done.record.runtime.version is None
        assert done.record.runtime.sha256 is not None
