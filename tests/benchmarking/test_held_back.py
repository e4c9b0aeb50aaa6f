"""What held a device back, or was changed there (D2.5): evidence in words, from what its tools tell."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgekit.benchmarking.held_back import doubts_of, mean_frequencies_khz, notes_of
from edgekit.devices.facts import Description
from edgekit.devices.telemetry import Sensors, Snapshot, read_snapshot, sensors_of
from edgekit.parse.jetson_clocks import parse_jetson_clocks
from edgekit.profiles.facts import DeviceFacts
from edgekit.records import Launch, TelemetryPoint, Usage
from tests.parse.outputs import output

pytestmark = pytest.mark.base
LAUNCH = Launch(index=0, order=0, ok=True, start_us=1e6, usage=Usage(wall_us=2_000_000))


def jetson(mode: str = "nvpmodel_orin", clocks: str = "jetson_clocks_nano") -> Snapshot:
    return read_snapshot(Sensors({}, {}, {}), {}, {"nvpmodel": output(mode), "jetson_clocks": output(clocks)})


def states(*values: float, name: str = "cpufreq-cpu0", unit: str = "state") -> list[TelemetryPoint]:
    """Half a second apart, the first while nothing runs."""
    return [TelemetryPoint(0.75e6 + n * 0.5e6, name, value, unit, "/x") for n, value in enumerate(values)]


def test_one_mode_told_by_two_tools_is_one_mode() -> None:
    """nvpmodel tells its number too, jetson_clocks does not; it is the name that both tell."""
    only_clocks = read_snapshot(Sensors({}, {}, {}), {}, {"jetson_clocks": output("jetson_clocks_nano")})
    assert jetson().power_mode == "MAXN (0)"
    assert only_clocks.power_mode == "MAXN"
    for before, after in ((jetson(), only_clocks), (only_clocks, jetson())):
        assert not doubts_of(before, after, [], [LAUNCH])
    other = replace(only_clocks, power_mode="15W")
    assert list(doubts_of(jetson(), other, [], [LAUNCH])) == [
        "the power mode changed from MAXN (0) to 15W while it was measured"
    ]
    renumbered = replace(jetson(), power_mode="MAXN (8)")
    assert "from MAXN (0) to MAXN (8)" in doubts_of(jetson(), renumbered, [], [LAUNCH])[0]


@pytest.mark.parametrize(
    ("points", "words"),
    [
        (states(0, 0, 3, 1), "cpufreq-cpu0 was at state 3"),
        (states(5, 0, 0), None),
        (states(0, float("nan"), 0), None),
        (states(0, -1, -1, name="intel_powerclamp"), None),
        (states(0, 48_000, 48_000, unit="mC"), None),
    ],
)
def test_cooling_states_count_while_a_launch_runs(points: list[TelemetryPoint], words: str | None) -> None:
    found = doubts_of(jetson(), jetson(), points, [LAUNCH])
    assert bool(found) is (words is not None)
    assert words is None or words in found[0]


def test_which_cooling_devices_slow_something_down() -> None:
    """Names of the kernel's (drivers/thermal, drivers/acpi) and two that take no speed; twins are told apart."""
    names = (
        "thermal-cpufreq-0",
        "cpufreq-cpu4",
        "devfreq-1c500000.mali",
        "Processor",
        "Processor",
        "pwm-fan",
        "LCD",
    )
    there = {f"/sys/class/thermal/cooling_device{n}": name for n, name in enumerate(names)}
    sensors = sensors_of(Description(facts=DeviceFacts(), cooling=there))
    assert list(sensors.cooling) == [*names[:4], "Processor (cooling_device4)"]
    assert sensors.cooling["cpufreq-cpu4"] == "/sys/class/thermal/cooling_device1/cur_state"
    assert set(sensors.cooling.values()) <= set(sensors.sampled())


def test_a_power_mode_that_changed_is_a_doubt() -> None:
    before, after = jetson(), jetson("nvpmodel_fan")
    assert before.conditions.other["power_mode"] == "MAXN (0)"
    assert doubts_of(before, before, (), ()) == ()
    (doubt,) = doubts_of(before, after, (), ())
    assert "from MAXN (0) to MODE_15W_6CORE (2)" in doubt
    assert doubts_of(replace(before, power_mode=None), after, (), ()) == ()


def test_clocks_that_changed_are_a_doubt_and_loose_ones_a_note() -> None:
    text = output("jetson_clocks_nano")
    before = jetson()
    limited = replace(before, clocks=parse_jetson_clocks(text.replace("921600000", "460800000")))
    assert (
        "the GPU clock changed from 76.8 to 921.6 MHz to 76.8 to 460.8 MHz"
        in doubts_of(before, limited, (), ())[0]
    )
    offline = replace(before, clocks=parse_jetson_clocks(text.replace("cpu3: Online=1", "cpu3: Online=0")))
    assert "4 CPUs were online before, 3 after" in doubts_of(before, offline, (), ())[0]
    assert "GPU's from 76.8 to 921.6 MHz" in notes_of(before)[0]
    assert notes_of(jetson(clocks="jetson_clocks_fixed")) == ()


def test_a_thermal_status_that_somebody_set_is_no_status() -> None:
    said = {"thermalservice": output("dumpsys_thermalservice_override")}
    snapshot = read_snapshot(Sensors({}, {}, {}), {}, said)
    assert (snapshot.thermal_status, snapshot.status_overridden) == (None, True)
    assert "set by hand" in notes_of(snapshot)[0]
    assert "thermal_status" not in snapshot.conditions.other


@pytest.mark.parametrize(
    ("name", "status", "temperatures"),
    [
        ("13t", 0, {"CPU": 57_900, "SKIN": 34_351}),
        ("hal1", None, {"CPU0": 56_000, "GPU": 55_500}),
    ],
)
def test_the_hals_temperatures_where_the_kernels_may_not_be_read(
    name: str, status: int | None, temperatures: dict[str, int]
) -> None:
    """Of Android; a HAL 1.0 knows no status."""
    said = {"thermalservice": output(f"dumpsys_thermalservice_{name}")}
    snapshot = read_snapshot(Sensors({"cpu": "/zone"}, {}, {}), {"/zone": None}, said)
    assert snapshot.thermal_status == status
    assert snapshot.conditions.temperatures_mc == temperatures
    own = read_snapshot(Sensors({"cpu": "/zone"}, {}, {}), {"/zone": "41000\n"}, said)
    assert own.conditions.temperatures_mc == {"cpu": 41_000}


def residency(text: str | None) -> Snapshot:
    sensors = Sensors({}, {}, {}, residencies={"policy0": "/t"})
    return read_snapshot(sensors, {"/t": text}, {})


@pytest.mark.parametrize(
    ("before", "after", "mean_khz"),
    [
        ("1000000 100\n2000000 100\n", "1000000 200\n2000000 400\n", {"policy0": 1_750_000}),
        ("1000000 100\n2000000 100\n", "1000000 100\n2000000 100\n", {}),
        ("1000000 100\n2000000 100\n", "1000000 90\n2000000 200\n", {}),
        (None, "1000000 200\n2000000 400\n", {}),
        ("1000000 100\n", "nonsense\n", {}),
    ],
)
def test_mean_frequency_of_a_run(before: str | None, after: str, mean_khz: dict[str, int]) -> None:
    assert mean_frequencies_khz(residency(before), residency(after)) == mean_khz
