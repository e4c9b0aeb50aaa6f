"""Android's power rails by its HAL: `dumpsys android.hardware.power.stats.IPowerStats/default delta`, for where the
kernel's counters (`odpm`) may not be read; with HAL 1.0 by `lshal debug`.

Two traps, both read in the HAL's code (edgekit.parse.power_stats):

- the cumulative column goes through a 32-bit float: after days it steps by 16 mJ and more. So deltas are asked for,
  which are exact; the column is used only where the HAL gives none, with its step.
- a delta is since the last call of anybody: one snapshot in the HAL is shared by all. So a delta counts only where its
  `Elapsed time` is the time between our own two calls, each known to be between the begin and the end of its command; and
  all of them together are checked in the same way, so that no other program can take small parts away unseen.

The sum of the elapsed times is also the clock: the HAL's own, of CLOCK_BOOTTIME.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import pairwise

from edgekit.meters.base import Missing, Offer, Rails, Reading, Survey, quiet, times
from edgekit.meters.commands import LOOP, command_loop
from edgekit.meters.rails import CHANNELS_EXCLUDED, named, only
from edgekit.parse.power_stats import PowerStats, parse_power_stats
from edgekit.stats.traces import Refused, float32_step_uj

OUTPUT, OUTPUT_1 = "power_stats", "power_stats_1"
ARGV = ("dumpsys", "android.hardware.power.stats.IPowerStats/default")
ARGV_1 = ("lshal", "debug", "android.hardware.power.stats@1.0::IPowerStats/default")
SLEEP_MS, PERIOD_MS = 1000, 1100
"""A call is a process and a dump of the HAL; the chip is read again after 50 ms at the earliest (parse.odpm)."""
IDLE_S = 10.0
DELTA_STEP_UJ = 10.0
"""Two decimals of mWs."""
SLACK_MS = 25.0
"""The device's times are cut to 10 ms, the elapsed time to 1 ms."""


def tells_rails(outputs: Mapping[str, str]) -> bool:
    """Whether either HAL does."""
    found = (quiet(parse_power_stats, outputs.get(output)) for output in (OUTPUT, OUTPUT_1))
    return any(stats is not None and bool(stats.rails) for stats in found)


class PowerStatsMeter:
    """All channels of the HAL, or those that the profile names."""

    name = "power-stats"

    def look(self, seen: Survey) -> Offer | Missing:
        for output, argv in ((OUTPUT, ARGV), (OUTPUT_1, ARGV_1)):
            stats = quiet(parse_power_stats, seen.outputs.get(output))
            if stats is not None and stats.rails:
                return self._offer(seen, output, argv, tuple(rail.rail for rail in stats.rails))
        return Missing(
            self.name,
            "Android's IPowerStats tells of no rails",
            "a Pixel 6 or later; few other phones have this hardware",
        )

    def _offer(
        self, seen: Survey, output: str, argv: tuple[str, ...], names: tuple[str, ...]
    ) -> Offer | Missing:
        taken = named(self.name, names, seen.power, CHANNELS_EXCLUDED)
        if isinstance(taken, Missing):
            return taken
        return Offer(
            meter=self.name,
            boundary=taken.boundary,
            unit="uJ",
            rails=taken.rails,
            excluded=taken.excluded,
            resolution="deltas in steps of 10 uJ, once a second, refused where another program asks too",
            read=partial(_read, output, taken.rails),
            argv=command_loop({output: (*argv, "delta")}, SLEEP_MS),
            printed=LOOP,
            period_ms=PERIOD_MS,
            idle_s=IDLE_S,
        )


def _read(output: str, rails: tuple[str, ...], readings: Sequence[Reading]) -> Sequence[Rails] | Refused:
    looks = [quiet(parse_power_stats, reading.texts.get(output)) for reading in readings]
    if not any(looks):
        return Refused("IPowerStats told nothing")
    if None in looks:
        # its delta was handed out, and is lost
        return Refused("an answer of IPowerStats was not whole: what its delta had is lost")
    whole = [look for look in looks if look is not None]
    names = tuple(rail.rail for rail in whole[0].rails)
    if any(tuple(rail.rail for rail in look.rails) != names for look in whole):
        return Refused("IPowerStats told of other rails meanwhile")
    if all(look.elapsed_ms is None for look in whole):
        return only([_cumulative(readings, whole)], rails)
    if any(rail.delta_uj is None for look in whole[1:] for rail in look.rails):
        return Refused("IPowerStats gave no delta")
    found = _deltas(readings, whole)
    return found if isinstance(found, Refused) else only([found], rails)


def _cumulative(readings: Sequence[Reading], looks: Sequence[PowerStats]) -> Rails:
    import numpy as np

    values = {
        rail.rail: np.array([float(look.rails[number].cumulative_uj) for look in looks])
        for number, rail in enumerate(looks[0].rails)
    }
    highest = max((float(counter.max()) for counter in values.values()), default=0.0)
    return Rails(times(readings), values, "uJ", float32_step_uj(highest))


def _deltas(readings: Sequence[Reading], looks: Sequence[PowerStats]) -> Rails | Refused:
    """A counter of each rail that begins at 0 with our first call, whose own delta is of a time before."""
    import numpy as np

    elapsed_ms = [float(look.elapsed_ms or 0) for look in looks[1:]]
    for (first, then), ms in zip(pairwise(readings), elapsed_ms, strict=True):
        if not _ours(first, then, ms):
            return Refused(
                f"IPowerStats gave a delta of {ms:.0f} ms where {(then.t_us - first.t_us) / 1000:.0f} ms had passed: "
                "another program asks it too"
            )
    if elapsed_ms and not _ours(readings[0], readings[-1], sum(elapsed_ms)):
        return Refused("another program took parts of IPowerStats' deltas")
    t_us = readings[0].t_us + np.concatenate(([0.0], np.cumsum(elapsed_ms))) * 1000
    values = {
        rail.rail: np.concatenate(
            ([0.0], np.cumsum([float(look.rails[number].delta_uj or 0) for look in looks[1:]]))
        )
        for number, rail in enumerate(looks[0].rails)
    }
    return Rails(t_us, values, "uJ", DELTA_STEP_UJ)


def _ours(first: Reading, then: Reading, elapsed_ms: float) -> bool:
    """Whether so much time can lie between the two calls: each was at some moment of its command."""
    apart_ms = (then.t_us - first.t_us) / 1000
    either_ms = ((first.took_us or 0.0) + (then.took_us or 0.0)) / 2000 + SLACK_MS
    return abs(elapsed_ms - apart_ms) <= either_ms
