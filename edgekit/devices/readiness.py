"""Waiting until a device is cool enough to measure, with a deadline."""

from __future__ import annotations

from edgekit.devices.device import Device
from edgekit.devices.telemetry import temperature_of
from edgekit.events import Event

LOOK_AGAIN_SECONDS = 2.0


def cool_down(device: Device, cool_to_mc: int | None, timeout_s: float) -> bool | None:
    """Wait until every sensor is at or below `cool_to_mc`. True when it is, False when time ran out, None
    where nothing was asked for or nothing can be read (an unknown temperature is not a hot one)."""
    zones = device.sensors.zones
    if cool_to_mc is None or not zones:
        return None
    until_us = device.clock_us() + timeout_s * 1e6
    while True:
        texts = device.read_texts(list(zones.values()))
        readings = [value for text in texts.values() if (value := temperature_of(text)) is not None]
        if not readings:
            return None
        if max(readings) <= cool_to_mc:
            return True
        left_s = (until_us - device.clock_us()) / 1e6
        if left_s <= 0:
            return False
        device.sink(
            Event(
                "cool down",
                message=f"{max(readings) / 1000:.0f} C, waiting for {cool_to_mc / 1000:.0f} C",
                device=device.address,
            )
        )
        device.wait(min(left_s, LOOK_AGAIN_SECONDS))
