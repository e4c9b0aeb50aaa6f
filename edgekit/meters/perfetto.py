"""Android's power rails by `perfetto`: its daemons ask the phone's power HAL while the measurement runs, and tell all at its end.

The same counters as `power-stats` prints, and the same boundary. What is better here: they are whole 64-bit numbers since boot (no
32-bit float, no delta that another program takes away), each with the HAL's own time; a look is a call inside a
daemon that runs anyway, so four a second are cheap where `dumpsys` takes a process and a dump each. What is worse: it has to record
to tell whether there are rails at all, and tells nothing before it has ended. So `power-stats` is asked first.

The configuration goes to perfetto's stdin and the trace comes from its stdout, both of which Android's policy allows the shell
(private/perfetto.te: "read the trace config from ... shell ... on stdin and also to write the resulting trace to stdout"): no
file is left on the phone. SIGTERM makes it flush and print what it has. The buffer keeps what came first,
as the rails' names come first, and the recording ends by itself after MOST_MS.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from edgekit.meters.base import Missing, Offer, Printed, Rails, Reading, Survey
from edgekit.meters.iio import ODPM_STEP_UJ
from edgekit.meters.power_stats import tells_rails
from edgekit.meters.rails import CHANNELS_EXCLUDED, named, only
from edgekit.parse import ParseError
from edgekit.parse.perfetto import PowerRails, RailsLook, parse_power_rails
from edgekit.stats.traces import Refused

OUTPUT = "perfetto"
ARGV = ("perfetto", "-c", "-", "--txt", "-o", "-")
ENCODING = "latin-1"
"""Of a trace as text: every byte is a character."""
POLL_MS = 250
"""The HAL's chip is read again after 50 ms at the earliest; perfetto allows 100."""
PROBE_MS = 500
"""Two looks at least, the first of which comes at once."""
MOST_MS = 3_600_000
BUFFER_KB = 16_384
"""An hour of 32 rails, 10 MB, and as much again."""
NEAR_MS = 2000.0
"""Between a HAL's time and the moment it was asked: more, and they are not of one clock."""


def config_text(duration_ms: int) -> str:
    """What is recorded, in protobuf's text format (protos/perfetto/config)."""
    return (
        f"buffers {{ size_kb: {BUFFER_KB} fill_policy: DISCARD }}\n"
        'data_sources { config { name: "android.power" '
        f"android_power_config {{ battery_poll_ms: {POLL_MS} collect_power_rails: true }} }} }}\n"
        f"duration_ms: {duration_ms}\n"
    )


PROBE = config_text(PROBE_MS).encode()


def recording(stdout: str) -> list[Reading]:
    """All of it is one reading, whose looks have their own times."""
    return [Reading(0.0, {OUTPUT: stdout})] if stdout else []


def nothing_quicker(outputs: Mapping[str, str]) -> bool:
    """Whether a recording is worth its half second: where `dumpsys` tells of the rails, it is not."""
    return not tells_rails(outputs)


class PerfettoMeter:
    """All rails of the HAL, or those that the profile names."""

    name = "perfetto"

    def look(self, seen: Survey) -> Offer | Missing:
        text = seen.outputs.get(OUTPUT)
        if text is None:
            return Missing(
                self.name, "no perfetto recorded anything", "Android 10 or later, with traced running"
            )
        trace = _parsed(text)
        if isinstance(trace, Refused):
            return Missing(self.name, trace.reason)
        if not trace.looks:
            return Missing(
                self.name,
                "perfetto records no power rails",
                "a Pixel 6 or later; few other phones have this hardware",
            )
        taken = named(self.name, [rail.name for rail in trace.rails], seen.power, CHANNELS_EXCLUDED)
        if isinstance(taken, Missing):
            return taken
        return Offer(
            meter=self.name,
            boundary=taken.boundary,
            unit="uJ",
            rails=taken.rails,
            excluded=taken.excluded,
            resolution="a counter of whole uJ, four times a second, times in ms",
            read=partial(_read, taken.rails),
            argv=ARGV,
            stdin=config_text(MOST_MS).encode(),
            printed=Printed(end=None, readings=recording, encoding=ENCODING),
            period_ms=POLL_MS,
        )


def _parsed(text: str | None) -> PowerRails | Refused:
    try:
        return parse_power_rails((text or "").encode(ENCODING, "replace"))
    except ParseError as error:
        return Refused(f"perfetto's trace cannot be read: {error.problem}")


def _read(rails: tuple[str, ...], readings: Sequence[Reading]) -> Sequence[Rails] | Refused:
    looks: list[RailsLook] = []
    for reading in readings:
        trace = _parsed(reading.texts.get(OUTPUT))
        if isinstance(trace, Refused):
            return trace
        looks += trace.looks
    if not looks:
        return Refused("perfetto recorded no power rails")
    for look in looks:
        for count in look.counts.values():
            if abs(count.time_ms - look.time_ns / 1e6) > NEAR_MS:
                return Refused("the times of the phone's rails are not of its CLOCK_BOOTTIME, or are old")
    return only(_together(looks), rails)


def _together(looks: Sequence[RailsLook]) -> list[Rails]:
    """Rails that were read at the same times, as those of one chip are. A look that lacks a rail is no look at it."""
    import numpy as np

    by_times: dict[tuple[int, ...], dict[str, list[int]]] = {}
    for name in {name: None for look in looks for name in look.counts}:
        counts = [look.counts[name] for look in looks if name in look.counts]
        same = by_times.setdefault(tuple(one.time_ms for one in counts), {})
        same[name] = [one.energy_uj for one in counts]
    return [
        Rails(
            np.array(times_ms, dtype=np.float64) * 1000,
            {name: np.array(energies, dtype=np.float64) for name, energies in values.items()},
            "uJ",
            ODPM_STEP_UJ,
        )
        for times_ms, values in by_times.items()
    ]
