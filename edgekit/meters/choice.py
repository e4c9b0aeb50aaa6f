"""Which meter measures: the one that was asked for, the profile's, or the best that is there. Pure but for loading
plug-ins."""

from __future__ import annotations

from collections.abc import Mapping

from edgekit.errors import InputError
from edgekit.meters.base import Meter, Missing, Offer, Survey
from edgekit.registry import load, plugins
from edgekit.stats.traces import Refused

NO_METER = "none"
SAYS_MORE = " (edgekit meters says what would)"
"""Behind a reason for no meter, wherever it is told but in `edgekit meters`."""
PREFERRED = (
    *("odpm", "rapl", "power-stats", "perfetto", "hwmon", "ina3221-iio", "tegrastats", "rpi-pmic", "sim"),
    *("battery", "battery-charge", "batterystats"),
)
"""Counters first, files before commands; the battery last, which takes long and is coarse, its charge more so. Others' plug-ins come before
it."""

ON_REQUEST = ("battery-charge", "batterystats")
"""Never taken unasked: of use for minutes of load only, and they take 40 s and 5 minutes of idle time. Nor is a meter
beside the device, unless its entry in edgekit.yaml says that it is wired to it."""


def look_all(seen: Survey) -> dict[str, Offer | Missing]:
    """Every meter that is installed, the preferred first."""
    names = sorted(plugins("meters"), key=_rank)
    return {name: meter_of(name).look(seen) for name in names}


def meter_of(name: str) -> Meter:
    """Raises InputError E_NO_PLUGIN where none is called so."""
    meter: Meter = load("meters", name)()
    return meter


def choose(
    wanted: str | None,
    found: Mapping[str, Offer | Missing],
    seen: Survey,
    *,
    wired: str | None = None,
) -> Offer | Refused:
    """`wanted`: --meter; `wired`: of the device's entry in edgekit.yaml, before the profile's. Raises InputError E_METER where
    a meter that was asked for cannot measure there; where one of the other two cannot, nothing else is taken in its place:
    its number would have another boundary."""
    if wanted == NO_METER:
        return Refused("no meter was wanted (--meter none)")
    if wanted is None and wired == NO_METER:
        return Refused("edgekit.yaml wants no meter for this device (meter: none)")
    if wanted is None and wired is None and seen.power.meter == NO_METER:
        return Refused("the profile wants no meter (power: {meter: none})")
    # a simulated device has what its profile names only in name
    named = wanted or wired or (None if seen.simulated else seen.power.meter)
    offers = {name: offer for name, offer in found.items() if isinstance(offer, Offer)}
    if named is None:
        unasked = (one for name, one in offers.items() if name not in ON_REQUEST and one.source is None)
        if (best := next(unasked, None)) is not None:
            return best
        return Refused(f"no meter: nothing on the device tells its power{SAYS_MORE}")
    one = found.get(named)
    if isinstance(one, Offer):
        return one
    why = one.reason if one is not None else "no plug-in of that name is installed"
    needed = one.needed if one is not None else None
    others = f"; there is: {', '.join(offers)}" if offers else ""
    if wanted is None:
        whose = (
            f"the meter {named}, which edgekit.yaml names for this device,"
            if wired is not None
            else f"the profile's meter {named}"
        )
        return Refused(f"{whose} cannot measure: {why}{others}")
    raise InputError(
        f"the meter {named} cannot measure there: {why}{others}",
        code="E_METER",
        hint=needed or "edgekit meters -d DEVICE says what can; --meter none goes without",
    )


def _rank(name: str) -> tuple[float, str]:
    if name in PREFERRED:
        return PREFERRED.index(name), name
    return PREFERRED.index("battery") - 0.5, name
