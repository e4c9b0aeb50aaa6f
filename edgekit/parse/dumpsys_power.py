"""`dumpsys power` of Android: whether the device is awake, and with it the screen.

The service prints `mWakefulness=` with one of four names (AOSP, PowerManagerService.dumpInternal and
PowerManagerInternal.wakefulnessToString); many versions also print `Display Power: state=`, with the name of a display's
state (AOSP, Display.stateToString). Keys are matched whole, so `mWakefulnessChanging` is never taken for it.
"""

from __future__ import annotations

from typing import Final, Literal, cast

from msgspec import Struct

from edgekit.parse import fail, lines_of

TOOL: Final = "dumpsys power"
Wakefulness = Literal["awake", "asleep", "dreaming", "dozing"]
_WAKEFULNESS: Final = ("awake", "asleep", "dreaming", "dozing")
_DISPLAY: Final = {
    "ON": True,
    "VR": True,
    "OFF": False,
    "DOZE": False,
    "DOZE_SUSPEND": False,
    "ON_SUSPEND": True,
}
_DISPLAY_KEY: Final = "Display Power: state="


class Power(Struct, frozen=True, kw_only=True):
    """`screen_on`: as the display says, else as the wakefulness does: dreaming shows a screen saver, dozing at most a clock
    on a display of which most is dark, which counts as off."""

    wakefulness: Wakefulness
    screen_on: bool


def parse_dumpsys_power(text: str) -> Power:
    """Raises ParseError where no wakefulness is told, or one that is not known."""
    wakefulness: str | None = None
    display: str | None = None
    for number, raw in enumerate(lines_of(TOOL, text), start=1):
        line = raw.strip()
        key, equals, value = line.partition("=")
        if key == "mWakefulness" and equals and wakefulness is None:
            wakefulness = value.strip().lower()
            if wakefulness not in _WAKEFULNESS:
                fail(TOOL, f"'{value[:20]}' as mWakefulness", number)
        elif line.startswith(_DISPLAY_KEY) and display is None:
            display = line.removeprefix(_DISPLAY_KEY).strip()
    if "POWER MANAGER" not in text or wakefulness is None:
        fail(TOOL, "it tells no mWakefulness of the power service")
    awake = wakefulness in ("awake", "dreaming")
    return Power(
        wakefulness=cast(Wakefulness, wakefulness),
        screen_on=_DISPLAY.get(display, awake) if display else awake,
    )
