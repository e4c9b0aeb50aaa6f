"""Text that devices and tools print, to typed values. Pure: text in, Struct out, one module a tool.

Give the parsers the text as it came, final newline and NUL included: they take a last line without its end
for an output that was cut short, because half a number is a number too. Unknown is None; a text that cannot be
what the tool prints is a ParseError; no parser ever gives a number that the tool did not print.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NoReturn

from edgekit.errors import DeviceError

__all__ = ["ParseError", "fail", "key_values", "lines_of", "whole_number"]


class ParseError(DeviceError):
    """A tool's output could not be understood. `tool` says whose it was, `line` counts from 1."""

    default_code = "E_PARSE"

    def __init__(self, tool: str, problem: str, *, line: int | None = None, **kwargs: Any) -> None:
        where = f"{tool}, line {line}" if line is not None else tool
        super().__init__(f"the output of {where} was not understood: {problem}", **kwargs)
        self.tool = tool
        self.line = line
        self.problem = problem


def fail(tool: str, problem: str, line: int | None = None) -> NoReturn:
    raise ParseError(tool, problem, line=line)


def lines_of(tool: str, text: str) -> list[str]:
    """The lines of an output that is whole; CRLF counts as one end of line (old adb makes it).

    Raises ParseError where there is nothing, where the last line has no end, and on NUL bytes.
    """
    if not text.strip():
        fail(tool, "it is empty")
    if not text.endswith("\n"):
        fail(tool, "it is cut short: the last line has no end")
    if "\0" in text:
        fail(tool, "it has NUL bytes")
    return text.replace("\r\n", "\n").removesuffix("\n").split("\n")


def key_values(tool: str, text: str) -> Iterator[tuple[int, str, str]]:
    """(line number, key, value) of `key : value` lines, both stripped; other lines are passed over."""
    for number, line in enumerate(lines_of(tool, text), start=1):
        key, colon, value = line.partition(":")
        if colon:
            yield number, key.strip(), value.strip()


def whole_number(tool: str, text: str, line: int | None = None) -> int:
    """An integer in ASCII digits, at most 18 of them."""
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 18):
        fail(tool, f"'{text[:40]}' is not a whole number", line)
    return int(text)
