"""Live telemetry (D2.6): heat, frequencies and power as they are; unknown stays unknown."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
from pathlib import Path

import pytest

from edgekit.api.watching import Moment, rails_mw, watch
from edgekit.cli.commands.watch import as_table, in_words
from edgekit.errors import DeviceError, InputError
from edgekit.meters.base import Offer, Reading
from edgekit.meters.battery import BatteryMeter
from edgekit.meters.hwmon import HwmonMeter
from edgekit.meters.rapl import RaplMeter
from edgekit.meters.taking import meter_for
from edgekit.profiles.schema import Power
from edgekit.stats.traces import Refused
from tests.cli.running import argv, edgekit, environment
from tests.meters import trees
from tests.meters.boards import Board
from tests.meters.trees import surveyed
from tests.sim.devices import address, opened


def test_a_counter_tells_power_from_its_second_look_on() -> None:
    """15 W for a second, over the end of the counter's range."""
    offer = RaplMeter().look(surveyed(trees.rapl()))
    assert isinstance(offer, Offer)
    first = Reading(1e6, trees.rapl(262_143_328_850 - 5_000_000))
    second = Reading(2e6, trees.rapl(10_000_000))
    assert set(rails_mw(offer, None, first).values()) == {None}
    assert set(rails_mw(offer, first, second).values()) == {15_000.0}
    assert set(rails_mw(offer, second, second).values()) == {None}, "no time has passed"


def test_a_power_is_told_at_once_and_what_cannot_be_read_is_unknown() -> None:
    offer = HwmonMeter().look(surveyed(trees.ORIN_NANO))
    assert isinstance(offer, Offer)
    assert rails_mw(offer, None, Reading(1e6, trees.ORIN_NANO)) == {"VDD_IN": 4825.0}
    assert rails_mw(offer, None, Reading(1e6, {})) == {"VDD_IN": None}


def test_a_battery_that_is_plugged_in_meanwhile_is_unknown() -> None:
    offer = BatteryMeter().look(surveyed(trees.battery("-352000"), Power(current_unit="uA")))
    assert isinstance(offer, Offer)
    assert rails_mw(offer, None, Reading(1e6, trees.battery("-352000", usb="1"))) == {"battery": None}


def test_a_simulated_device() -> None:
    with opened(address(temperature=50)) as device:
        moments = list(watch(device, meter=meter_for(device, None, None), count=3))
        with pytest.raises(InputError, match="does not pass by itself"):
            next(watch(device, meter=Refused("none")))
        with pytest.raises(InputError, match="a period"):
            next(watch(device, meter=Refused("none"), period_s=0, count=1))
    assert [moment.power_mw for moment in moments] == [2500.0] * 3
    assert [later.t_us - first.t_us for first, later in itertools.pairwise(moments)] == [1e6, 1e6]
    assert moments[0].temperatures_mc == {"cpu-thermal": 50_000}
    with opened(address(sensors="no")) as blind, pytest.raises(DeviceError) as caught:
        next(watch(blind, meter=Refused("none"), count=1))
    assert caught.value.code == "E_NO_SENSORS"


def test_what_a_terminal_is_shown() -> None:
    moment = Moment(
        t_us=12.5e6,
        temperatures_mc={"cpu\x1b[31m": 48_300, "gpu": None},
        frequencies_khz={"policy0": 1_800_000},
        power_mw=None,
        rails_mw={"VDD_IN": None},
    )
    words = in_words(moment)
    assert "48.3C" in words
    assert "gpu unknown" in words
    assert "power unknown" in words
    assert "1.8 GHz" in words
    assert "\x1b" not in words
    assert as_table(moment).row_count == 4


@pytest.fixture
def board(tmp_path: Path) -> Board:
    board = Board(tmp_path)
    board.shows(
        {
            **trees.AGX_ORIN,
            "/sys/class/thermal/thermal_zone0/type": "CPU-therm\n",
            "/sys/class/thermal/thermal_zone0/temp": "41437\n",
            "/sys/class/thermal/thermal_zone1/type": "CV0-therm\n",
            "/sys/class/thermal/thermal_zone1/temp": "-256000\n",
        }
    )
    return board


def test_lines_as_they_come_until_it_is_interrupted(board: Board) -> None:
    """By the command itself, on this machine with an AGX Orin's /sys (constructed data)."""
    command = subprocess.Popen(
        argv("watch", "-d", "it", "--jsonl", "--period", "0.2"),
        env=environment(),
        cwd=board.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert command.stdout is not None
        lines = [json.loads(command.stdout.readline()) for _ in range(3)]
        command.send_signal(signal.SIGINT)
        command.communicate(timeout=60)
    finally:
        command.kill()
    assert command.returncode == 130
    assert [line["power_mw"] for line in lines] == [6710.0] * 3
    assert lines[0]["rails_mw"]["VIN_SYS_5V0"] == 3520.0
    assert lines[0]["temperatures_mc"] == {"CPU-therm": 41_437, "CV0-therm": None}
    assert 0.1e6 < lines[1]["t_us"] - lines[0]["t_us"] < 10e6


def test_one_document_and_words(board: Board) -> None:
    found = (
        edgekit("watch", "-d", "it", "--json", "--count", "2", "--period", "0.1", cwd=board.folder)
        .ok()
        .json()
    )
    assert len(found["moments"]) == 2
    text = edgekit("watch", "-d", "it", "--count", "1", "--meter", "none", cwd=board.folder).ok().stdout
    assert "--meter none" in text
    assert "CPU-therm 41.44C" in text
    assert edgekit("watch", "-d", "it", "--json", cwd=board.folder).code == 2
