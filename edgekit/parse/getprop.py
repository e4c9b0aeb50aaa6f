"""`getprop` of Android: `[key]: [value]`, values may span lines."""

from __future__ import annotations

import re
from typing import Final

from edgekit.parse import fail, lines_of

TOOL: Final = "getprop"
_START: Final = re.compile(r"\[([^\]\n]+)\]: \[(.*)", re.DOTALL)


def parse_getprop(text: str) -> dict[str, str]:
    """Every property. Raises ParseError on a line that is none, and where the last one is not closed."""
    properties: dict[str, str] = {}
    key: str | None = None
    value = ""
    for number, line in enumerate(lines_of(TOOL, text), start=1):
        if key is None:
            match = _START.fullmatch(line)
            if match is None:
                if line.strip():
                    fail(TOOL, "not of the form [key]: [value]", number)
                continue
            key, value = match.group(1), match.group(2)
        else:
            value += "\n" + line
        if value.endswith("]"):
            properties[key] = value[:-1]
            key = None
    if key is not None:
        fail(TOOL, f"the value of {key} is not closed")
    return properties
