"""Making Matplotlib's SVG small and free of inline styles. Pure text to text.

A page whose Content-Security-Policy forbids inline styles cannot show `style="..."`; the same properties as
presentation attributes are allowed, and may name CSS variables. What every figure repeats (the labels' size and colour)
is in the page's style sheet instead.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_STYLE = re.compile(r' style="([^"]*)"')
_PATH = re.compile(r'(?<= d=")[^"]*')
_TAG = re.compile(r"<(/?)g\b([^>]*?)(/?)>")
_INVISIBLE = re.compile(r'<path [^>]*style="fill: none"[^>]*/>')
"""Matplotlib's frames without line and colour. A clip path's rectangle has no style and stays."""
LABEL = {"font-size": "11.5px", "fill": "var(--muted)"}
"""What `svg text` has in report.css."""


def tidy(body: str) -> str:
    """The inner part of a figure, with presentation attributes, shorter paths and no empty groups."""
    body = _INVISIBLE.sub("", body)
    body = re.sub(
        r"<text[^>]*>", lambda tag: _STYLE.sub(lambda style: _attributes(style[1], LABEL), tag[0]), body
    )
    body = _STYLE.sub(lambda style: _attributes(style[1], {}), body)
    body = _PATH.sub(lambda path: shorter_path(path[0]), body)
    return _without_plain_groups(body)


def _attributes(style: str, known: dict[str, str]) -> str:
    pairs = (part.split(":", 1) for part in style.split(";") if ":" in part)
    named = ((name.strip(), value.strip()) for name, value in pairs)
    return "".join(f' {name}="{value}"' for name, value in named if known.get(name) != value)


def shorter_path(path: str) -> str:
    """The same line with fewer characters: repeated points once, H and V where only one coordinate changes."""
    out: list[str] = []
    letter, before = "", ("", "")
    for command, point in _segments(path):
        if command not in ("M", "L") or len(point) != 2:
            out.append(command + " ".join(point))
            letter, before = command, ("", "")
            continue
        here = (_number(point[0]), _number(point[1]))
        if command == "L" and here == before:
            continue
        if command == "L" and here[1] == before[1]:
            command, words = "H", here[0]
        elif command == "L" and here[0] == before[0]:
            command, words = "V", here[1]
        else:
            words = " ".join(here)
        repeated = command == letter or (command == "L" and letter == "M")
        out.append((" " if repeated else command) + words)
        letter, before = "L" if repeated and letter == "M" else command, here
    return "".join(out)


def _segments(path: str) -> Iterator[tuple[str, list[str]]]:
    for found in re.finditer(r"([A-Za-z])([^A-Za-z]*)", path):
        yield found[1], found[2].split()


def _number(text: str) -> str:
    return text.removesuffix(".0")


def _without_plain_groups(body: str) -> str:
    """Groups that carry no attribute mean nothing here."""
    kept: list[bool] = []

    def one(tag: re.Match[str]) -> str:
        closing, attributes, empty = tag[1], tag[2].strip(), tag[3]
        if empty:
            return ""
        if closing:
            return tag[0] if kept.pop() else ""
        kept.append(bool(attributes))
        return tag[0] if attributes else ""

    return _TAG.sub(one, body)
