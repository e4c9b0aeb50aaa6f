"""Meters and conditions by commands, over the real agent (D2.2, D2.5, D2.6).

The commands are small scripts of the tests, which print captured or constructed samples: simulators of a device's
tools, first in PATH. No such device was at hand.
"""

from __future__ import annotations

import json
import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from edgekit.api.devices import connect
from edgekit.config import load_config
from edgekit.meters.base import Offer
from edgekit.meters.commands import command_loop
from edgekit.meters.power_stats import ARGV, OUTPUT
from edgekit.meters.taking import Taken, meter_for, metered
from edgekit.stats.traces import Refused, Trace
from tests.cli.running import edgekit
from tests.meters.boards import Board, check_energy, in_place, loaded, measures
from tests.parse.outputs import output

ZONE = {
    "/sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
    "/sys/class/thermal/thermal_zone0/temp": "50031\n",
}
COOLING = "/sys/class/thermal/cooling_device0"


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board(tmp_path)


def tool(board: Board, name: str, script: str) -> dict[str, str]:
    """A command of the device; the environment that has it."""
    program = board.folder / "bin" / name
    program.parent.mkdir(exist_ok=True)
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return {"PATH": f"{program.parent}:{os.environ['PATH']}"}


def saved(board: Board, name: str) -> Path:
    """A sample as a file that scripts print."""
    path = board.folder / f"{name}.txt"
    path.write_text(output(name))
    return path


def jetson(board: Board) -> dict[str, str]:
    """An Orin Nano whose sensors only tegrastats may read: VDD_IN as the file `input` says."""
    line = (
        output("tegrastats_orin_nano_jp6")
        .rstrip("\n")
        .replace("VDD_IN 4824mW/4824mW", "VDD_IN ${p}mW/4824mW")
    )
    tool(
        board,
        "tegrastats",
        f'while :; do read -r p < {board.tree}/sys/input; echo "{line}"; sleep 0.25; done',
    )
    tool(board, "nvpmodel", f'[ "$1" = -q ] && cat {saved(board, "nvpmodel_orin")}')
    return tool(board, "jetson_clocks", f'[ "$1" = --show ] && cat {saved(board, "jetson_clocks_orin_nano")}')


@measures
def test_a_jetson_whose_sensors_only_tegrastats_may_read(board: Board) -> None:
    """7 W under load and 4.8 W idle; power mode and clocks in the record, and heat that slowed it down in the verdict."""
    board.shows(
        {"/sys/input": "4800\n", **ZONE, f"{COOLING}/type": "cpufreq-cpu0\n", f"{COOLING}/cur_state": "0\n"}
    )
    env = jetson(board)
    power, state = board.tree / "sys/input", board.tree / COOLING.lstrip("/") / "cur_state"

    def tell(busy: bool, _: float) -> None:
        in_place(power, "7000\n" if busy else "4800\n")
        in_place(state, "3\n" if busy else "0\n")

    with loaded(board.root, tell):
        record = board.bench("--min-seconds", "3", env=env)
    check_energy(record, "tegrastats", 2200.0, 4800.0)
    assert record["energy"]["boundary"] == "module-input"
    before = record["conditions"]["before"]["other"]
    assert before["power_mode"] == "MAXN (0)"
    assert (before["gpu_khz"], before["gpu_max_khz"], before["clocks_fixed"]) == (306_000, 918_000, False)
    assert before["cpus_online"] == 3
    verdict = record["verdict"]
    assert verdict["state"] != "valid"
    assert any("cpufreq-cpu0 was at state 3" in reason for reason in verdict["reasons"])
    assert any("clocks are not fixed" in note for note in verdict["notes"])


HAL = """[ "$1" = android.hardware.power.stats.IPowerStats/default ] || exit 1
read -r up rest < /proc/uptime; now=$(echo "$up" | tr -d .)0
read -r was < {state}
[ "$2" = delta ] && echo "$now" > {state}
ms=$((now - was))
echo "============= PowerStats HAL 2.0 energy meter =============="
[ "$2" = delta ] && echo "Elapsed time: $ms ms"
echo "  Channel    Cumulative Energy (      Delta   )"
for rail in S1M_VDD_CPU S2M_VDD_TPU; do
  delta=""
  [ "$2" = delta ] && delta=" (  $((ms * 250 / 1000)).$(printf %02d $((ms * 25 % 100))))"
  echo "  [$rail]:X  123456.78 mWs$delta"
done
echo "========== End of PowerStats HAL 2.0 energy meter =========="
"""
"""A HAL whose two rails take 250 mW each, with the one snapshot that all its callers share (a file)."""


