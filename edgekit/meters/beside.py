"""Reading a meter beside the device while something runs: its clock is set by a marker before and one after.

The first marker is looked for as soon as it was played, in what the meter gave until then: launches cannot be in it yet, so
they are not taken for it, however late the meter is. The second is looked for where the first says that it has to be, and
as high.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from edgekit.clock import Deadline
from edgekit.devices import Device
from edgekit.errors import HostError
from edgekit.events import Event, Sink
from edgekit.meters.base import Offer, Rails, Source
from edgekit.meters.marker import SLOW_US, parts_ms, play
from edgekit.meters.reading import trace_of
from edgekit.meters.stream import Readings, streaming
from edgekit.stats.energy import Span
from edgekit.stats.markers import (
    MAX_DRIFT,
    ExternalClock,
    clock_of_expected_marker,
    clock_of_marker,
    clock_of_offsets,
    height_of_marker,
    on_device_clock,
)
from edgekit.stats.traces import MIN_READINGS, Refused, Trace

if TYPE_CHECKING:
    from edgekit.meters.taking import Taken

FIRST_READINGS = 2 * MIN_READINGS
SOON_READINGS = 3
"""Of those, within the time that its settings give it; the others at its own pace, which has to be no slower than SLOWEST_US."""
LOOK_SECONDS = 0.5
SLOWEST_US = 2.5e6
"""What a marker tells of a clock goes with the meter's period, and so does the shortest launch: slow meters are as good, and take
longer. With this one, each marker is two minutes long."""
IDLE_PERIODS = 20.0
"""Of idle time, at least."""
QUIET = 2.2
"""Times the length of the first marker: so long a stretch before it is looked at as well. With less, what a marker is like
a little beside its place is all that there is to compare it with (`edgekit.stats.markers`)."""
BEHIND_US = 1e6
"""Of readings behind a marker, before it counts."""
AGREE = 0.25
"""Of the shortest pulse: two looks that put the marker so near to each other mean the same place."""
Look = Callable[[Trace, Sequence[Span]], float | Refused]
Idle = Callable[[str, float], Span]
"""When, and at least so many seconds."""


@dataclass(frozen=True)
class Marked:
    """A marker that was played, and where the meter saw it: the offset to add to its times."""

    pulses: tuple[Span, ...]
    offset_us: float
    height_mw: float
    idle_s: float = 0.0
    """How long idle times have to be for this meter."""


@contextmanager
def beside(
    device: Device, meter: Offer, taken: Taken, sink: Sink, idle: Idle, *, required: bool
) -> Iterator[None]:
    """For the time of the block, with idle time before and after. `taken` is filled when it has ended. A meter that gives
    nothing is an error where it is `required`, before the block is entered. Raises HostError E_METER_SILENT, DeviceLost."""
    source = meter.source
    assert source is not None
    with streaming(source) as readings:
        first = _began(device, source, readings, taken, sink, idle)
        if isinstance(first, Refused) and required:
            raise HostError(
                f"the meter {meter.meter}: {first.reason}",
                code="E_METER_SILENT",
                device=device.address,
                hint="docs/measuring.md says how a meter beside the device is wired, and what it has to print",
            )
        yield
        if isinstance(first, Refused):
            taken.found = first
            return
        taken.after = idle("after", first.idle_s)
        clock = _ended(device, source, readings, first, sink)
        rails = readings.rails()
    taken.found = _aligned(taken, rails, clock)


def _aligned(taken: Taken, rails: Rails | Refused, clock: ExternalClock | Refused) -> Trace | Refused:
    """What the meter saw, at times of the device."""
    if isinstance(clock, Refused):
        return clock
    trace = rails if isinstance(rails, Refused) else trace_of([rails])
    if isinstance(trace, Refused) or isinstance(rails, Refused):
        return trace
    taken.rails = (replace(rails, t_us=clock.device_us(rails.t_us)),)
    taken.clock_drift = clock.drift
    return on_device_clock(trace, clock)


def _began(
    device: Device,
    source: Source,
    readings: Readings,
    taken: Taken,
    sink: Sink,
    idle: Idle,
) -> Marked | Refused:
    """Idle time, then the first marker, played and found."""
    sink(Event("energy", "waiting for the external meter", device=device.address))
    started_us = device.clock_us()
    if (silent := readings.wait_for(SOON_READINGS, Deadline.after(source.start_seconds))) is not None:
        return silent
    own_pace = max(source.start_seconds, FIRST_READINGS * SLOWEST_US / 1e6)
    if (silent := readings.wait_for(FIRST_READINGS, Deadline.after(own_pace))) is not None:
        return silent
    trace = _trace(readings)
    if isinstance(trace, Refused):
        return trace
    if trace.period_us > SLOWEST_US:
        return Refused(
            f"the meter tells its power each {trace.period_us / 1e6:.3g} s: a marker takes one each {SLOWEST_US / 1e6:g} s"
        )
    idle_s = IDLE_PERIODS * trace.period_us / 1e6
    taken.before = idle("before", idle_s)
    parts = parts_ms(trace.period_us)
    marker_s = sum(parts) / 1000
    device.wait(max(0.0, QUIET * marker_s - (device.clock_us() - started_us) / 1e6))
    first = _marked(device, source, readings, parts, sink, "before", anywhere)
    if isinstance(first, Refused):
        return first
    if trace.period_us > SLOW_US:
        device.wait(marker_s)  # that much load warms it
    return replace(first, idle_s=idle_s)


def anywhere(trace: Trace, pulses: Sequence[Span]) -> float | Refused:
    """The first marker, on a clock that nobody knows."""
    everywhere = (trace.t_us[0] - pulses[0].start_us, trace.t_us[-1] - pulses[-1].end_us)
    return clock_of_marker(trace, pulses, search_us=everywhere)


def expected(first: Marked, trace: Trace, pulses: Sequence[Span]) -> float | Refused:
    """The second, where the first says, and as high."""
    slack_us = MAX_DRIFT * (pulses[-1].end_us - first.pulses[0].start_us)
    near = (-first.offset_us - slack_us, -first.offset_us + slack_us)
    return clock_of_expected_marker(trace, pulses, search_us=near, height_mw=first.height_mw)


def _ended(
    device: Device, source: Source, readings: Readings, first: Marked, sink: Sink
) -> ExternalClock | Refused:
    """The second marker, and from both the clock."""
    trace = _trace(readings)
    if isinstance(trace, Refused):
        return trace
    parts = parts_ms(trace.period_us, mirrored=True)
    second = _marked(device, source, readings, parts, sink, "after", partial(expected, first))
    if isinstance(second, Refused):
        return second
    return clock_of_offsets(first.pulses, second.pulses, (first.offset_us, second.offset_us))


def _marked(
    device: Device,
    source: Source,
    readings: Readings,
    parts: tuple[int, ...],
    sink: Sink,
    when: str,
    look: Look,
) -> Marked | Refused:
    """Play a marker, and look for it until it is there or cannot come any more."""
    sink(
        Event("energy", f"a marker for the external meter, {sum(parts) / 1000:.1f} s", device=device.address)
    )
    pulses = play(device, parts)
    if isinstance(pulses, Refused):
        return pulses
    deadline = Deadline.after(source.late_seconds)
    looks: list[float | Refused] = []
    while True:
        device.wait(LOOK_SECONDS)
        late = deadline.expired() or readings.ended is not None
        trace = _trace(readings)
        found = trace if isinstance(trace, Refused) else look(trace, pulses)
        if isinstance(found, float) and isinstance(trace, Trace):
            last = next((one for one in reversed(looks) if isinstance(one, float)), None)
            if trace.t_us[-1] + found < pulses[-1].end_us + BEHIND_US:
                found = Refused("the meter has no readings behind it")
            elif last is not None and abs(found - last) < AGREE * min(parts) * 1000:
                return Marked(pulses, found, height_of_marker(trace, pulses, found))
        looks.append(found)
        if late:
            ended = f" ({readings.ended})" if readings.ended else ""
            return Refused(f"the marker {when} the launches was not found: {why_not_found(looks)}{ended}")


def why_not_found(looks: Sequence[float | Refused]) -> str:
    """After the last of some looks, no two of which agreed: what to tell of them."""
    places = [one for one in looks if isinstance(one, float)]
    if isinstance(last := looks[-1], Refused):
        return last.reason
    if len(places) == 1:
        return "it was seen once only, at the end of the time that readings may come late"
    return "it seems to be in several places"


def _trace(readings: Readings) -> Trace | Refused:
    """All that came so far, on the meter's clock."""
    rails = readings.rails()
    return rails if isinstance(rails, Refused) else trace_of([rails])
