"""/proc/device-tree: strings end with a NUL, lists are strings one after another."""

from __future__ import annotations

from typing import Final

from edgekit.parse import fail

TOOL: Final = "/proc/device-tree"


def parse_model(text: str) -> str:
    """The `model` string. Raises ParseError where its NUL is missing or it is not one string."""
    strings = parse_compatible(text)
    if len(strings) != 1:
        fail(TOOL, f"{len(strings)} strings in 'model'")
    return strings[0]


def parse_compatible(text: str) -> tuple[str, ...]:
    """The `compatible` strings, most specific first. Raises ParseError where the last NUL is missing."""
    if not text.endswith("\0"):
        fail(TOOL, "the string has no end")
    strings = text[:-1].split("\0")
    if not all(one and one.isprintable() for one in strings):
        fail(TOOL, "a string is empty or not text")
    return tuple(strings)
