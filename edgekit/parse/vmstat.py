"""/proc/vmstat: one counter a line, `pswpin 1042` (proc_vmstat(5), Linux mm/vmstat.c)."""

from __future__ import annotations

from typing import Final

from edgekit.parse import fail, lines_of

TOOL: Final = "/proc/vmstat"
_SWAP: Final = ("pswpin", "pswpout")


def parse_swapped_pages(text: str) -> int:
    """Pages read from and written to swap since boot. Raises ParseError where a kernel without swap counts neither."""
    found: dict[str, int] = {}
    for number, line in enumerate(lines_of(TOOL, text), 1):
        key, _, value = line.partition(" ")
        if key in _SWAP:
            if not value.isdecimal() or not value.isascii() or len(value) > 20:
                fail(TOOL, f"'{value[:30]}' as {key}", number)
            found[key] = int(value)
    if len(found) != len(_SWAP):
        fail(TOOL, "it does not count pages that are swapped")
    return sum(found.values())
