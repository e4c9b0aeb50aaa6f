"""Random damage of every parser (D2-b1): a ParseError, or what the undamaged output says, and nothing else. All samples
go through each property; scripts/fuzz_parsers goes further, led by coverage."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.parse import ParseError
from tests.parse.registry import IDS, SAMPLES, Sample, leaves, within

pytestmark = pytest.mark.base
every_sample = pytest.mark.parametrize("sample", SAMPLES, ids=IDS)
every_text = pytest.mark.parametrize(
    "sample", [sample for sample in SAMPLES if sample.text], ids=lambda sample: sample.name
)
few = settings(max_examples=8, deadline=None, database=None)
NOISE = (
    b"cat: /sys/x: Permission denied\n",
    b"06-18 11:25:24.123  1234  1234 I art     : 42 noise\n",
    b"WARNING: linker: unused DT entry 0x6ffffef5\n",
    b"\x1b[0m\n",
)
"""Lines that others print in between."""
ROUNDED = 5e-4
"""LiteRT's tool says some numbers twice, the second time with three digits: where the first is lost, that one is taken."""
PIECES = st.binary(max_size=3) | st.sampled_from(
    (b"9" * 30, b"nan", b"-", b"1e99", b"\n", b"=", b"\0", "²é".encode())
)


def read(sample: Sample, data: bytes) -> Any:
    """What it says; None for a ParseError, which is the only error that there may be."""
    try:
        value = sample.read(data)
    except ParseError as error:
        assert (error.code, bool(error.tool)) == ("E_PARSE", True)  # noqa: PT017
        return None
    assert all(math.isfinite(leaf) for leaf in leaves(value) if isinstance(leaf, int | float))
    return value


@every_sample
@few
@given(data=st.data())
def test_any_damage_is_a_value_or_a_parse_error(sample: Sample, data: st.DataObject) -> None:
    damaged = bytearray(
        sample.data[: data.draw(st.integers(0, len(sample.data)) | st.just(len(sample.data)))]
    )
    for _ in range(data.draw(st.integers(0, 6))):
        place = data.draw(st.integers(0, len(damaged)))
        damaged[place : place + data.draw(st.integers(0, 4))] = data.draw(PIECES)
    read(sample, bytes(damaged))


@every_sample
@few
@given(data=st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_garbage_is_a_value_or_a_parse_error(sample: Sample, data: bytes) -> None:
    read(sample, data)


@every_text
@few
@given(data=st.data())
def test_lines_of_others_in_between_change_no_number(sample: Sample, data: st.DataObject) -> None:
    """At the end of a line or in the middle of one, as two programs write to one terminal."""
    place = data.draw(st.integers(0, len(sample.data)))
    text = sample.data[:place] + data.draw(st.sampled_from(NOISE)) + sample.data[place:]
    assert within(read(sample, text), sample.read(sample.data), words=False, share=ROUNDED), text


@every_text
@few
@given(data=st.data())
def test_an_output_twice_with_its_lines_mixed_gives_no_other_number(
    sample: Sample, data: st.DataObject
) -> None:
    lines = sample.data.splitlines(keepends=True)
    mixed, one, other = [], 0, 0
    while one < len(lines) or other < len(lines):
        first = other == len(lines) or (one < len(lines) and data.draw(st.booleans()))
        mixed.append(lines[one if first else other])
        one, other = one + first, other + (not first)
    assert within(read(sample, b"".join(mixed)), sample.read(sample.data), words=False)


@every_text
@few
@given(data=st.data())
def test_an_end_of_line_that_got_lost_changes_no_number(sample: Sample, data: st.DataObject) -> None:
    ends = [match.start() for match in re.finditer(b"\n", sample.data)]
    if not ends:
        return
    place = data.draw(st.sampled_from(ends))
    text = sample.data[:place] + sample.data[place + 1 :]
    assert within(read(sample, text), sample.read(sample.data), words=False, share=ROUNDED), text


@every_text
@few
@given(data=st.data())
def test_decimals_of_another_country_change_no_number(sample: Sample, data: st.DataObject) -> None:
    points = [match.start(1) for match in re.finditer(rb"\d(\.)\d", sample.data)]
    if not points:
        return
    text = bytearray(sample.data)
    for place in data.draw(st.sets(st.sampled_from(points), min_size=1)):
        text[place] = ord(",")
    assert within(read(sample, bytes(text)), sample.read(sample.data), words=False)


@every_text
@few
@given(data=st.data())
def test_lines_in_any_order_are_a_value_or_a_parse_error(sample: Sample, data: st.DataObject) -> None:
    lines = sample.data.splitlines(keepends=True)
    order = data.draw(st.lists(st.integers(0, len(lines) - 1), max_size=2 * len(lines)))
    read(sample, b"".join(lines[index] for index in order))
