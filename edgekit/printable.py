"""Text of devices, models, records and other hosts, as a terminal may have it. Pure."""

from __future__ import annotations


def printable(text: str) -> str:
    """What would steer the terminal is shown by its number."""
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)


def printable_lines(text: str) -> str:
    """The same, but lines stay lines, and what is indented by tabs stays so."""
    return "\n".join("\t".join(map(printable, line.split("\t"))) for line in text.split("\n"))
