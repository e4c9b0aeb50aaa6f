"""Damaged outputs (D2.1, D2-b1): cut, with CRLF or the decimals of another country, or a refusal in their place, they are
an error or a part of the truth, never another number. test_fuzz.py has the random ones."""

from __future__ import annotations

import re

import pytest

from edgekit.parse import ParseError
from tests.parse.outputs import FOLDER
from tests.parse.registry import IDS, SAMPLES, Sample, all_parsers, within

pytestmark = pytest.mark.base
every_sample = pytest.mark.parametrize("sample", SAMPLES, ids=IDS)
every_text = pytest.mark.parametrize(
    "sample", [sample for sample in SAMPLES if sample.text], ids=lambda sample: sample.name
)
WORDS = ("parse_words", "parse_word", "parse_name", "parse_model", "parse_compatible")
"""Whose values are whatever the file says."""
OTHERS = {"executorch_etdump_delegated", "executorch_etdump_portable", "vcgencmd_failed"}
"""Read by the runtime that makes them, or no output at all."""


def test_every_parser_has_a_sample_and_every_sample_a_parser() -> None:
    """A new parser gets all tests of damage, and the fuzzers, with its line in registry.py."""
    assert {sample.parser for sample in SAMPLES} == all_parsers()
    assert {path.stem for path in FOLDER.glob("*.txt")} - {sample.name for sample in SAMPLES} == OTHERS


@every_sample
def test_cut_anywhere_gives_an_error_or_a_part_of_the_truth(sample: Sample) -> None:
    whole, length = sample.read(sample.data), len(sample.data)
    assert whole is not None
    cuts = sorted({*range(0, length, max(1, length // 300)), *range(max(0, length - 60), length)})
    for cut in cuts:
        try:
            part = sample.read(sample.data[:cut])
        except ParseError:
            continue
        assert within(part, whole), f"cut at {cut}: {part}"


@every_text
def test_crlf_of_an_old_adb_changes_nothing(sample: Sample) -> None:
    assert sample.read(sample.data.replace(b"\n", b"\r\n")) == sample.read(sample.data)


@every_text
def test_decimals_of_another_country_are_an_error_or_unknown(sample: Sample) -> None:
    whole = sample.read(sample.data)
    for text in (
        re.sub(rb"(\d)\.(\d)", rb"\1,\2", sample.data),
        re.sub(rb"(\d)(\d{3})\b", rb"\1,\2", sample.data),
    ):
        try:
            assert within(sample.read(text), whole, words=False)
        except ParseError:
            continue


@pytest.mark.parametrize("parser", sorted(all_parsers()))
@pytest.mark.parametrize(
    "text", ["", "\n", "\0", "Permission denied\n", "cat: /x: No such file or directory\n"]
)
def test_refusals_are_no_values(parser: str, text: str) -> None:
    try:
        value = Sample(parser, "", b"").read(text.encode())
    except ParseError as error:
        assert error.tool  # noqa: PT017
        return
    assert parser.rpartition(".")[2] in WORDS or within(value, None)
