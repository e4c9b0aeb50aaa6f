"""`dumpsys meminfo PID` of Android: the totals of its App Summary, in KB, which are KiB (ActivityThread.java)."""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

from edgekit.parse import fail, lines_of

TOOL: Final = "dumpsys meminfo"
_N: Final = r"(\d{1,12})"
_TOTAL: Final = re.compile(
    rf"TOTAL(?: PSS)?:\s+{_N}(?:\s+TOTAL RSS:\s+{_N})?(?:\s+TOTAL SWAP (?:PSS|\(KB\)):\s+{_N})?", re.ASCII
)
_PART: Final = re.compile(
    rf"(Java Heap|Native Heap|Code|Stack|Graphics|Private Other|System):\s+{_N}(?:\s+{_N})?", re.ASCII
)


class AppMemory(Struct, frozen=True, kw_only=True):
    """Bytes. `rss_bytes` and `swap_pss_bytes` are None where this Android does not tell (RSS since 11)."""

    pss_bytes: int
    rss_bytes: int | None
    swap_pss_bytes: int | None
    parts_pss_bytes: dict[str, int]
    """Of "Java Heap", "Native Heap", "Graphics" and so on, as far as told."""


def parse_dumpsys_meminfo(text: str) -> AppMemory:
    """Raises ParseError where there is no total in an App Summary, as for a process that has gone."""
    parts: dict[str, int] = {}
    inside = False
    for number, line in enumerate(lines_of(TOOL, text), start=1):
        words = line.strip()
        if words == "App Summary":
            inside, parts = True, {}
        if not inside:
            continue
        if (part := _PART.fullmatch(words)) is not None:
            if part[1] in parts:
                fail(TOOL, f"'{part[1]}' comes twice", number)
            parts[part[1]] = int(part[2]) * 1024
        elif words.startswith("TOTAL"):
            total = _TOTAL.fullmatch(words)
            if total is None:
                fail(TOOL, f"'{words[:60]}' as its total", number)
            pss, rss, swap = (None if kib is None else int(kib) * 1024 for kib in total.groups())
            assert pss is not None
            return AppMemory(pss_bytes=pss, rss_bytes=rss, swap_pss_bytes=swap, parts_pss_bytes=parts)
    fail(TOOL, "it has no total of an App Summary")
