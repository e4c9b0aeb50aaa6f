"""/sys/devices/system/cpu: CPU lists, frequencies in kHz, governors (Linux Documentation/admin-guide/pm/cpufreq.rst)."""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

from edgekit.parse import fail, lines_of, whole_number

TOOL: Final = "cpufreq"
_LIST: Final = re.compile(r"\d{1,4}(?:-\d{1,4})?(?:,\d{1,4}(?:-\d{1,4})?)*", re.ASCII)
_UNSUPPORTED: Final = "<unsupported>"


class Residency(Struct, frozen=True, kw_only=True):
    """Time at one frequency since boot. The kernel counts it in units of 10 ms."""

    frequency_khz: int
    time_us: int


def parse_khz(text: str) -> int | None:
    """One frequency; None where the driver says `<unsupported>` or 0 (unknown to it)."""
    line = _single_line(text)
    return None if line == _UNSUPPORTED else whole_number(TOOL, line) or None


def parse_number(text: str) -> int:
    """A file with one whole number, such as cpu_capacity. Raises ParseError on anything else."""
    return whole_number(TOOL, _single_line(text))


def parse_frequencies(text: str) -> tuple[int, ...]:
    """`scaling_available_frequencies` in kHz, ascending (the file's order is not guaranteed)."""
    return tuple(sorted(whole_number(TOOL, word) for word in _single_line(text).split()))


def parse_words(text: str) -> tuple[str, ...]:
    """`scaling_available_governors` and the like, in the file's order."""
    return tuple(_single_line(text).split())


def parse_word(text: str) -> str | None:
    """`scaling_governor` and the like; None where it is empty or `<unknown>`."""
    words = _single_line(text).split()
    if len(words) > 1:
        fail(TOOL, "more than one word")
    return words[0] if words and not words[0].startswith("<") else None


def parse_cpu_list(text: str) -> tuple[int, ...]:
    """CPU numbers, ascending, of "0-3,6" (online) or "0 1 2 3" (related_cpus)."""
    line = _single_line(text)
    numbers: set[int] = set()
    for part in line.split():
        if not _LIST.fullmatch(part):
            fail(TOOL, f"'{line[:40]}' is not a list of CPUs")
        for bounds in part.split(","):
            first, _, last = bounds.partition("-")
            if int(last or first) < int(first):
                fail(TOOL, f"'{bounds}' runs backwards")
            numbers.update(range(int(first), int(last or first) + 1))
    return tuple(sorted(numbers))


def parse_time_in_state(text: str) -> tuple[Residency, ...]:
    """`stats/time_in_state`: lines of frequency (kHz) and time (10 ms units)."""
    rows = []
    for number, line in enumerate(lines_of(TOOL, text), start=1):
        words = line.split()
        if len(words) != 2:
            fail(TOOL, "not two numbers", number)
        khz, ticks = (whole_number(TOOL, word, number) for word in words)
        rows.append(Residency(frequency_khz=khz, time_us=ticks * 10_000))
    return tuple(rows)


def _single_line(text: str) -> str:
    if not text.strip() and text.endswith("\n"):
        return ""
    lines = lines_of(TOOL, text)
    if len(lines) != 1:
        fail(TOOL, f"{len(lines)} lines instead of one")
    return lines[0].strip()
