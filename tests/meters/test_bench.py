"""Energy from end to end (D2.3, D2.4, D2-b2): on simulated devices, whose truth is known, and on this machine with
trees of other devices' /sys, read by the real agent. The trees are constructed data: no such device was at hand."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from edgekit.api.metering import power_meters
from edgekit.benchmarking.gates import check_gate, parse_gate
from edgekit.errors import InputError
from edgekit.models import open_model
from edgekit.profiles import load_profile
from tests.cli.running import edgekit
from tests.meters import trees
from tests.meters.boards import Board, Pixel, check_energy, in_place, loaded, measures
from tests.parse.outputs import output
from tests.sim.devices import MODEL, PROFILE, address, bench, opened, push

QUIET = {"within_sd": 0.001, "launch_sd": 0, "outlier_share": 0}


def test_energy_of_a_simulated_device_is_what_its_address_says() -> None:
    """(6000 - 2500) mW for 2345 us."""
    with opened(address(median_us=2345, **QUIET)) as device:
        push(open_model(MODEL), device)
        outcome, samples = bench(device)
        record = outcome.record
    energy = record.energy
    assert (energy.meter, energy.unavailable) == ("sim", None)
    assert energy.per_inference_uj == pytest.approx(3500 * 2.345, rel=0.01)
    assert energy.ci95_uj is not None
    assert energy.ci95_uj[0] <= energy.per_inference_uj <= energy.ci95_uj[1]
    assert (energy.idle_power_mw, energy.mean_power_mw) == (pytest.approx(2500), pytest.approx(6000))
    assert energy.sample_cost_us
    (power,) = [series for series in samples.telemetry if series.unit == "mW"]
    assert set(power.value.tolist()) == {2500.0, 6000.0}
    assert check_gate(parse_gate("energy_per_inference<9mJ"), record).passed
    assert not check_gate(parse_gate("energy_per_inference<8mJ"), record).passed


@pytest.mark.parametrize(
    ("where", "options", "words"),
    [
        ({}, {"meter": "none"}, "--meter none"),
        ({}, {"min_seconds": 0.1}, "at least 0.8 s are needed"),
        ({"power_active_mw": 2500}, {}, "within what this measurement can tell"),
        ({"power_active_mw": 0, "power_idle_mw": 0}, {}, "silent"),
        ({"sensors": "no"}, {}, "nothing on the device tells its power"),
    ],
)
def test_what_cannot_be_told_is_a_reason_in_the_record(
    where: dict[str, Any], options: dict[str, Any], words: str
) -> None:
    with opened(address(**QUIET, **where)) as device:
        push(open_model(MODEL), device, smoke=False)
        energy = bench(device, **options)[0].record.energy
    assert words in (energy.unavailable or "")
    assert energy.per_inference_uj is None


def test_a_meter_that_was_asked_for_and_is_not_there_is_an_error() -> None:
    with opened(address(**QUIET)) as device:
        push(open_model(MODEL), device, smoke=False)
        for name in ("rapl", "no-such-meter"):
            with pytest.raises(InputError) as caught:
                bench(device, meter=name)
            assert caught.value.code == "E_METER"


def test_meters_of_a_simulated_device() -> None:
    with opened(address()) as device:
        found = power_meters(device, profile=load_profile(PROFILE))
    assert found.chosen == "sim"
    assert [row.name for row in found.meters if row.available] == ["sim"]
    assert all(row.reason for row in found.meters if not row.available)


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board(tmp_path)


@measures
def test_an_orin_nano_of_jetpack_5(board: Board) -> None:
    """INA3221 through hwmon: VDD_IN at 5 V, 1.4 A idle and 2.4 A under load."""
    board.shows(trees.ina3221(1, {1: ("VDD_IN", 5000, 1400), 2: ("VDD_CPU_GPU_CV", 5000, 104)}))
    current = board.tree / "sys/class/hwmon/hwmon1/curr1_input"
    with loaded(board.root, lambda busy, _: in_place(current, "2400\n" if busy else "1400\n")):
        check_energy(board.bench(), "hwmon", 5000.0, 7000.0)


@measures
def test_a_pixel_with_odpm(board: Board) -> None:
    """Counters of four rails: 250 mW each idle, 1000 mW each under load."""
    board.shows(trees.PIXEL)
    pixel = Pixel(board.tree / "sys/bus/iio/devices/iio:device0/energy_value", 250, 1000)
    with loaded(board.root, pixel.tell):
        check_energy(board.bench("--meter", "odpm"), "odpm", 3000.0, 1000.0)


@measures
def test_a_pi_5_with_its_pmic(board: Board) -> None:
    """The captured output, with a core's current that follows the load: a script stands for the firmware."""
    board.shows({"/sys/core_current": "1.22421000\n"}, "power:\n  meter: rpi-pmic\n")
    core = board.tree / "sys/core_current"
    program = board.folder / "bin/vcgencmd"
    program.parent.mkdir()
    (board.folder / "pmic.txt").write_text(output("pmic_pi5"))
    program.write_text(
        f'#!/bin/sh\n[ "$1" = pmic_read_adc ] || exit 1\n'
        f'sed "s/6.22421000/$(cat {core})/" {board.folder}/pmic.txt\n'
    )
    program.chmod(0o755)
    path = {"PATH": f"{program.parent}:{os.environ['PATH']}"}
    with loaded(board.root, lambda busy, _: in_place(core, "6.22421000\n" if busy else "1.22421000\n")):
        record = board.bench("--min-seconds", "5", env=path)
    check_energy(record, "rpi-pmic", 5 * 861.733, 7239.82 - 5 * 861.733)


@pytest.mark.parametrize(
    ("tree", "profile", "words"),
    [
        pytest.param(trees.THERMAL_ONLY, "", "nothing on the device tells its power", id="pi-4"),
        pytest.param(
            trees.battery("-352", status="Charging", usb="1"),
            "power:\n  meter: battery\n  current_unit: mA\n",
            "the battery is charging",
            id="galaxy-on-usb",
        ),
        pytest.param(
            trees.battery("-352000", usb="0"),
            "power:\n  meter: battery\n",
            "differs between makers",
            id="unit-unknown",
        ),
        pytest.param(
            trees.ORIN_NANO,
            "power:\n  meter: odpm\n",
            "the profile's meter odpm cannot measure",
            id="other-meter",
        ),
        pytest.param(trees.ina3221(1, {1: ("VDD_IN", 5000, 0)}), "", "silent", id="jetson-without-root"),
    ],
)
def test_an_honest_refusal(board: Board, tree: Mapping[str, str], profile: str, words: str) -> None:
    board.shows(tree, profile)
    energy = board.bench()["energy"]
    assert list(energy) == ["unavailable"]
    assert words in energy["unavailable"]


def test_the_command_meters(board: Board) -> None:
    """D2.6: what the device can tell, and what would be needed for more."""
    board.shows(trees.AGX_ORIN)
    found = edgekit("meters", "-d", "it", "--json", cwd=board.folder).ok().json()
    assert found["chosen"] == "hwmon"
    rows = {row["name"]: row for row in found["meters"]}
    assert rows["hwmon"]["rails"] == ["VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"]
    assert rows["odpm"]["needed"]
    text = edgekit("meters", "-d", "it", cwd=board.folder).ok().stdout
    assert "soc-rails" in text
    assert "VIN_SYS_5V0" in text
