"""What a device can tell of its power, and what it would take for more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from edgekit.benchmarking.energy import TRIM
from edgekit.config import MeterEntry, load_config
from edgekit.devices import Device
from edgekit.meters.base import Missing, Offer
from edgekit.meters.choice import choose, look_all
from edgekit.meters.external import offers_of
from edgekit.meters.survey import ALL_LOOKS, survey
from edgekit.stats.traces import MIN_READINGS, Refused

if TYPE_CHECKING:
    from edgekit.profiles import Profile


class MeterRow(msgspec.Struct, frozen=True, kw_only=True):
    """One meter. Where it is not `available`, `reason` says why and `needed` what would change that."""

    name: str
    available: bool
    boundary: str | None = None
    unit: str | None = None
    rails: tuple[str, ...] = ()
    excluded: str | None = None
    resolution: str | None = None
    period_us: float | None = None
    """None: known once it runs, as of a meter beside the device."""
    min_launch_us: float | None = None
    """The timed part of a launch has to be this long at least (--min-seconds)."""
    idle_us: float | None = None
    """Idle time that a measurement takes before, and again after."""
    reason: str | None = None
    needed: str | None = None


class PowerMeters(msgspec.Struct, frozen=True, kw_only=True):
    device: str
    meters: tuple[MeterRow, ...]
    chosen: str | None = None
    """What `bench` takes without --meter."""
    unavailable: str | None = None
    """Why it takes none."""


def power_meters(
    device: Device, *, profile: Profile | None = None, entries: Mapping[str, MeterEntry] | None = None
) -> PowerMeters:
    """Look at the device through every meter that is installed, and those of edgekit.yaml (`entries`; None: as it lies here).
    Changes nothing there. Raises InputError E_CONFIG, DeviceLost."""
    seen = survey(device, profile.power if profile is not None else None, asked=ALL_LOOKS)
    beside = offers_of(load_config().meters if entries is None else entries, seen)
    found = {**look_all(seen), **beside}
    picked = choose(None, found, seen, wired=device.target.meter)
    rows = tuple(_row(name, one) for name, one in found.items())
    if isinstance(picked, Refused):
        return PowerMeters(device=device.address, meters=rows, unavailable=picked.reason)
    return PowerMeters(device=device.address, meters=rows, chosen=picked.meter)


def _row(name: str, found: Offer | Missing) -> MeterRow:
    if isinstance(found, Missing):
        return MeterRow(name=name, available=False, reason=found.reason, needed=found.needed)
    period_us = found.period_ms * 1000.0 if found.source is None else None
    return MeterRow(
        name=name,
        available=True,
        boundary=found.boundary,
        unit=found.unit,
        rails=found.rails,
        excluded=found.excluded,
        resolution=found.resolution,
        period_us=period_us,
        min_launch_us=None if period_us is None else MIN_READINGS * period_us / (1 - 2 * TRIM),
        idle_us=found.idle_s * 1e6,
    )
