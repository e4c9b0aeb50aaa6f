"""Reading a meter while something runs, with idle time before and after it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from edgekit.config import MeterEntry
from edgekit.devices import Device
from edgekit.errors import DeviceTimeout, RemoteError
from edgekit.events import Event, Sink
from edgekit.meters.base import Offer, Rails, Reading, Survey
from edgekit.meters.beside import beside
from edgekit.meters.choice import NO_METER, choose, look_all
from edgekit.meters.external import offers_of
from edgekit.meters.reading import trace_of
from edgekit.meters.survey import looks_for, survey
from edgekit.profiles.schema import Power
from edgekit.stats.energy import Span
from edgekit.stats.traces import Refused, Trace

if TYPE_CHECKING:
    from edgekit.agent.answers import Sample

SETTLE_S = 0.3
"""Between what ran and idle time, on each side: what ends takes a moment, and our idea of the device's clock is off
by half a round trip."""
END_SECONDS = 30.0
"""For a command to end once it was told to. Android's policy may not let the shell kill what another domain runs."""
KEEP_BYTES = 64 << 20
"""Of a command's output: hours of it."""


@dataclass
class Taken:
    """Filled when the block has ended. `found`: what the meter saw, or why it saw nothing."""

    offer: Offer | None = None
    found: Trace | Refused = field(default=Refused("nothing was measured"))
    rails: tuple[Rails, ...] = ()
    before: Span = field(default=Span(0.0, 0.0))
    after: Span = field(default=Span(0.0, 0.0))
    sample_cost_us: float | None = None
    """Time that one look took on the device."""
    clock_drift: float | None = None
    """Of a meter beside the device: by which share its clock is slower than the device's."""

    def finish(self, readings: list[Reading]) -> None:
        assert self.offer is not None
        if not readings:
            self.found = Refused("the meter gave no readings")
            return
        rails = self.offer.read(readings)
        if isinstance(rails, Refused):
            self.found = rails
            return
        self.rails = tuple(rails)
        self.found = trace_of(rails)


def meter_for(
    device: Device,
    power: Power | None,
    wanted: str | None,
    entries: Mapping[str, MeterEntry] | None = None,
    *,
    unplugged_later: bool = False,
) -> Offer | Refused:
    """What `choice.choose` says of this device; `power`: the profile's; `entries`: meters beside devices, of edgekit.yaml.
    Raises InputError E_METER, and E_CONFIG where that entry cannot be; DeviceLost."""
    power = power or Power()
    wired = device.target.meter
    named = wanted or wired or power.meter
    if named == NO_METER:
        return choose(wanted, {}, Survey(power=power), wired=wired)
    seen = survey(device, power, asked=looks_for(named), unplugged_later=unplugged_later)
    beside = {name: entry for name, entry in (entries or {}).items() if name == named}
    return choose(wanted, {**look_all(seen), **offers_of(beside, seen)}, seen, wired=wired)


@contextmanager
def metered(device: Device, meter: Offer | Refused, sink: Sink, *, required: bool = False) -> Iterator[Taken]:
    """Read `meter` while the block runs, and for its idle time before and after. A meter that fails is a reason, not an
    error; but where a meter beside the device is `required` and gives nothing, that is one, before anything is measured:
    HostError E_METER_SILENT. Raises DeviceLost."""
    if isinstance(meter, Refused):
        yield Taken(found=meter)
        return
    taken = Taken(offer=meter)
    if meter.source is not None:
        idle = partial(_idle, device, meter, sink)
        with beside(device, meter, taken, sink, idle, required=required):
            yield taken
        return
    reader = _command if meter.argv else _files
    with reader(device, meter, taken):
        taken.before = _idle(device, meter, sink, "before")
        yield taken
        taken.after = _idle(device, meter, sink, "after")


def _idle(device: Device, meter: Offer, sink: Sink, when: str, least_s: float = 0.0) -> Span:
    idle_s = max(meter.idle_s, least_s)
    sink(Event("energy", f"{idle_s:g} s of idle power {when}", device=device.address))
    device.wait(SETTLE_S)
    start_us = device.clock_us()
    device.wait(idle_s)
    end_us = device.clock_us()
    device.wait(SETTLE_S)
    return Span(start_us, end_us)


@contextmanager
def _files(device: Device, meter: Offer, taken: Taken) -> Iterator[None]:
    with device.agent.sample(meter.paths, period_ms=meter.period_ms) as stream:
        yield
        try:
            samples = stream.stop()
        except RemoteError as error:
            taken.found = Refused(f"the meter's files could not be sampled: {error.message}")
            return
    if samples:
        taken.sample_cost_us = sum(one.cost_ns for one in samples) / len(samples) / 1000
    taken.finish([_reading(one) for one in samples])


def _reading(sample: Sample) -> Reading:
    """At the middle of its look."""
    t_us = (sample.boottime_ns + sample.cost_ns / 2) / 1000
    return Reading(t_us, {item.path: item.text for item in sample.files})


@contextmanager
def _command(device: Device, meter: Offer, taken: Taken) -> Iterator[None]:
    printed = meter.printed
    assert printed is not None
    with device.agent.start_run(list(meter.argv), stdin=meter.stdin, keep_bytes=KEEP_BYTES) as running:
        yield
        running.cancel()
        try:
            done = running.wait(END_SECONDS)
        except DeviceTimeout:
            taken.found = Refused("the meter's command could not be ended")
            return
    if done.truncated:
        taken.found = Refused("the meter printed more than is kept")
        return
    readings = printed.readings(done.stdout.decode(printed.encoding, "replace"))
    if readings and printed.end is not None:
        taken.sample_cost_us = _cost_us(readings, done.user_us + done.system_us)
    taken.finish(readings)


def _cost_us(readings: list[Reading], cpu_us: float) -> float:
    """CPU time of a look's processes, or the time that it took where that is more: what answers `dumpsys` and
    `vcgencmd` is no child of theirs."""
    took_us = [reading.took_us for reading in readings if reading.took_us is not None]
    return max(cpu_us / len(readings), sum(took_us) / len(took_us) if took_us else 0.0)
