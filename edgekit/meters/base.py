"""What every meter is: it looks at what a device shows, offers to measure there or says why not, and reads its samples.

Nothing here talks to a device (`survey` and `taking` do).

A meter's number is worth what its boundary is: `Offer.boundary` says what is inside, `Offer.excluded` what is not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar, runtime_checkable

from edgekit.parse import ParseError
from edgekit.profiles.schema import Boundary, Power
from edgekit.stats.traces import Refused

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

T = TypeVar("T")
Known = Boundary | Literal["unknown"]
Unit = Literal["mW", "uJ"]
PERIOD_MS = 100
IDLE_S = 5.0
"""Before and after the launches; shorter, and the wandering of idle power is not seen (benchmarks/energy.py)."""


@dataclass(frozen=True)
class Survey:
    """What a device shows of power. `folders`: a folder of a class of /sys to its files' texts, None where one
    cannot be read; paths are those of the device, without the sysroot."""

    folders: Mapping[str, Mapping[str, str | None]] = field(default_factory=dict)
    denied: frozenset[str] = frozenset()
    """Files and folders that are there, and not for this user."""
    outputs: Mapping[str, str] = field(default_factory=dict)
    """Of commands that ended well, by name: pmic_read_adc."""
    sysroot: str = ""
    simulated: bool = False
    unplugged_later: bool = False
    """What is plugged in now will be out when it is measured: that is looked at in the readings only."""
    power: Power = field(default=Power())
    """What the profile knows."""

    def of_class(self, folder: str) -> dict[str, Mapping[str, str | None]]:
        """Those directly below `folder`, sorted."""
        return {
            path: files
            for path, files in sorted(self.folders.items())
            if path.rpartition("/")[0] == folder.rstrip("/")
        }

    def on_device(self, path: str) -> str:
        """Where to read it: with the sysroot."""
        return f"{self.sysroot.rstrip('/')}{path}"


@dataclass(frozen=True)
class Reading:
    """One look. `t_us`: CLOCK_BOOTTIME of the device, or the clock of an external meter; None: could not be read."""

    t_us: float
    texts: Mapping[str, str | None]
    """By path; of a command, its output under its own name."""
    took_us: float | None = None
    """How long the look took there; `t_us` is its middle."""


@dataclass(frozen=True, eq=False)
class Rails:
    """What the readings say by rail, NaN where unreadable: mW, or cumulative uJ. Rails with the same times are
    together."""

    t_us: Floats
    values: Mapping[str, Floats]
    unit: Unit
    step_uj: float = 0.0
    range_uj: Mapping[str, float] = field(default_factory=dict)
    """Where a counter begins at 0 again; not in here: never."""


Read = Callable[[Sequence[Reading]], Sequence[Rails] | Refused]


@dataclass(frozen=True)
class Source:
    """A meter beside the device, whose lines this host reads (edgekit.parse.meter_stream): those of a command, or of a file
    that grows."""

    argv: tuple[str, ...] = ()
    file: Path | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    voltage_mv: float | None = None
    """Of a meter that tells its current only."""
    start_seconds: float = 10.0
    """Until its first readings are there."""
    late_seconds: float = 30.0
    """By so much its readings may come late."""


@dataclass(frozen=True)
class Printed:
    """How a command's output is cut into looks. `end`: what the last line of each begins with, its newline before it;
    None: it prints all at its end, after SIGTERM, and has no cost for each look."""

    end: str | None
    readings: Callable[[str], list[Reading]]
    encoding: str = "utf-8"


@dataclass(frozen=True)
class Offer:
    """A meter that can measure on this device. `read` makes rails of readings; pure."""

    meter: str
    boundary: Known
    """`unknown`: a sensor of which nobody has said what it feeds."""
    unit: Unit
    rails: tuple[str, ...]
    excluded: str
    """What is not in the number, in words."""
    resolution: str
    """In words: step, update rate."""
    read: Read
    paths: tuple[str, ...] = ()
    """Files to read every `period_ms`."""
    argv: tuple[str, ...] = ()
    """Or a command that goes on until it is ended (`commands`)."""
    stdin: bytes = b""
    """What such a command is given."""
    printed: Printed | None = None
    """What it prints."""
    source: Source | None = None
    """Or a meter beside the device, with a clock of its own."""
    period_ms: int = PERIOD_MS
    idle_s: float = IDLE_S

    @property
    def live(self) -> bool:
        """Whether it tells on the device while it goes on: not beside it, nor all at its end."""
        return self.source is None and (self.printed is None or self.printed.end is not None)


@dataclass(frozen=True)
class Missing:
    """Why this meter cannot measure on this device, and what would change that, in words."""

    meter: str
    reason: str
    needed: str | None = None


@runtime_checkable
class Meter(Protocol):
    """A plug-in of the entry-point group edgekit.meters: a class without arguments."""

    name: str
    """As in `--meter` and the profile's power.meter."""

    def look(self, seen: Survey) -> Offer | Missing:
        """Whether it can measure there. Pure; never raises for what a device shows."""


def nothing(meter: str, seen: Survey, folder: str, reason: str, needed: str | None = None) -> Missing:
    """Where nothing below a class of /sys will do: `reason`, unless this user may not look."""
    closed = sorted(path for path in seen.denied if f"{path}/".startswith(f"{folder}/"))
    if closed:
        return Missing(meter, f"{closed[0]} may not be looked into", "root on the device")
    return Missing(meter, reason, needed)


def quiet(parse: Callable[[str], T], text: str | None) -> T | None:
    """What the parser says; None where there is no text or it is not understood."""
    if text is None:
        return None
    try:
        return parse(text)
    except ParseError:
        return None


def column(readings: Sequence[Reading], path: str, parse: Callable[[str], float]) -> Floats:
    """One file over the readings, as numbers; NaN where it could not be read."""
    import numpy as np

    values = [quiet(parse, reading.texts.get(path)) for reading in readings]
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def times(readings: Sequence[Reading]) -> Floats:
    import numpy as np

    return np.array([reading.t_us for reading in readings], dtype=np.float64)
