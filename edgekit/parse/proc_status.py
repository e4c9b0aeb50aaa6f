"""/proc/PID/status: memory of a process. kB means 1024 bytes (Linux fs/proc/task_mmu.c).

Memory of a GPU or NPU is not in these numbers. A kernel thread and a process that is ending have none of them.
"""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

from edgekit.parse import fail, key_values

TOOL: Final = "/proc/PID/status"
_KIB: Final = re.compile(r"(\d{1,15}) kB", re.ASCII)
_FIELDS: Final = {
    "VmHWM": "peak_rss_bytes",
    "VmRSS": "rss_bytes",
    "RssAnon": "anonymous_bytes",
    "RssFile": "file_bytes",
    "RssShmem": "shared_bytes",
    "VmSwap": "swap_bytes",
}


class ProcStatus(Struct, frozen=True, kw_only=True):
    """Bytes; None is unknown (older kernels lack the Rss* parts)."""

    name: str
    peak_rss_bytes: int | None = None
    rss_bytes: int | None = None
    anonymous_bytes: int | None = None
    file_bytes: int | None = None
    shared_bytes: int | None = None
    swap_bytes: int | None = None


def parse_proc_status(text: str) -> ProcStatus:
    """Raises ParseError where it does not begin with a name, or a size is not in kB."""
    name: str | None = None
    sizes: dict[str, int] = {}
    for number, key, value in key_values(TOOL, text):
        if key == "Name" and name is None:
            name = value
        elif key in _FIELDS:
            match = _KIB.fullmatch(value)
            if match is None or _FIELDS[key] in sizes:
                fail(TOOL, f"'{value[:30]}' as {key}", number)
            sizes[_FIELDS[key]] = int(match.group(1)) * 1024
    if not name:
        fail(TOOL, "it has no Name")
    return ProcStatus(name=name, **sizes)
