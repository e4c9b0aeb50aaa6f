"""Quantities with units: parsed from what users write, formatted for people.

Inside edgekit a quantity is a plain number whose base unit is part of its name:

    kind          base unit        whole number   examples
    time          us               no             12ms, 2s, 1.5 us, 5min
    size          bytes            yes            64MiB, 4GB, 10 kB
    temperature   milli-Celsius    yes            80C, -5.5 C
    frequency     kHz              yes            1.8GHz, 1500MHz
    energy        uJ               no             3mJ, 1.2 J
    power         mW               no             850mW, 5W
    rate          bytes per s      no             10MB/s, 1Gbit/s
    throughput    per second       no             200/s, 200, 12/min
    ratio         1                no             2%, 0.02

Units are case-sensitive, as mW and MW differ by a factor of a billion. kB, MB, GB are powers of 1000 and
KiB, MiB, GiB powers of 1024; KB is refused, as half the world reads it the other way.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Final, Literal

from msgspec import Struct

from edgekit.errors import InputError

Kind = Literal["time", "size", "temperature", "frequency", "energy", "power", "rate", "throughput", "ratio"]

_SIZES: Final = {
    **{"B": "1", "kB": "1e3", "MB": "1e6", "GB": "1e9", "TB": "1e12"},
    **{"KiB": str(1 << 10), "MiB": str(1 << 20), "GiB": str(1 << 30), "TiB": str(1 << 40)},
}


class _Scale(Struct, frozen=True):
    """One kind of quantity: each unit's size in the base unit (as text: exact, and cheap to import), the
    units that `format_*` picks from, the largest first, and what is allowed."""

    units: Mapping[str, str]
    shown: str
    examples: tuple[str, str]
    whole: bool = False
    negative: bool = False
    bare: bool = False
    """True where a number without a unit has a meaning."""
    gap: str = " "


_SCALES: Final[Mapping[Kind, _Scale]] = {
    "time": _Scale(
        {"ns": "1e-3", "us": "1", "ms": "1e3", "s": "1e6", "min": "60e6", "h": "3600e6"},
        "h min s ms us ns",
        ("12ms", "2s"),
    ),
    "size": _Scale(_SIZES, "GiB MiB KiB B", ("64MiB", "4GB"), whole=True),
    "temperature": _Scale(
        {"C": "1e3", "°C": "1e3"}, "C", ("80C", "65.5C"), whole=True, negative=True, gap=""
    ),
    "frequency": _Scale(
        {"Hz": "1e-3", "kHz": "1", "MHz": "1e3", "GHz": "1e6"},
        "GHz MHz kHz",
        ("1.8GHz", "1500MHz"),
        whole=True,
    ),
    "energy": _Scale(
        {"nJ": "1e-3", "uJ": "1", "mJ": "1e3", "J": "1e6", "kJ": "1e9", "mWh": "3.6e6", "Wh": "3.6e9"},
        "kJ J mJ uJ nJ",
        ("3mJ", "1.2J"),
    ),
    "power": _Scale({"uW": "1e-3", "mW": "1", "W": "1e3", "kW": "1e6"}, "kW W mW uW", ("850mW", "5W")),
    "rate": _Scale(
        {
            **{f"{unit}/s": size for unit, size in _SIZES.items()},
            **{"bit/s": "0.125", "kbit/s": "125", "Mbit/s": "125e3", "Gbit/s": "125e6"},
        },
        "GB/s MB/s kB/s B/s",
        ("10MB/s", "1Gbit/s"),
    ),
    "throughput": _Scale(
        {"/s": "1", "/min": "0.016666666666666666667", "": "1"}, "/s", ("200/s", "200"), bare=True, gap=""
    ),
    "ratio": _Scale({"%": "0.01", "": "1"}, "%", ("2%", "0.02"), bare=True, gap=""),
}

_NUMBER: Final = r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,3})?"
_QUANTITY: Final = re.compile(rf"({_NUMBER})\s*([^\d\s.,+-][^\s]*)?", re.ASCII)
_SPELLED_OUT: Final = {
    **{"sec": "s", "second": "s", "minute": "min", "hr": "h", "hour": "h"},
    **{"byte": "B", "celsius": "C", "watt": "W", "percent": "%"},
}
_LARGEST: Final = Decimal("1e18")
_ABSOLUTE_ZERO_MC: Final = Decimal(-273150)
_ZERO_UNITS: Final[Mapping[Kind, str]] = {"time": "us", "energy": "uJ", "power": "mW"}
UNKNOWN: Final = "unknown"
"""What `format_*` shows for None: a value that is not known is never shown as 0."""


def parse_quantity(kind: Kind, value: str | float) -> float:
    """The value in the kind's base unit (see the table above); whole kinds give an integral float.

    Raises InputError (E_UNIT) where the number or the unit is missing, unknown, or out of range; the
    hint is a text that would have been accepted.
    """
    scale = _SCALES[kind]
    number, unit = _split(kind, scale, value)
    size = scale.units.get(unit)
    if size is None:
        raise _unknown_unit(kind, scale, number, unit, value)
    base = number * Decimal(size)
    _check_range(kind, scale, base, value)
    if scale.whole:
        rounded = base.to_integral_value()
        if base and not rounded:
            raise _bad(kind, scale, value, "is less than one unit of what is counted")
        base = rounded
    return float(base)


def quantity_pattern(kind: Kind) -> str:
    """A regular expression, good in Python and ECMAScript, for the texts of a kind (its range apart)."""
    scale = _SCALES[kind]
    sign = "[+-]?" if scale.negative else "[+]?"
    number = _NUMBER.removeprefix("[+-]?").replace(r"\d", "[0-9]")
    units = "|".join(re.escape(unit) for unit in scale.units if unit)
    return rf"^{sign}{number} *({units}){'?' if scale.bare else ''}$"


def _split(kind: Kind, scale: _Scale, value: str | float) -> tuple[Decimal, str]:
    text = value.strip() if isinstance(value, str) else repr(value)
    if isinstance(value, bool) or not (match := _QUANTITY.fullmatch(text)):
        why = "is not a number with a unit"
        if re.match(r"[+-]?\d+,\d", text):
            why += " (the decimal sign is a point)"
        raise _bad(kind, scale, value, why)
    digits, unit = match.group(1), match.group(2) or ""
    # micro sign and Greek mu both occur where people type "µs"
    unit = unit.replace("\u00b5", "u").replace("\u03bc", "u")
    if not unit and not scale.bare:
        known = [u for u in scale.units if u.isascii()]
        raise InputError(
            f"'{text}' has no unit: a {kind} is a number with one of {', '.join(known)}",
            code="E_UNIT",
            hint=f"write for example {digits}{_usual_unit(scale)}",
        )
    return Decimal(digits), unit


def _usual_unit(scale: _Scale) -> str:
    match = _QUANTITY.fullmatch(scale.examples[0])
    return match.group(2) or "" if match else ""


def _unknown_unit(kind: Kind, scale: _Scale, number: Decimal, unit: str, value: str | float) -> InputError:
    guess = _nearest_unit(scale, unit)
    known = ", ".join(u for u in scale.units if u and u.isascii())
    also = f"; did you mean {guess}?" if guess else ""
    example = f"{number}{guess}" if guess else scale.examples[0]
    return InputError(
        f"'{value}': '{unit}' is not a unit of {kind} ({known}){also}",
        code="E_UNIT",
        hint=f"write for example {example}",
    )


def _nearest_unit(scale: _Scale, unit: str) -> str | None:
    same = [known for known in scale.units if known and known.lower() == unit.lower()]
    if same:
        return same[0]
    from difflib import get_close_matches

    word = _SPELLED_OUT.get(unit.lower().removesuffix("s"))
    if word in scale.units:
        return word
    close = get_close_matches(unit, [known for known in scale.units if known], n=1, cutoff=0.5)
    return close[0] if close else None


def _check_range(kind: Kind, scale: _Scale, base: Decimal, value: str | float) -> None:
    if base < 0 and not scale.negative:
        raise _bad(kind, scale, value, "is negative")
    if kind == "temperature" and base < _ABSOLUTE_ZERO_MC:
        raise _bad(kind, scale, value, "is colder than anything can be")
    if abs(base) > _LARGEST:
        raise _bad(kind, scale, value, "is out of range")


def _bad(kind: Kind, scale: _Scale, value: str | float, why: str) -> InputError:
    shown = str(value) if len(str(value)) <= 60 else f"{str(value)[:57]}..."
    examples = " or ".join(scale.examples)
    return InputError(f"'{shown}' as a {kind} {why}", code="E_UNIT", hint=f"write for example {examples}")


def parse_time_us(value: str | float) -> float:
    """Microseconds: "12ms" is 12000.0."""
    return parse_quantity("time", value)


def parse_size_bytes(value: str | float) -> int:
    """Bytes, rounded to whole ones: "64MiB" is 67108864."""
    return int(parse_quantity("size", value))


def parse_temperature_mc(value: str | float) -> int:
    """Thousandths of a degree Celsius: "80C" is 80000."""
    return int(parse_quantity("temperature", value))


def parse_frequency_khz(value: str | float) -> int:
    """kHz: "1.8GHz" is 1800000."""
    return int(parse_quantity("frequency", value))


def parse_energy_uj(value: str | float) -> float:
    """Microjoules: "3mJ" is 3000.0."""
    return parse_quantity("energy", value)


def parse_power_mw(value: str | float) -> float:
    """Milliwatts: "5W" is 5000.0."""
    return parse_quantity("power", value)


def parse_rate_bytes_per_s(value: str | float) -> float:
    """Bytes per second: "10MB/s" is 1e7."""
    return parse_quantity("rate", value)


def parse_ratio(value: str | float) -> float:
    """A share of one: "2%" and 0.02 are both 0.02."""
    return parse_quantity("ratio", value)


def format_quantity(kind: Kind, value: float | None, digits: int = 4) -> str:
    """For people: the largest unit that leaves at least 1 before the point, `digits` significant digits.

    `parse_quantity` reads it back to within those digits. None (and NaN) is "unknown".
    """
    if value is None or math.isnan(value):
        return UNKNOWN
    scale = _SCALES[kind]
    shown = scale.shown.split()
    unit = shown[-1] if value else _ZERO_UNITS.get(kind, shown[-1])
    for candidate in shown:
        if abs(value) >= float(scale.units[candidate]):
            unit = candidate
            break
    return f"{_digits(value / float(scale.units[unit]), digits)}{scale.gap}{unit}"


def _digits(number: float, digits: int) -> str:
    """`digits` significant ones, but never fewer than stand before the point, no exponent, no idle zeros."""
    if number == 0:
        return "0"
    before_point = math.floor(math.log10(abs(number))) + 1
    text = f"{number:.{max(0, digits - before_point)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def format_time(us: float | None, digits: int = 4) -> str:
    """12345.0 -> "12.35 ms"."""
    return format_quantity("time", us, digits)


def format_size(size_bytes: float | None, digits: int = 4) -> str:
    """67108864 -> "64 MiB"."""
    return format_quantity("size", size_bytes, digits)


def format_temperature(mc: float | None, digits: int = 4) -> str:
    """80500 -> "80.5C"."""
    return format_quantity("temperature", mc, digits)


def format_frequency(khz: float | None, digits: int = 4) -> str:
    """1800000 -> "1.8 GHz"."""
    return format_quantity("frequency", khz, digits)


def format_energy(uj: float | None, digits: int = 4) -> str:
    """3000.0 -> "3 mJ"."""
    return format_quantity("energy", uj, digits)


def format_power(mw: float | None, digits: int = 4) -> str:
    """5000.0 -> "5 W"."""
    return format_quantity("power", mw, digits)


def format_rate(bytes_per_s: float | None, digits: int = 4) -> str:
    """1e7 -> "10 MB/s"."""
    return format_quantity("rate", bytes_per_s, digits)


def format_ratio(ratio: float | None, digits: int = 4) -> str:
    """0.02 -> "2%"."""
    return format_quantity("ratio", ratio, digits)
