"""Numbers and findings as people read them: units on everything, unknown said as such. Pure.

The command line spells units as they are typed (`edgekit.units`: us, uJ, C), so that what it prints can be a gate or a filter;
pages and Markdown have them typeset (µs, µJ, °C), by `typeset` alone.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from edgekit import units
from edgekit.records import Metric
from edgekit.records.metrics import METRIC_KINDS

UNKNOWN = "unknown"


@dataclass(frozen=True)
class Scale:
    """A unit that one table or one axis uses throughout: value in base unit / `divisor` is in `unit`."""

    divisor: float
    unit: str

    def number(self, value: float | None, digits: int = 4) -> str:
        """Without the unit; "–" where it is not known."""
        return "–" if value is None else significant(value / self.divisor, digits)

    def show(self, value: float | None, digits: int = 4) -> str:
        return UNKNOWN if value is None else f"{self.number(value, digits)} {self.unit}"


def time_scale(typical_us: float | None) -> Scale:
    """The unit in which a typical value has one to three digits before the point."""
    size = abs(typical_us or 0.0)
    if size >= 1e6:
        return Scale(1e6, "s")
    return Scale(1e3, "ms") if size >= 1e3 else Scale(1, "µs")


AXIS_SCALES = {
    "mC": Scale(1e3, "°C"),
    "kHz": Scale(1e3, "MHz"),
    "bytes": Scale(1 << 20, "MiB"),
    "us": Scale(1, "µs"),
    "mW": Scale(1, "mW"),
    "uJ": Scale(1e6, "J"),
}


def significant(value: float, digits: int = 4) -> str:
    """`digits` significant digits, thousands set apart, never fewer than stand before the point."""
    if not math.isfinite(value):
        return UNKNOWN
    if value == 0:
        return "0"
    before = math.floor(math.log10(abs(value))) + 1
    return f"{value:,.{min(12, max(0, digits - before))}f}"


_TYPED = re.compile(r"(?<=\d) u(?=[sJW]\b)|(?<=\d)C\b")


def typeset(text: str) -> str:
    """Units of a printed page in place of those that are typed: "12 us" is "12 µs", "80.5C" is "80.5 °C"."""
    return _TYPED.sub(lambda match: " °C" if match[0] == "C" else " µ", text)


def time(us: float | None) -> str:
    return typeset(units.format_time(us))


def size(size_bytes: float | None) -> str:
    return units.format_size(size_bytes)


def temperature(mc: float | None) -> str:
    return typeset(units.format_temperature(mc))


def frequency(khz: float | None) -> str:
    return units.format_frequency(khz)


def metric_value(metric: Metric, value: float | None) -> str:
    """A metric's value with its unit, typeset."""
    return typeset(metric_text(metric, value))


def metric_text(metric: Metric, value: float | None) -> str:
    """A metric's value with its unit, as the command line tells it."""
    if value is None:
        return UNKNOWN
    if metric.unit == "1/s":
        return f"{significant(value)} /s"
    if metric.unit == "1":
        return percent(value) if metric.name == "between_launch_cv" else significant(value)
    return units.format_quantity(METRIC_KINDS[metric.unit], value)


def percent(share: float | None, digits: int = 3) -> str:
    return UNKNOWN if share is None else f"{significant(100 * share, digits)} %"


def count(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:,.0f}"


def yes_no(value: bool | None) -> str:
    return UNKNOWN if value is None else ("yes" if value else "no")


VERDICTS = {
    "valid": ("✓", "Nothing that was watched speaks against these numbers."),
    "suspect": ("!", "Use these numbers with care: something may have changed them."),
    "invalid": ("✕", "Do not use these numbers: something has changed them."),
}
GOLDEN = {
    "passed": "The outputs agree with the source model's on the samples that were checked.",
    "failed": "The outputs differ from the source model's by more than is allowed.",
    "unchecked": "The outputs were not compared with the source model's in this run.",
}


def plural(number: int, one: str, many: str) -> str:
    return f"{count(number)} {one if number == 1 else many}"
