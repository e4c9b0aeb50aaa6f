"""`dumpsys batterystats --charged`: what Android thinks that apps took of the battery, in mAh.

A model's estimate (power_profile.xml), and it counts only while unplugged: of use for ten minutes and more, not for
seconds. Read are the line of the capacity and the lines of apps below "Estimated power use".
"""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

from edgekit.parse import fail, lines_of

TOOL: Final = "dumpsys batterystats"
_TITLE: Final = "Estimated power use (mAh):"
_N: Final = r"(\d{1,7}(?:\.\d{1,9})?)"
_CAPACITY: Final = re.compile(
    rf"Capacity: {_N},(?: Rated: [^,]*,)?(?: Typical: [^,]*,)? Computed drain: {_N}, actual drain: {_N}(?:-{_N})?",
    re.ASCII,
)
_APP: Final = re.compile(rf"(?:UID|Uid) ([0-9a-z]{{1,16}}): {_N}(?: .*)?", re.ASCII)


class BatteryStats(Struct, frozen=True, kw_only=True):
    capacity_mah: float
    computed_drain_mah: float
    """The sum of the model."""
    actual_drain_low_mah: float
    """By the battery's level, a whole percent of its capacity at a time: from this to the next."""
    actual_drain_high_mah: float
    apps_mah: dict[str, float]
    """By user id as Android writes it ("u0a1384", "1000"). None of it is measured."""


def parse_batterystats(text: str) -> BatteryStats:
    """Raises ParseError where there is no estimate, or a line of it is not whole."""
    found: tuple[float, float, float, float] | None = None
    apps: dict[str, float] = {}
    inside = False
    for number, line in enumerate(lines_of(TOOL, text), start=1):
        words = line.strip()
        if words == _TITLE:
            if inside:
                fail(TOOL, "the estimate comes twice", number)
            inside = True
        elif inside and words.startswith("Capacity:"):
            match = _CAPACITY.fullmatch(words)
            if match is None or found is not None:
                fail(TOOL, f"'{words[:60]}' as its capacity", number)
            low = float(match[3])
            found = float(match[1]), float(match[2]), low, float(match[4] or low)
        elif inside and words[:4] in ("UID ", "Uid "):
            app = _APP.fullmatch(words)
            if app is None or app[1] in apps:
                fail(TOOL, f"'{words[:60]}' is no app, or comes twice", number)
            apps[app[1]] = float(app[2])
    if found is None:
        fail(TOOL, "it has no estimate of power use")
    capacity, computed, low, high = found
    return BatteryStats(
        capacity_mah=capacity,
        computed_drain_mah=computed,
        actual_drain_low_mah=low,
        actual_drain_high_mah=high,
        apps_mah=apps,
    )
