"""Screen, charging and battery before a measurement on Android (D1.3): met, not met after waiting, or unknown."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from edgekit.benchmarking.plan import BenchOptions, make_plan
from edgekit.benchmarking.ready import changed_since, ready_unasked
from edgekit.devices.gates import Wanted, check_gates, wait_for_gates
from edgekit.errors import InputError
from edgekit.events import Event
from edgekit.models import open_model
from edgekit.profiles import Profile
from edgekit.profiles.schema import Bench
from edgekit.records import Conditions
from tests.cli.running import MODEL, QUICK, edgekit
from tests.parse.outputs import output
from tests.sim.devices import address, bench, opened, push

OFF = output("dumpsys_power_dozing")
ON = output("dumpsys_power_awake")


@pytest.mark.base
@pytest.mark.parametrize(
    ("wanted", "seen", "state", "words"),
    [
        (Wanted(screen_on=False), Conditions(screen_on=False), "met", "screen was off"),
        (
            Wanted(screen_on=False),
            Conditions(screen_on=True),
            "not_met",
            "the screen was on; off was asked for",
        ),
        (
            Wanted(screen_on=True),
            Conditions(screen_on=False),
            "not_met",
            "the screen was off; on was asked for",
        ),
        (Wanted(screen_on=True), Conditions(), "unknown", "whether the screen is on could not be seen"),
        (Wanted(charging=False), Conditions(charging=True), "not_met", "was charging"),
        (Wanted(charging=True), Conditions(charging=True), "met", "was charging"),
        (Wanted(charging=False), Conditions(), "unknown", "could not be seen"),
        (Wanted(min_battery_percent=50), Conditions(battery_percent=50.0), "met", "at 50 %"),
        (
            Wanted(min_battery_percent=50),
            Conditions(battery_percent=49.9),
            "not_met",
            "at 49.9 %; at least 50 %",
        ),
        (Wanted(min_battery_percent=50), Conditions(), "unknown", "could not be seen"),
    ],
)
def test_one_wish(wanted: Wanted, seen: Conditions, state: str, words: str) -> None:
    (gate,) = check_gates(wanted, seen)
    assert gate.state == state
    assert words in gate.text


@pytest.mark.base
def test_nothing_wanted_is_nothing_asked() -> None:
    assert check_gates(Wanted(), Conditions(screen_on=True)) == ()


@pytest.mark.base
def test_what_changes_during_the_run_is_told_but_a_battery_runs_down() -> None:
    plan = make_plan(None, BenchOptions(screen="off", min_battery_percent=80))
    assert changed_since(plan, Conditions(screen_on=False, battery_percent=70.0)) == ()
    (reason,) = changed_since(plan, Conditions(screen_on=True))
    assert reason == "after the run the screen was on; off was asked for"


@pytest.mark.base
def test_a_profile_wishes_and_any_takes_it_back() -> None:
    mine = Profile(
        schema="edgekit.profile/1",
        name="p",
        sources=("p.yaml",),
        bench=Bench(
            screen="off", charging="no", min_battery=0.5, ready_timeout_us=30e6, priority=-5, frequency="max"
        ),
    )
    plan = make_plan(mine, BenchOptions())
    assert (plan.screen, plan.charging, plan.min_battery_percent, plan.ready_timeout_s) == (
        "off",
        "no",
        50.0,
        30.0,
    )
    assert (plan.priority, plan.frequency) == (-5, "max")
    plan = make_plan(
        mine, BenchOptions(screen="any", charging="yes", min_battery_percent=0, ready_timeout_seconds=1)
    )
    assert (plan.screen, plan.charging, plan.min_battery_percent, plan.ready_timeout_s) == (None, "yes", 0, 1)


@pytest.mark.base
@pytest.mark.parametrize(
    "options",
    [
        {"screen": "dim"},
        {"charging": "no!"},
        {"min_battery_percent": 101},
        {"ready_timeout_seconds": -1},
        {"priority": 20},
    ],
)
def test_wishes_that_cannot_be(options: dict[str, Any]) -> None:
    with pytest.raises(InputError) as caught:
        make_plan(None, BenchOptions(**options))
    assert caught.value.code == "E_PLAN"


def test_waiting_has_a_deadline_in_the_devices_time() -> None:
    """The simulated phone's screen is off and stays so."""
    with opened(address("pixel-8")) as device:
        began_us = device.clock_us()
        seen: list[Event] = []
        device.sink = seen.append
        (gate,) = wait_for_gates(device, Wanted(screen_on=True), 30.0)
        assert gate.state == "not_met"
        assert 30e6 <= device.clock_us() - began_us < 40e6
        assert any("on was asked for" in event.message for event in seen)
        assert [
            one.state for one in wait_for_gates(device, Wanted(screen_on=False, min_battery_percent=80), 30.0)
        ] == [
            "met",
            "met",
        ]


