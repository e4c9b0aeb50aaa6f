"""Waiting until a phone is as it should be for a measurement: screen, charging, battery; with a deadline.

A lit screen takes power and heat, and on many phones keeps clocks high; charging heats; a low battery makes many devices
save power. Android tells all three (`dumpsys power`, `dumpsys battery`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edgekit.devices.device import Device
from edgekit.events import Event
from edgekit.records import Conditions

LOOK_AGAIN_SECONDS = 2.0
State = Literal["met", "not_met", "unknown"]


@dataclass(frozen=True)
class Wanted:
    """None is "whatever it is"."""

    screen_on: bool | None = None
    charging: bool | None = None
    min_battery_percent: float | None = None


@dataclass(frozen=True)
class Gate:
    """One wish and what was found; `text` says both."""

    name: str
    state: State
    text: str


def check_gates(wanted: Wanted, seen: Conditions) -> tuple[Gate, ...]:
    """Pure: one gate for each wish."""
    found = []
    if wanted.screen_on is not None:
        asked = "on" if wanted.screen_on else "off"
        found.append(
            _same(
                "screen", seen.screen_on, wanted.screen_on, "the screen was on", "the screen was off", asked
            )
        )
    if wanted.charging is not None:
        asked = "a device that charges" if wanted.charging else "one that does not charge"
        found.append(
            _same(
                "charging",
                seen.charging,
                wanted.charging,
                "the device was charging",
                "it was not charging",
                asked,
            )
        )
    if wanted.min_battery_percent is not None:
        asked = f"at least {wanted.min_battery_percent:g} %"
        percent = seen.battery_percent
        if percent is None:
            found.append(
                Gate("battery", "unknown", f"the battery's level could not be seen; {asked} was asked for")
            )
        else:
            state: State = "met" if percent >= wanted.min_battery_percent else "not_met"
            found.append(Gate("battery", state, f"the battery was at {percent:g} %; {asked} was asked for"))
    return tuple(found)


def _same(name: str, seen: bool | None, wanted: bool, yes: str, no: str, asked: str) -> Gate:
    if seen is None:
        what = "the screen is on" if name == "screen" else "the device charges"
        return Gate(name, "unknown", f"whether {what} could not be seen; {asked} was asked for")
    return Gate(name, "met" if seen is wanted else "not_met", f"{yes if seen else no}; {asked} was asked for")


def wait_for_gates(device: Device, wanted: Wanted, timeout_s: float) -> tuple[Gate, ...]:
    """Look until every gate is met or unknown, or time runs out; what was seen last. Where nothing is wanted, the device is
    not asked."""
    if wanted == Wanted():
        return ()
    until_us = device.clock_us() + timeout_s * 1e6
    while True:
        found = check_gates(wanted, device.snapshot(files_first=True).conditions)
        open_ones = [gate.text for gate in found if gate.state == "not_met"]
        left_s = (until_us - device.clock_us()) / 1e6
        if not open_ones or left_s <= 0:
            return found
        device.sink(Event("ready", message=f"waiting: {'; '.join(open_ones)}", device=device.address))
        device.wait(min(left_s, LOOK_AGAIN_SECONDS))
