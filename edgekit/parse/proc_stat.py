"""/proc/stat: how busy all CPUs were, in clock ticks (proc_stat(5))."""

from __future__ import annotations

from msgspec import Struct

from edgekit.parse import fail, lines_of

TOOL = "/proc/stat"
_IDLE_FIELDS = (3, 4)  # idle, iowait


class CpuTicks(Struct, frozen=True, kw_only=True):
    """Since boot, over all CPUs, in ticks of USER_HZ (100 a second on every Linux ABI)."""

    busy: int
    total: int


def parse_proc_stat(text: str) -> CpuTicks:
    """Raises ParseError where the first line is not the sum over CPUs."""
    line = lines_of(TOOL, text)[0]
    head, *numbers = line.split()
    if head != "cpu" or len(numbers) < 4 or not all(one.isascii() and one.isdigit() for one in numbers):
        fail(TOOL, f"no line of all CPUs: {line[:60]!r}", 1)
    # guest time (fields 8 and 9) is counted in user and nice already
    ticks = [int(number) for number in numbers[:8]]
    idle = sum(ticks[at] for at in _IDLE_FIELDS if at < len(ticks))
    return CpuTicks(busy=sum(ticks) - idle, total=sum(ticks))