def test_a_board_tells_nothing_and_that_is_a_note() -> None:
    with opened(address()) as device:
        push(open_model(MODEL), device)
        outcome, _ = bench(device, screen="off", charging="no", min_battery_percent=50)
    verdict = outcome.record.verdict
    assert verdict.state == "valid", verdict.reasons
    assert sum("could not be seen; " in note for note in verdict.notes) == 3


class TestAdb:
    """Over real adbd. What `dumpsys` prints there is constructed: the device has no Android services, and no test of this
    class shows what a phone does."""

    def bench(self, device: Any, folder: Path, *more: str) -> dict[str, Any]:
        done = edgekit(
            *("bench", MODEL, "-d", device.address, "--json", *QUICK, *more), env=device.env, cwd=folder
        )
        record: dict[str, Any] = done.ok().json()
        return record

    @pytest.mark.android
    def test_met_not_met_and_unknown(self, make_adbd: Any, tmp_path: Path) -> None:
        device = make_adbd()
        device.set_dumpsys("power", OFF)
        device.set_dumpsys("battery", output("dumpsys_battery_phone"))  # on USB, 54 %
        wish = ("--screen", "off", "--min-battery", "50", "--ready-timeout", "1")
        record = self.bench(device, tmp_path, *wish)
        assert record["conditions"]["before"]["screen_on"] is False
        assert (record["plan"]["screen"], record["plan"]["min_battery_percent"]) == ("off", 50.0)
        assert not any("asked for" in text for text in record["verdict"]["reasons"])
        device.set_dumpsys("power", ON)
        record = self.bench(device, tmp_path, *wish, "--charging", "no")
        reasons = record["verdict"]["reasons"]
        assert record["verdict"]["state"] == "suspect"
        assert "the screen was on; off was asked for (waited 1 s)" in reasons
        assert "the device was charging; one that does not charge was asked for (waited 1 s)" in reasons
        device.set_dumpsys("power", None)
        record = self.bench(device, tmp_path, *wish)
        assert any(
            "whether the screen is on could not be seen" in note for note in record["verdict"]["notes"]
        )
        assert not any("screen" in text for text in record["verdict"]["reasons"])

    @pytest.mark.android
    def test_a_screen_that_goes_off_is_waited_for(self, make_adbd: Any, tmp_path: Path) -> None:
        device = make_adbd()
        device.set_dumpsys("power", ON)
        timer = threading.Timer(8.0, device.set_dumpsys, ("power", OFF))
        timer.start()
        try:
            record = self.bench(device, tmp_path, "--screen", "off", "--ready-timeout", "60")
        finally:
            timer.cancel()
        assert record["conditions"]["before"]["screen_on"] is False
        assert not any("screen" in text for text in record["verdict"]["reasons"])

    @pytest.mark.android
    def test_a_battery_whose_values_are_made_up_is_unknown(self, make_adbd: Any, tmp_path: Path) -> None:
        """`dumpsys battery unplug` pretends: that says nothing about what charges."""
        device = make_adbd()
        device.set_dumpsys("battery", output("dumpsys_battery_unplugged"))
        record = self.bench(device, tmp_path, "--charging", "no", "--ready-timeout", "1")
        assert record["conditions"]["before"]["charging"] is None
        assert any(
            "whether the device charges could not be seen" in note for note in record["verdict"]["notes"]
        )


@pytest.mark.base
def test_a_device_that_measures_alone_is_judged_by_how_it_began() -> None:
    """Nobody waits for it: a lit screen is a reason, a priority and what it does not tell are notes."""
    plan = make_plan(None, BenchOptions(screen="off", charging="no", priority=-5))
    ready = ready_unasked(plan, Conditions(screen_on=True), ("alone",))
    assert ready.unmet == ("before the run the screen was on; off was asked for",)
    assert ready.not_set[:2] == ("alone", "priority -5 was not set")
    assert "whether the device charges could not be seen" in ready.not_set[2]
    assert ready_unasked(make_plan(None, BenchOptions()), Conditions(), ()).unmet == ()
