"""Units: what users write is read exactly, or refused with a text that would have been accepted (A3)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit import units
from edgekit.errors import InputError

pytestmark = pytest.mark.base


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("time", "12ms", 12_000.0),
        ("time", "2s", 2e6),
        ("time", "120s", 120e6),
        ("time", "1.5 us", 1.5),
        ("time", "0.07ms", 70.0),
        ("time", "3µs", 3.0),
        ("time", "3\u03bcs", 3.0),
        ("time", "250ns", 0.25),
        ("time", "5min", 300e6),
        ("size", "64MiB", 67_108_864),
        ("size", "4GB", 4_000_000_000),
        ("size", "10 kB", 10_000),
        ("size", "1.1GB", 1_100_000_000),
        ("size", "0B", 0),
        ("temperature", "80C", 80_000),
        ("temperature", "-5.5 °C", -5_500),
        ("frequency", "1.8GHz", 1_800_000),
        ("frequency", "1500MHz", 1_500_000),
        ("energy", "3mJ", 3_000.0),
        ("energy", "1Wh", 3.6e9),
        ("power", "5W", 5_000.0),
        ("rate", "10MB/s", 1e7),
        ("rate", "1Gbit/s", 125e6),
        ("ratio", "2%", 0.02),
        ("ratio", 0.01, 0.01),
        ("ratio", "0.01", 0.01),
        ("ratio", "1e-3", 0.001),
    ],
)
def test_reads(kind: units.Kind, text: str | float, expected: float) -> None:
    assert units.parse_quantity(kind, text) == expected


@pytest.mark.parametrize(
    ("kind", "text", "said", "hint"),
    [
        ("time", "12", "has no unit", "12ms"),
        ("time", 12, "has no unit", "12ms"),
        ("size", "64", "has no unit", "64MiB"),
        ("temperature", 80, "has no unit", "80C"),
        ("time", "12 secs", "did you mean s?", "12s"),
        ("time", "12mS", "did you mean ms?", "12ms"),
        ("size", "64mib", "did you mean MiB?", "64MiB"),
        ("size", "10KB", "did you mean kB?", "10kB"),
        ("temperature", "80c", "did you mean C?", "80C"),
        ("temperature", "80F", "is not a unit of temperature", "80C"),
        ("frequency", "1.8ghz", "did you mean GHz?", "1.8GHz"),
        ("power", "5MW", "did you mean mW?", "5mW"),
        ("time", "1,5ms", "decimal sign is a point", "12ms"),
        ("time", "-1ms", "is negative", "12ms"),
        ("time", "", "is not a number", "12ms"),
        ("time", "ms", "is not a number", "12ms"),
        ("time", "nan ms", "is not a number", "12ms"),
        ("time", "infs", "is not a number", "12ms"),
        ("time", "1e300s", "out of range", "12ms"),
        ("time", "1e999999999s", "", ""),
        ("time", "١٢ms", "is not a number", "12ms"),
        ("size", "0.1B", "less than one", "64MiB"),
        ("temperature", "-300C", "colder", "80C"),
        ("ratio", "2 percent", "did you mean", "%"),
        ("ratio", True, "is not a number", "2%"),
        ("time", "12ms 3", "is not a number", "12ms"),
        ("time", "1_000ms", "is not a unit", "ms"),
    ],
)
def test_refuses_and_says_what_would_do(kind: units.Kind, text: str | float, said: str, hint: str) -> None:
    with pytest.raises(InputError) as caught:
        units.parse_quantity(kind, text)
    assert caught.value.code == "E_UNIT"
    assert said in caught.value.message
    assert hint in (caught.value.hint or "")


def test_whole_kinds_give_int() -> None:
    assert units.parse_size_bytes("1.5KiB") == 1536
    assert isinstance(units.parse_size_bytes("1B"), int)
    assert isinstance(units.parse_temperature_mc("1C"), int)
    assert isinstance(units.parse_frequency_khz("1MHz"), int)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (units.format_time(12_345.0), "12.35 ms"),
        (units.format_time(0.5), "500 ns"),
        (units.format_time(0), "0 us"),
        (units.format_time(7_200e6), "2 h"),
        (units.format_size(67_108_864), "64 MiB"),
        (units.format_size(1023), "1023 B"),
        (units.format_temperature(80_500), "80.5C"),
        (units.format_temperature(-500), "-0.5C"),
        (units.format_frequency(1_800_000), "1.8 GHz"),
        (units.format_energy(3_000.0), "3 mJ"),
        (units.format_power(5_000.0), "5 W"),
        (units.format_rate(1e7), "10 MB/s"),
        (units.format_ratio(0.02), "2%"),
        (units.format_ratio(1.034), "103.4%"),
        (units.format_time(None), "unknown"),
        (units.format_power(float("nan")), "unknown"),
    ],
)
def test_formats_for_people(text: str, expected: str) -> None:
    assert text == expected


KINDS = st.sampled_from(("time", "size", "temperature", "frequency", "energy", "power", "rate", "ratio"))


@given(KINDS, st.floats(min_value=1e-3, max_value=1e15))
def test_formatted_is_read_back(kind: units.Kind, value: float) -> None:
    if kind in ("size", "temperature", "frequency"):
        value = float(max(1, round(value)))
    text = units.format_quantity(kind, value, digits=6)
    assert units.parse_quantity(kind, text) == pytest.approx(value, rel=1e-5, abs=0.51 if value >= 1 else 0)


@given(KINDS, st.text(max_size=40))
def test_any_text_is_read_or_refused(kind: units.Kind, text: str) -> None:
    try:
        value = units.parse_quantity(kind, text)
    except InputError:
        return
    assert abs(value) <= 1e18


@given(st.integers(min_value=0, max_value=10**9), st.sampled_from(("B", "kB", "MB", "KiB", "MiB")))
def test_sizes_are_exact(count: int, unit: str) -> None:
    factor = {"B": 1, "kB": 1000, "MB": 10**6, "KiB": 1024, "MiB": 1 << 20}[unit]
    assert units.parse_size_bytes(f"{count}{unit}") == count * factor
