"""Lines of meters beside a device, in their own units and columns (D2.1, D2.3): the right number, none, or a ParseError."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.parse import ParseError
from edgekit.parse.meter_stream import TOOL, is_reading, layout_of, read_line

pytestmark = pytest.mark.base


def read(
    first: str, line: str, columns: dict[str, str] | None = None, voltage_mv: float | None = None
) -> tuple[float, float, str]:
    layout = layout_of(first, columns or {}, voltage_mv)
    t_us, value = read_line(line, layout)
    return t_us, value, layout.unit


@pytest.mark.parametrize(
    ("first", "line", "columns", "voltage_mv", "expected"),
    [
        (
            '{"t_s": 1, "power_w": 0}',
            '{"t_s": 1.5, "power_w": 2.5, "x": "y"}',
            {},
            None,
            (1.5e6, 2500.0, "mW"),
        ),
        ('{"t_ns": 1, "energy_j": 0}', '{"t_ns": 2000, "energy_j": 3.5}', {}, None, (2.0, 3.5e6, "uJ")),
        ("t_ms,voltage_v,current_ma\n", "12.5,5,200\r\n", {}, None, (12_500.0, 1000.0, "mW")),
        ("t_us,power_mw,energy_mwh", "7,1,2", {}, None, (7.0, 7.2e6, "uJ")),
        # nRF Connect Power Profiler's export: no voltage in it
        (
            "Timestamp(ms),Current(uA),D0-D7",
            "0.01,1500.25,0",
            {"Timestamp(ms)": "t_ms", "Current(uA)": "current_ua"},
            3700.0,
            (10.0, 5.550925, "mW"),
        ),
        ('"t_s";"power_mw"', "1,5;2,25", {}, None, (1.5e6, 2.25, "mW")),
        ("t_s\tpower_mw", '1\t"-3"', {}, None, (1e6, -3.0, "mW")),
    ],
)
def test_a_line_is_the_right_number(
    first: str,
    line: str,
    columns: dict[str, str],
    voltage_mv: float | None,
    expected: tuple[float, float, str],
) -> None:
    assert read(first, line, columns, voltage_mv) == pytest.approx(expected)


@pytest.mark.parametrize("cell", ["", "nan", "null", '"NaN"', "inf", "-inf"])
def test_a_reading_that_was_not_to_be_had_is_none(cell: str) -> None:
    assert math.isnan(read("t_s,power_mw", f"1,{cell}")[1])


def test_json_null_and_a_key_that_is_missing_are_no_readings() -> None:
    for line in ('{"t_s": 1, "power_mw": null}', '{"t_s": 1}'):
        assert math.isnan(read('{"t_s": 1, "power_mw": 2}', line)[1])


@pytest.mark.parametrize(
    ("first", "words"),
    [
        ("power_mw,x", "no column of time"),
        ("t_s,power", "neither energy nor power"),
        ("t_s,current_ma", "neither energy nor power"),
        ("t_s,power_mw,power_w", "two columns of power"),
        ("{not json", "no JSON object"),
        (",".join(["t_s", *"x" * 300]), "columns"),
    ],
)
def test_a_layout_that_does_not_say_what_is_what_is_refused(first: str, words: str) -> None:
    """No unit is guessed."""
    with pytest.raises(ParseError, match=words):
        layout_of(first, {})


@pytest.mark.parametrize(
    "line", ["1", "1,2x", "x,1", ",1", "1,1_0", "1,٣", "1;2", '{"t_s": 1}', "nan,1", "1,0x10"]
)
def test_a_damaged_line_is_an_error(line: str) -> None:
    with pytest.raises(ParseError):
        read("t_s,power_mw", line)


@pytest.mark.parametrize(
    ("first", "line"),
    [
        ("t_s,power_w", "0,100,5,25"),
        ("t_s,power_mw", "1,5002,500"),
        ("t_s,note,power_mw", '1,"a, 7",5'),
        ("t_s,power_mw", "1,2,,3"),
    ],
)
def test_more_cells_than_columns_are_other_columns(first: str, line: str) -> None:
    """Decimal commas, two lines that ran into each other, or a comma in a text: every number may be another column's."""
    with pytest.raises(ParseError, match="where the header has") as caught:
        read(first, line)
    assert caught.value.tool == TOOL


def test_an_empty_cell_behind_the_last_column_is_none() -> None:
    assert read("t_s,power_mw", "1,2,") == (1e6, 2.0, "mW")


@pytest.mark.parametrize(
    "line", ["[1]", "3", '{"t_s": true, "power_mw": 1}', '{"t_s": 1, "power_mw": [1]}', "{", "[" * 5000]
)
def test_damaged_json_is_an_error(line: str) -> None:
    with pytest.raises(ParseError):
        read('{"t_s": 1, "power_mw": 2}', line)


def test_a_byte_order_mark_is_no_part_of_a_name() -> None:
    """Windows' programs begin their CSV with one."""
    assert read("\ufefft_s;power_mw", "1;2") == (1e6, 2.0, "mW")
    assert not is_reading("\ufeff# a comment")


def test_comments_and_blank_lines_are_no_readings() -> None:
    assert [is_reading(line) for line in ("# PPK2", "  \r\n", "1,2", " #x")] == [False, False, True, False]


@settings(max_examples=100)
@given(st.text(), st.text())
def test_any_text_is_a_number_or_a_parse_error(first: str, line: str) -> None:
    for head in (first, "t_s,power_mw", '{"t_s": 1, "energy_j": 1}'):
        try:
            t_us, value, _ = read(head, line)
        except ParseError:
            continue
        assert math.isfinite(t_us)
        assert math.isnan(value) or math.isfinite(value)
