"""Building HTML in which a text can only ever be text.

`el` takes children: an `Html` goes in as it is, everything else is escaped. Names of devices, models and
labels come from outside and may hold anything; there is no way to put one in unescaped by oversight.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from typing import TypeAlias

MAX_TEXT = 600
"""Longer texts are cut, with a note how much is missing: one hostile string must not fill the page."""

# Control characters are not allowed in HTML; those that turn the direction of writing could make a name look
# like another one (Unicode TR 36). They are shown by their number.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)


_VOID = frozenset(("br", "img", "input", "link", "meta"))
"""What has no end and no children."""


class Html(str):
    """A piece of finished HTML."""

    __slots__ = ()


Child: TypeAlias = "str | int | Iterable[Child] | None"


def text(value: object, limit: int = MAX_TEXT) -> Html:
    """Escaped, cut, and with invisible characters made visible."""
    raw = str(value)
    if len(raw) > limit:
        raw = f"{raw[:limit]}… ({len(raw) - limit:,} more characters)"
    shown = _INVISIBLE.sub(lambda match: f"\\u{ord(match.group()):04x}", raw)
    return Html(html.escape(shown, quote=True))


def join(children: Iterable[Child]) -> Html:
    """Children one after the other."""
    return Html("".join(_piece(child) for child in children))


def el(tag: str, *children: Child, **attributes: object) -> Html:
    """An element. `class_` is class, `aria_label` is aria-label; an attribute that is None is left out."""
    named = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{text(value)}"'
        for name, value in attributes.items()
        if value is not None
    )
    return Html(f"<{tag}{named}>" if tag in _VOID else f"<{tag}{named}>{join(children)}</{tag}>")


def _piece(child: Child) -> str:
    if child is None:
        return ""
    if isinstance(child, Html):
        return child
    if isinstance(child, str | int):
        return text(child)
    return join(child)
