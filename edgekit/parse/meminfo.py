"""/proc/meminfo: `MemTotal:  8058412 kB`, where kB means 1024 bytes (Linux fs/proc/meminfo.c)."""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

from edgekit.parse import fail, key_values

TOOL: Final = "/proc/meminfo"
_KIB: Final = re.compile(r"(\d{1,15}) kB", re.ASCII)


class MemInfo(Struct, frozen=True, kw_only=True):
    """Bytes; None is unknown. `available_bytes` is missing before Linux 3.14."""

    total_bytes: int
    available_bytes: int | None = None
    free_bytes: int | None = None
    swap_total_bytes: int | None = None
    swap_free_bytes: int | None = None


_FIELDS: Final = {
    "MemTotal": "total_bytes",
    "MemAvailable": "available_bytes",
    "MemFree": "free_bytes",
    "SwapTotal": "swap_total_bytes",
    "SwapFree": "swap_free_bytes",
}


def parse_meminfo(text: str) -> MemInfo:
    """Raises ParseError without MemTotal, and where a value is not in kB."""
    values: dict[str, int] = {}
    for number, key, value in key_values(TOOL, text):
        if key in _FIELDS:
            match = _KIB.fullmatch(value)
            if match is None or _FIELDS[key] in values:
                fail(TOOL, f"'{value[:30]}' as {key}", number)
            values[_FIELDS[key]] = int(match.group(1)) * 1024
    if not values.get("total_bytes"):
        fail(TOOL, "it has no MemTotal")
    return MemInfo(**values)
