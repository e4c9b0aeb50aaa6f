"""Meters beside the device, as `meters:` of edgekit.yaml names them: what they print is read by this host. Pure.

The number is what the meter was wired to: `boundary` says it, as edgekit cannot know. Its clock is set by markers
(edgekit.meters.beside)."""

from __future__ import annotations

import typing
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from edgekit.config import MeterEntry
from edgekit.errors import InputError
from edgekit.meters.base import Missing, Offer, Source, Survey
from edgekit.meters.stream import RAIL, read_lines
from edgekit.parse.meter_stream import NAMES
from edgekit.profiles.schema import Boundary
from edgekit.units import parse_time_us

EXCLUDED = "what is not behind the meter as it is wired"
RESOLUTION = "the meter's own; its clock is set by two markers"
SIMULATED = "a simulated device takes no power that a meter could see"


def offers_of(entries: Mapping[str, MeterEntry], seen: Survey) -> dict[str, Offer | Missing]:
    """One for each entry. Raises InputError E_CONFIG for one that cannot be."""
    return {name: external_offer(name, entry, seen) for name, entry in entries.items()}


def external_offer(name: str, entry: MeterEntry, seen: Survey) -> Offer | Missing:
    """Raises InputError E_CONFIG for an entry that cannot be."""
    source = source_of(name, entry)
    if entry.boundary not in typing.get_args(Boundary):
        raise _bad(name, f"boundary '{entry.boundary}'", f"one of {', '.join(typing.get_args(Boundary))}")
    if seen.simulated:
        return Missing(name, SIMULATED)
    return stream_offer(name, source, typing.cast(Boundary, entry.boundary), entry.excluded or EXCLUDED)


def stream_offer(name: str, source: Source, boundary: Boundary, excluded: str) -> Offer:
    """Of any meter that is read as a stream."""
    return Offer(
        meter=name,
        boundary=boundary,
        unit="mW",
        rails=(RAIL,),
        excluded=excluded,
        resolution=RESOLUTION,
        read=partial(read_lines, source),
        source=source,
    )


def source_of(name: str, entry: MeterEntry) -> Source:
    """Raises InputError E_CONFIG."""
    if bool(entry.command) == (entry.file is not None):
        raise _bad(
            name, "a command and a file" if entry.command else "neither command nor file", "give one of them"
        )
    unknown = [word for word in entry.columns.values() if word not in NAMES]
    if unknown:
        raise _bad(name, f"column '{unknown[0]}'", f"edgekit's columns are {', '.join(NAMES)}")
    try:
        return Source(
            argv=entry.command,
            file=Path(entry.file) if entry.file is not None else None,
            columns=entry.columns,
            voltage_mv=None if entry.voltage is None else voltage_mv(entry.voltage),
            start_seconds=parse_time_us(entry.start_timeout) / 1e6,
            late_seconds=parse_time_us(entry.late) / 1e6,
        )
    except InputError as error:
        raise _bad(name, error.message, error.hint or "values carry units, like 10s or 5V") from error


def voltage_mv(text: str) -> float:
    """`5.1V` or `3700mV`. Raises InputError E_UNIT."""
    number = text.strip().removesuffix("V")
    milli = number.endswith("m")
    try:
        value = float(number.removesuffix("m")) * (1.0 if milli else 1000.0)
    except ValueError:
        value = 0.0
    if not text.strip().endswith("V") or not 0 < value < 1e6:
        raise InputError(f"voltage {text!r} is none", code="E_UNIT", hint="like 5.1V or 3700mV")
    return value


def _bad(name: str, what: str, hint: str) -> InputError:
    return InputError(f"meters: {name}: {what}", code="E_CONFIG", hint=hint)
