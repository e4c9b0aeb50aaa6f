"""Jetson's rails by `tegrastats`, of every generation, for where the sensors' files may not be read.

It reads the same INA3221 as `hwmon` and `ina3221-iio` do, and prints a line every --interval; the first number of each
rail is of that moment (the second and third are means since it began). It also counts the load of every unit, so a look
costs more than files do. Some images show the rails to root only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgekit.meters.base import Missing, Offer, Rails, Reading, Survey, quiet, times
from edgekit.meters.commands import line_stream, lines_of_stream
from edgekit.meters.rails import chosen
from edgekit.parse.tegrastats import TegraStats, parse_tegrastats
from edgekit.stats.traces import Refused

OUTPUT = "tegrastats"
PERIOD_MS = 200
"""Of each line; its own default is 1000."""
FIRST_LOOKS = ("sh", "-c", "tegrastats --interval 100 2>/dev/null | head -n 2")
"""It goes on until its pipe is gone."""


class TegraStatsMeter:
    name = "tegrastats"

    def look(self, seen: Survey) -> Offer | Missing:
        text = seen.outputs.get(OUTPUT)
        if text is None:
            return Missing(self.name, "there is no tegrastats", "a Jetson")
        rails = _last_rails(text)
        if not rails:
            return Missing(
                self.name,
                "tegrastats prints no rails",
                "root on the device: some images show them to nobody else",
            )
        found = chosen(self.name, tuple(rails), seen.power)
        if isinstance(found, Missing):
            return found
        return Offer(
            meter=self.name,
            boundary=found.boundary,
            unit="mW",
            rails=found.rails,
            excluded=found.excluded,
            resolution="1 mW, five lines a second, as they arrive at the device's shell (10 ms)",
            read=_Read(found.rails),
            argv=line_stream(("tegrastats", "--interval", str(PERIOD_MS))),
            printed=lines_of_stream(OUTPUT),
            period_ms=PERIOD_MS,
        )


def _look(text: str | None) -> TegraStats | None:
    """Of one line."""
    looks = quiet(parse_tegrastats, text)
    return looks[0] if looks is not None and len(looks) == 1 else None


def _last_rails(text: str) -> Mapping[str, int]:
    lines = text.replace("\r\n", "\n").split("\n")
    looks = [look for line in lines if (look := _look(f"{line}\n")) is not None]
    return looks[-1].rails_mw if looks else {}


class _Read:
    """The rails of lines; a rail that a line does not have, as one that was cut, is unknown at that moment."""

    def __init__(self, rails: tuple[str, ...]) -> None:
        self._rails = rails

    def __call__(self, readings: Sequence[Reading]) -> Sequence[Rails] | Refused:
        import numpy as np

        looks = [_look(reading.texts.get(OUTPUT)) for reading in readings]
        values = {
            rail: np.array(
                [np.nan if look is None else look.rails_mw.get(rail, np.nan) for look in looks],
                dtype=np.float64,
            )
            for rail in self._rails
        }
        return (Rails(times(readings), values, "mW"),)
