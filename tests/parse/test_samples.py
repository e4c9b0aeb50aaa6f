"""Every sample to every number (D2-b1), and every refusal with its tool, its line and its words (D2.1).

Both are data. tests/data/parsed.json is what the parsers say of the samples, read beside them when it was written;
`python -m tests.parse.registry` prints it anew after a change, whose difference is to be read like code.
tests/data/refusals.jsonl is written by hand: a text, or a sample and what is done to it, and what the error has to say.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edgekit.parse import ParseError
from tests.parse.registry import IDS, SAMPLES, Sample

pytestmark = pytest.mark.base
DATA = Path(__file__).parents[1] / "data"
BY_NAME = {sample.name: sample for sample in SAMPLES}
PARSED = json.loads((DATA / "parsed.json").read_text(encoding="utf-8"))
REFUSALS = [json.loads(line) for line in (DATA / "refusals.jsonl").read_text(encoding="utf-8").splitlines()]


def test_parsed_json_is_of_these_samples() -> None:
    assert list(PARSED) == list(IDS)


@pytest.mark.parametrize("number", range(len(SAMPLES)), ids=IDS)
def test_every_number_of_a_sample(number: int) -> None:
    sample = SAMPLES[number]
    assert json.loads(msgspec.json.encode(sample.read(sample.data))) == PARSED[IDS[number]]


def damaged(case: dict[str, Any]) -> tuple[Sample, str]:
    """`old` becomes `new` once (or wherever it is: `all`) in the last of `times` copies; or it ends before `until`."""
    if "text" in case:
        return Sample(case["parser"], "", b""), case["text"]
    sample = BY_NAME[case["sample"]]
    text = sample.data.decode()
    if "until" in case:
        return sample, text[: text.index(case["until"])]
    assert case["old"] in text
    edited = text.replace(case["old"], case["new"], -1 if case.get("all") else 1)
    return sample, text * (case.get("times", 1) - 1) + edited


@pytest.mark.parametrize("case", REFUSALS, ids=lambda case: case.get("sample", case.get("parser")))
def test_a_refusal_says_whose_output_where_and_what(case: dict[str, Any]) -> None:
    sample, text = damaged(case)
    with pytest.raises(ParseError) as caught:
        sample.read(text.encode())
    error = caught.value
    assert (error.tool, error.line) == (case["tool"], case["line"])
    where = f"{error.tool}, line {error.line}" if error.line else error.tool
    assert error.message == f"the output of {where} was not understood: {error.problem}"
    if case["problem"] is None:  # the words are those of msgspec, of any version
        assert 10 < len(error.problem) <= 200
    else:
        assert error.problem == case["problem"]
