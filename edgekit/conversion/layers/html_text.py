"""Text from a model, made safe for HTML: names are whatever the file says."""

from __future__ import annotations

import html
import re

_MAX_CHARACTERS = 200
# What is not to be seen, or turns the direction of writing, could make one name look like another.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)


def as_text(value: object, limit: int = _MAX_CHARACTERS) -> str:
    """Escaped, cut to `limit` characters, what is invisible written out."""
    raw = str(value)
    if len(raw) > limit:
        raw = f"{raw[:limit]}… ({len(raw) - limit:,} more characters)"
    return html.escape(_INVISIBLE.sub(lambda match: f"\\u{ord(match.group()):04x}", raw), quote=True)
