"""The Markdown report: the numbers of the record, and no text of a device, a model or a runtime that is more than text."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.errors import InputError
from edgekit.parse.op_profile import OpRow
from edgekit.records import Device, Latency, Model, Operators, Runtime, Verdict
from edgekit.results.markdown import plain, write_markdown
from tests.benchmarking.records import record

pytestmark = pytest.mark.base


def test_numbers_reasons_and_operators(tmp_path: Path) -> None:
    """D1.8: the operators are in the Markdown report as well."""
    one = record(
        (1000.0, 1010.0, 1020.0),
        latency=Latency(
            median=1010.0,
            ci95_low=1000.0,
            ci95_high=1020.0,
            count=60,
            launches=3,
            unavailable={"p99": "too few"},
        ),
        verdict=Verdict(state="suspect", reasons=("it swapped",), notes=("no sensor",)),
        operators=Operators(
            runtime="litert",
            rows=(
                OpRow(op="CONV_2D", node="a", unit="cpu", avg_us=750.0, share=0.75, macs=1234),
                OpRow(op="ADD"),
            ),
            total_us=1000.0,
        ),
    )
    page = write_markdown([one, one], tmp_path / "r.md").read_text(encoding="utf-8")
    assert page.count("# m on local:") == 2
    for line in (
        "**suspect**: Use these numbers with care: something may have changed them.",
        "- it swapped",
        "- note: no sensor",
        "| Median latency | 1.01 ms |",
        "| 95 % interval of the median | 1 ms to 1.02 ms |",
        "| No p99 | too few |",
        "| CONV\\_2D | a | cpu | – | 750 µs | unknown | 75.0 % | 1,234 | – |",
        "| ADD | – | unknown | – | unknown | unknown | unknown | – | – |",
    ):
        assert line in page.splitlines(), line


def test_foreign_names_stay_text(tmp_path: Path) -> None:
    hostile = "x | <script>alert(1)</script>\n# y [z](http://e) **b** `c` ![i](j)"
    one = record(
        (1000.0,),
        model=Model(name=hostile),
        device=Device(address="local:", model=hostile),
        runtime=Runtime(name=hostile),
        verdict=Verdict(state="valid", notes=("- a\n- b", "1. c", "# d")),
    )
    lines = write_markdown([one], tmp_path / "r.md").read_text(encoding="utf-8").splitlines()
    titles = [line for line in lines if line.startswith("#")]
    assert len(titles) == 3  # its own, Numbers, Launches
    assert not any("<script" in line.replace("\\<", "") for line in lines)
    assert not any("](" in line.replace("\\]", "") for line in lines)
    row = next(line for line in lines if line.startswith("| Runtime"))
    assert row.replace("\\|", "").count("|") == 3
    assert "- note: \\- a - b" in lines
    assert "- note: \\# d" in lines


def test_long_and_empty_texts() -> None:
    assert len(plain("x" * 10_000)) == 300
    assert plain("a\x00b\u202ec") == "a b c"


def test_no_run_is_no_report(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        write_markdown([], tmp_path / "r.md")
    assert caught.value.code == "E_NO_RUN"