@pytest.fixture
def phone(board: Board, monkeypatch: pytest.MonkeyPatch) -> Board:
    board.shows(ZONE)
    (board.folder / "state").write_text("0\n")
    env = tool(board, "dumpsys", HAL.format(state=board.folder / "state"))
    monkeypatch.setenv("PATH", env["PATH"])
    monkeypatch.chdir(board.folder)
    return board


def taken_there(seconds: float) -> Taken:
    """The meter over the agent for that long, asked five times a second for the test's sake."""
    with connect("it", config=load_config()) as device:
        offer = meter_for(device, None, None)
        assert isinstance(offer, Offer)
        assert (offer.meter, offer.rails) == ("power-stats", ("S1M_VDD_CPU", "S2M_VDD_TPU"))
        faster = replace(offer, argv=command_loop({OUTPUT: (*ARGV, "delta")}, 200), idle_s=0.2)
        with metered(device, faster, lambda _: None) as taken:
            device.wait(seconds)
    return taken


@measures
def test_a_phone_whose_hal_tells_deltas(phone: Board) -> None:
    """500 mW, whatever the calls take, and what a call took is told."""
    taken = taken_there(3.0)
    assert isinstance(taken.found, Trace), taken.found
    length_us = taken.found.t_us[-1] - taken.found.t_us[0]
    assert taken.found.energy_uj[-1] / length_us * 1000 == pytest.approx(500, rel=0.01)
    assert taken.sample_cost_us


@measures
def test_another_program_that_asks_the_hal_makes_it_a_refusal(phone: Board) -> None:
    """D2.1: one snapshot for all callers."""
    stop = threading.Event()

    def other() -> None:
        while not stop.wait(0.31):
            os.system("dumpsys android.hardware.power.stats.IPowerStats/default delta > /dev/null")

    thread = threading.Thread(target=other)
    thread.start()
    try:
        taken = taken_there(3.0)
    finally:
        stop.set()
        thread.join(10)
    assert isinstance(taken.found, Refused), taken.found
    assert "another program" in taken.found.reason


def watched(board: Board, env: dict[str, str], *more: str) -> list[dict[str, object]]:
    done = edgekit(
        "watch", "-d", "it", "--jsonl", "--period", "0.3", "--count", "8", *more, cwd=board.folder, env=env
    )
    return [json.loads(line) for line in done.ok().stdout.splitlines()]


@measures
def test_watch_shows_what_tegrastats_tells(board: Board) -> None:
    board.shows(
        {
            "/sys/input": "4800\n",
            **ZONE,
            f"{COOLING}/type": "thermal-cpufreq-0\n",
            f"{COOLING}/cur_state": "2\n",
        }
    )
    last = watched(board, jetson(board))[-1]
    assert last["rails_mw"] == {"VDD_IN": 4800.0}
    assert last["power_mw"] == 4800.0
    assert last["cooling"] == {"thermal-cpufreq-0": 2}


@measures
def test_watch_shows_a_pi_5s_pmic(board: Board) -> None:
    """D2.6, over a device that has no file to sample at all."""
    board.shows({"/sys/nothing": "\n"}, "power:\n  meter: rpi-pmic\n")
    env = tool(board, "vcgencmd", f'[ "$1" = pmic_read_adc ] && cat {saved(board, "pmic_pi5")}')
    last = watched(board, env)[-1]
    assert last["power_mw"] == pytest.approx(7239.82)
    assert last["temperatures_mc"] == {}


@measures
def test_watch_says_unknown_when_a_command_hangs(board: Board) -> None:
    """What it told last is not what the device takes now."""
    board.shows(ZONE, "power:\n  meter: rpi-pmic\n")
    once = board.folder / "once"
    sample = saved(board, "pmic_pi5")
    script = f"n=$(cat {once} 2>/dev/null | wc -l); echo >> {once}; [ $n -gt 3 ] && sleep 60; cat {sample}"
    moments = watched(board, tool(board, "vcgencmd", script), "--count", "12")
    powers = [moment["power_mw"] for moment in moments]
    assert pytest.approx(7239.82) in powers
    assert powers[-1] is None
