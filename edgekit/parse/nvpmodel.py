"""`nvpmodel -q` of Jetson: the power mode that is set, by name and number, perhaps after a line of the fan's."""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

from edgekit.parse import fail, lines_of, whole_number

TOOL: Final = "nvpmodel"
_MODE: Final = re.compile(r"NV Power Mode: ?(\w[\w .+-]{0,40})", re.ASCII)


class PowerMode(Struct, frozen=True, kw_only=True):
    name: str
    """"MAXN", "15W", "MODE_15W_6CORE"."""
    number: int


def parse_nvpmodel(text: str) -> PowerMode:
    """Raises ParseError unless a mode and, in the next line, its number end the output."""
    lines = [line.strip() for line in lines_of(TOOL, text)]
    for number, line in enumerate(lines, start=1):
        match = _MODE.fullmatch(line)
        if match is not None:
            if number != len(lines) - 1:
                fail(TOOL, "the mode's number is not the last line", number)
            return PowerMode(name=match[1], number=whole_number(TOOL, lines[-1], number + 1))
    fail(TOOL, "it names no power mode")
