"""/etc/os-release: shell-like assignments (freedesktop.org os-release(5))."""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

from edgekit.parse import fail

TOOL: Final = "/etc/os-release"
_LINE: Final = re.compile(r"""([A-Za-z_][A-Za-z0-9_]*)=("(?:[^"\\]|\\.)*"|'[^']*'|[^\s"'\\]*)""")


class OsRelease(Struct, frozen=True, kw_only=True):
    """Empty and missing values are None; a rolling distribution has no version."""

    id: str | None = None
    version_id: str | None = None
    name: str | None = None
    pretty_name: str | None = None


def parse_os_release(text: str) -> OsRelease:
    """Raises ParseError where no line is an assignment. People edit this file: a line that is none is passed
    over, and so is a last one without its end, as it may have been cut."""
    values: dict[str, str] = {}
    for line in text.split("\n")[:-1]:
        match = _LINE.fullmatch(line.strip())
        if match is not None:
            values[match.group(1)] = _unquoted(match.group(2))
    if not values:
        fail(TOOL, "it has no assignments")
    return OsRelease(
        id=values.get("ID") or None,
        version_id=values.get("VERSION_ID") or None,
        name=values.get("NAME") or None,
        pretty_name=values.get("PRETTY_NAME") or None,
    )


def _unquoted(text: str) -> str:
    if text.startswith("'"):
        return text[1:-1]
    return re.sub(r"\\(.)", r"\1", text[1:-1]) if text.startswith('"') else text
