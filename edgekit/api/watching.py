"""A device's heat, frequencies and power as they are, moment by moment."""

from __future__ import annotations

import codecs
import math
from collections.abc import Iterator

import msgspec

from edgekit.agent.answers import Sample
from edgekit.devices import Device
from edgekit.devices.telemetry import UPTIME, cooling_of, frequency_of, temperature_of
from edgekit.errors import DeviceError, InputError
from edgekit.meters.base import Offer, Rails, Reading
from edgekit.meters.commands import Tail
from edgekit.stats.traces import GAP_PERIODS, Refused, unwrapped

LEAST_S, MOST_S = 0.1, 3600.0


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """One look. `t_us`: CLOCK_BOOTTIME of the device. None is unknown: a sensor that is off, a first look at a
    counter."""

    t_us: float
    temperatures_mc: dict[str, int | None]
    frequencies_khz: dict[str, int | None]
    power_mw: float | None = None
    """Of all rails of the meter; of a counter the mean since the last look."""
    rails_mw: dict[str, float | None] = {}
    missed: int = 0
    """Looks that did not happen since the first, because the device or the link was busy."""
    cooling: dict[str, int | None] = {}
    """How far the kernel slows something down because it is hot; 0 is not at all."""


def watch(
    device: Device, *, meter: Offer | Refused, period_s: float = 1.0, count: int | None = None
) -> Iterator[Moment]:
    """Look every `period_s`, `count` times or until the caller stops. A meter that is read by a command tells at its
    own pace: what it told last, until that is GAP_PERIODS of its periods old.

    Raises InputError E_WATCH for a period that cannot be, and for a simulated device without `count`, whose time
    does not pass by itself; DeviceError E_NO_SENSORS where there is nothing to look at; DeviceLost."""
    if not LEAST_S <= period_s <= MOST_S:
        raise InputError(
            f"a period of {period_s:g} s cannot be",
            code="E_WATCH",
            hint=f"from {LEAST_S:g} to {MOST_S:g} seconds",
        )
    if device.simulated and count is None:
        raise InputError(
            "the time of a simulated device does not pass by itself", code="E_WATCH", hint="give --count 10"
        )
    # a meter beside the device is not asked here, nor one that tells all at its end
    offer = meter if isinstance(meter, Offer) and meter.live else None
    sensors = device.sensors.sampled()
    if offer is None and not sensors:
        raise DeviceError(
            "the device shows neither heat nor frequencies nor power",
            code="E_NO_SENSORS",
            hint="edgekit meters says what power would need; heat and frequencies come from the kernel's drivers",
            device=device.address,
        )
    # the agent samples files only: its own clock is one
    paths = tuple(dict.fromkeys((*sensors, *(offer.paths if offer else ())))) or (UPTIME,)
    power: _Files | _Command = _Command(device, offer) if offer and offer.argv else _Files(offer)
    with (
        power,
        device.agent.sample(paths, period_ms=round(period_s * 1000), count=count or 0) as samples,
    ):
        for sample in samples:
            reading = Reading(sample.boottime_ns / 1000, {item.path: item.text for item in sample.files})
            yield _moment(device, sample, reading, power.rails_mw(reading))


class _Files:
    """The power that files tell."""

    def __init__(self, offer: Offer | None) -> None:
        self._offer = offer
        self._before: Reading | None = None

    def __enter__(self) -> _Files:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing goes on there."""

    def rails_mw(self, now: Reading) -> dict[str, float | None]:
        if self._offer is None:
            return {}
        before, self._before = self._before, now
        return rails_mw(self._offer, before, now)


class _Command:
    """The power that a command tells, which goes on beside the samples."""

    def __init__(self, device: Device, offer: Offer) -> None:
        assert offer.printed is not None
        self._offer = offer
        self._tail = Tail(offer.printed)
        self._decoder = codecs.getincrementaldecoder(offer.printed.encoding)("replace")
        self._text = ""
        self._last: Reading | None = None
        self._told: dict[str, float | None] = dict.fromkeys(offer.rails)
        self._running = device.agent.start_run(
            list(offer.argv), stdin=offer.stdin, on_stdout=self._take, keep_bytes=0
        )

    def __enter__(self) -> _Command:
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def _take(self, data: bytes) -> None:
        self._text += self._decoder.decode(data)

    def rails_mw(self, now: Reading) -> dict[str, float | None]:
        self._running.poll()
        text, self._text = self._text, ""
        for reading in self._tail.feed(text):
            self._told = rails_mw(self._offer, self._last, reading)
            self._last = reading
        fresh_us = GAP_PERIODS * self._offer.period_ms * 1000
        if self._last is None or now.t_us - self._last.t_us > fresh_us:
            return dict.fromkeys(self._offer.rails)
        return self._told


def _moment(device: Device, sample: Sample, reading: Reading, rails: dict[str, float | None]) -> Moment:
    known = [mw for mw in rails.values() if mw is not None]
    sensors = device.sensors
    return Moment(
        t_us=reading.t_us,
        temperatures_mc={
            zone: temperature_of(reading.texts.get(path)) for zone, path in sensors.zones.items()
        },
        frequencies_khz={
            name: frequency_of(reading.texts.get(path)) for name, path in sensors.frequencies.items()
        },
        power_mw=sum(known) if known and len(known) == len(rails) else None,
        rails_mw=rails,
        missed=sample.missed,
        cooling={name: cooling_of(reading.texts.get(path)) for name, path in sensors.cooling.items()},
    )


def rails_mw(offer: Offer, before: Reading | None, now: Reading) -> dict[str, float | None]:
    """What each rail takes now, or took since `before`; unknown where the meter refuses. Pure."""
    groups = offer.read([now] if before is None else [before, now])
    if isinstance(groups, Refused):
        return dict.fromkeys(offer.rails)
    return {rail: _power_mw(group, rail) for group in groups for rail in group.values}


def _power_mw(group: Rails, rail: str) -> float | None:
    values = group.values[rail]
    if group.unit == "mW":
        return _known(float(values[-1]))
    if values.size < 2 or not group.t_us[-1] > group.t_us[0]:
        return None
    counted = unwrapped(values, group.range_uj.get(rail))
    if isinstance(counted, Refused):
        return None
    return _known(float(counted[-1]) / float(group.t_us[-1] - group.t_us[0]) * 1000)


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
