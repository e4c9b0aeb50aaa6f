"""Meters beside the device, from end to end: a real process prints a trace that follows what the runner does, on a clock of
its own (D2.3, D2-b3: a late external meter). It is a simulator of a meter: no such hardware was at hand."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgekit.api.devices import connect
from edgekit.api.metering import power_meters
from edgekit.config import Config, DeviceEntry, read_config
from edgekit.events import ignore
from edgekit.meters.base import Offer, Source
from edgekit.meters.beside import why_not_found
from edgekit.meters.external import stream_offer
from edgekit.meters.taking import meter_for, metered
from edgekit.stats.traces import Refused
from tests.cli.running import MODEL, edgekit
from tests.meters.boards import LAUNCHES, Board, measures
from tests.meters.simulated_meter import BUSY_MW, IDLE_MW

SIMULATOR = Path(__file__).with_name("simulated_meter.py")


class Bench:
    """A board with one meter beside it, called `bench-supply`."""

    def __init__(self, folder: Path) -> None:
        self.board = Board(folder)
        self.board.shows({})

    def wired(self, **entry: Any) -> None:
        path = self.board.folder / "edgekit.yaml"
        lines = "".join(f"    {key}: {value}\n" for key, value in entry.items())
        path.write_text(path.read_text() + f"meters:\n  bench-supply:\n{lines}")

    def simulator(self, *more: str) -> list[str]:
        return [sys.executable, str(SIMULATOR), self.board.root, *more]

    def error(self) -> dict[str, Any]:
        arguments = ("bench", MODEL, "-d", "it", *LAUNCHES, "--meter", "bench-supply", "--json")
        return edgekit(*arguments, cwd=self.board.folder).error()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def check(record: Mapping[str, Any]) -> dict[str, Any]:
    energy: dict[str, Any] = record["energy"]
    assert energy.get("meter") == "bench-supply", energy
    assert energy["boundary"] == "wall"
    assert energy["idle_power_mw"] == pytest.approx(IDLE_MW, rel=0.02)
    assert energy["mean_power_mw"] == pytest.approx(BUSY_MW, rel=0.04)
    mean_us = sum(one["wall_us"] for one in record["launches"]) / record["latency"]["count"]
    assert energy["per_inference_uj"] == pytest.approx((BUSY_MW - IDLE_MW) * mean_us / 1000, rel=0.1)
    return energy


@measures
def test_a_command_whose_clock_is_late_and_drifts(bench: Bench) -> None:
    """1000 s behind, 0.6 % slow, and its lines come 2.5 s late."""
    bench.wired(
        command=bench.simulator("--offset", "1000", "--drift", "0.006", "--late", "2.5"), boundary="wall"
    )
    energy = check(bench.board.bench("--meter", "bench-supply", "--min-seconds", "2"))
    assert energy["clock_drift"] == pytest.approx(0.006, abs=0.003)


def test_why_a_marker_was_not_found_is_what_was_seen_of_it() -> None:
    """One that came at the last moment is in one place, not in several."""
    behind, nothing = Refused("the meter has no readings behind it"), Refused("it does not stand out")
    assert "seen once only" in why_not_found([nothing, behind, 5.0])
    assert why_not_found([nothing, 5.0, 9e6]) == "it seems to be in several places"
    assert why_not_found([5.0, 9e6, behind]) == behind.reason
    assert why_not_found([behind]) == behind.reason


@measures
def test_a_meter_that_is_wired_to_another_device_is_an_error_before_anything_is_measured(
    bench: Bench,
) -> None:
    bench.wired(command=bench.simulator("--unrelated"), late="2s")
    error = bench.error()
    assert error["code"] == "E_METER_SILENT"
    assert "the marker before the launches was not found" in error["message"]


@measures
def test_a_meter_that_ends_meanwhile_is_a_reason(bench: Bench) -> None:
    """Its readings are for nothing without the second marker: what the launches took cannot be told."""
    end = bench.board.folder / "end"
    source = Source(argv=tuple(bench.simulator("--stop", str(end))))
    offer = replace(stream_offer("bench-supply", source, "wall", "nothing"), idle_s=1.0)
    config = Config(devices={"it": DeviceEntry(address="local:", root=bench.board.root)})
    with connect("it", config=config) as device, metered(device, offer, ignore, required=True) as taken:
        end.touch()
    assert isinstance(taken.found, Refused)
    assert "the marker after the launches was not found" in taken.found.reason
    assert "ended with exit code 0" in taken.found.reason


def test_a_meter_that_does_not_answer_is_an_error_with_what_it_said(bench: Bench) -> None:
    bench.wired(command=[sys.executable, "-c", "import sys; sys.exit('no supply at /dev/ttyUSB0')"])
    error = bench.error()
    assert error["code"] == "E_METER_SILENT"
    assert "no supply at /dev/ttyUSB0" in error["message"]


def test_a_device_s_entry_says_what_it_is_wired_to(bench: Bench) -> None:
    """`meter:` of the device in edgekit.yaml stands for --meter; a profile, which others share, cannot name it, and says where."""
    bench.wired(command=bench.simulator(), boundary="wall")
    path = bench.board.folder / "edgekit.yaml"
    path.write_text(
        path.read_text().replace("profile: mine.yaml}", "profile: mine.yaml, meter: bench-supply}")
    )
    config = read_config(path)
    with connect("it", config=config) as device:
        found = meter_for(device, None, None, config.meters)
        assert isinstance(found, Offer)
        assert (found.meter, found.boundary) == ("bench-supply", "wall")
        assert power_meters(device, entries=config.meters).chosen == "bench-supply"
        none = meter_for(device, None, "none", config.meters)
        assert isinstance(none, Refused)
    profile = bench.board.folder / "mine.yaml"
    profile.write_text(profile.read_text() + "power: {meter: bench-supply}\n")
    error = edgekit("profile", "check", str(profile), "--json", cwd=bench.board.folder).error()
    assert "meter: NAME of the device in edgekit.yaml" in str(error)
    assert "--meter NAME" in str(error)


def test_the_command_meters_tells_of_it(bench: Bench) -> None:
    bench.wired(command=bench.simulator(), boundary="wall", excluded="the HDMI display")
    found = edgekit("meters", "-d", "it", "--json", cwd=bench.board.folder).ok().json()
    (row,) = [row for row in found["meters"] if row["name"] == "bench-supply"]
    assert (row["available"], row["boundary"], row["excluded"]) == (True, "wall", "the HDMI display")
    assert found["chosen"] != "bench-supply"
    assert "bench-supply" in edgekit("meters", "-d", "it", cwd=bench.board.folder).ok().stdout
