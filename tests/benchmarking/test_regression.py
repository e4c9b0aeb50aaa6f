"""A baseline gate that failed: what is called a regression, and what a CI is told (D1.10)."""

from __future__ import annotations

from xml.etree import ElementTree

import msgspec
import pytest

from edgekit.api.gating import options_again
from edgekit.benchmarking import BenchOptions, Outcome
from edgekit.benchmarking.ci_report import annotation_lines, junit
from edgekit.benchmarking.difference import difference
from edgekit.benchmarking.gates import check_gate, parse_gate
from edgekit.benchmarking.regression import confirm, is_worse
from edgekit.cli.common import Session
from edgekit.cli.render import render_outcome
from edgekit.errors import InputError
from edgekit.records import Accuracy, Device, Latency, Launch, Memory, Model, Plan, Record, Verdict
from edgekit.records.memory import LaunchMemory
from tests.benchmarking.records import record

pytestmark = pytest.mark.base

GATE = parse_gate("median_latency <= baseline * 1.03")
BASE = [100.0, 100.3, 99.8, 100.1, 99.9]
SLOW = [value * 1.1 for value in BASE]
LITTLE = [value * 1.031 for value in (92, 95, 100, 104, 109)]


@pytest.mark.parametrize(
    ("text", "value"),
    [("median_latency<=baseline*1.03", 1.03), ("accuracy>=baseline", 1.0), ("peak_rss < baseline * 2", 2.0)],
)
def test_a_baseline_is_part_of_the_gates_language(text: str, value: float) -> None:
    gate = parse_gate(text)
    assert (gate.baseline, gate.value) == (True, value)


@pytest.mark.parametrize(
    "text", ["median_latency<=baseline+1", "median_latency<=baseline*-1", "median_latency<=base*1.1"]
)
def test_what_is_no_baseline_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        parse_gate(text)


def test_the_limit_is_a_share_of_the_baselines_value() -> None:
    passed = check_gate(GATE, record([103.0] * 3), record([100.0] * 3))
    assert (passed.passed, passed.limit) == (True, pytest.approx(103))
    assert not check_gate(GATE, record([103.1] * 3), record([100.0] * 3)).passed
    nothing = check_gate(GATE, record([103.0] * 3), record([]))
    assert (nothing.passed, nothing.note) == (False, "the baseline does not have it")


def test_a_baseline_of_another_number_of_streams_is_noted() -> None:
    """D1.3: latency under concurrency is another quantity."""
    alone, four = record(BASE), record(BASE, plan=Plan(launches=5, streams=4))
    assert check_gate(GATE, four, four).note is None
    assert check_gate(GATE, record(BASE, plan=Plan(launches=5, streams=1)), alone).note is None
    note = check_gate(GATE, four, alone).note
    assert note == "the baseline was measured with 1 at once, this run with 4 (--streams)"


def test_a_baseline_of_another_device_is_noted() -> None:
    base = record(BASE, device=Device(address="ssh://a", model="Raspberry Pi 5"))
    same = check_gate(GATE, record(BASE, device=Device(address="ssh://b", model="Raspberry Pi 5")), base)
    other = check_gate(GATE, record(BASE, device=Device(address="ssh://b", model="Jetson")), base)
    assert (same.note, other.note) == (None, "the baseline is of another device: Raspberry Pi 5")


@pytest.mark.parametrize("state", ["invalid", "suspect"])
def test_a_baseline_that_is_not_valid_is_noted(state: str) -> None:
    """Also after the second measurement, which has notes of its own."""
    found = check_gate(GATE, record(BASE), record(BASE, state))
    assert (found.passed, found.note) == (True, f"the baseline is {state}: it swapped")
    again = confirm(GATE, record(SLOW), record(BASE), record(BASE, state))
    assert (again.note or "").endswith(f"measured again; the baseline is {state}: it swapped")


def test_a_slowdown_that_all_launches_show_is_a_regression() -> None:
    found = confirm(GATE, record(SLOW), record(SLOW), record(BASE))
    assert (found.passed, found.confirmed) == (False, True)
    assert found.p_value is not None
    assert found.p_value < 1e-4


def test_a_second_measurement_that_passes_calls_it_off() -> None:
    found = confirm(GATE, record(SLOW), record(BASE), record(BASE))
    assert (found.passed, found.confirmed) == (True, False)
    assert "passed when it was measured again" in (found.note or "")


def test_launches_that_scatter_are_no_regression_though_both_fail() -> None:
    found = confirm(GATE, record([104.0, *LITTLE]), record([104.0, *LITTLE]), record(BASE))
    assert (found.passed, found.confirmed) == (True, False)
    assert "launches differ too much" in (found.note or "")


def test_a_metric_without_launches_is_confirmed_by_failing_twice() -> None:
    gate = parse_gate("accuracy>=baseline")
    worse = record(BASE, accuracy=Accuracy(value=0.90))
    found = confirm(gate, worse, worse, record(BASE, accuracy=Accuracy(value=0.95)))
    assert (found.passed, found.confirmed, found.p_value) == (False, True, None)


@pytest.mark.parametrize(
    ("now", "why"),
    [
        ([105.0] * 9 + [100.2], "one launch as fast as the baseline's"),
        ([105.0] * 9 + [100.4], "launches in two modes, of which the baseline saw one"),
        ([100.31, 100.32] * 5, "too small for the scatter"),
    ],
)
def test_doubts_that_keep_a_regression_from_being_called(now: list[float], why: str) -> None:
    assert not is_worse(BASE, now)[0], why


@pytest.mark.parametrize(("base", "now"), [(1, 1), (1, 5), (2, 5), (5, 1)])
def test_with_too_few_launches_to_test_a_gate_that_failed_twice_stays_failed(base: int, now: int) -> None:
    """Else a baseline of one launch makes a gate that cannot fail (D1.10)."""
    assert is_worse([100.0], [1000.0, 1001.0]) == (False, None)
    slow = record([1000.0, 1001.0, 1002.0, 1003.0, 1004.0][:now])
    found = confirm(GATE, slow, slow, record(BASE[:base]))
    assert (found.passed, found.confirmed) == (False, False)
    assert "too few launches to test" in (found.note or "")
    assert Outcome(slow, (found,), slow).exit_code() == 5


def test_few_launches_that_pass_the_second_time_are_called_off() -> None:
    found = confirm(GATE, record([200.0]), record([100.0]), record([100.0]))
    assert (found.passed, found.confirmed) == (True, False)


def outcome(state: str = "valid") -> Outcome:
    slow, base = record(SLOW, state), record(BASE)
    confirmed = confirm(GATE, slow, slow, base)
    doubtful = confirm(GATE, slow, base, base)
    passed = check_gate(parse_gate("median_latency<1s"), slow)
    return Outcome(slow, (confirmed, doubtful, passed), record(SLOW))


def test_the_second_measurement_does_only_what_its_gates_need() -> None:
    """Neither the minutes of --sustained again, nor a score that no gate asks for."""
    asked = BenchOptions(launches=7, sustained_minutes=30.0, evaluation="data.npz")
    again = options_again(asked, [GATE])
    assert again == BenchOptions(launches=7)
    scored = options_again(asked, [GATE, parse_gate("accuracy>=baseline")])
    assert scored == BenchOptions(launches=7, evaluation="data.npz")


def test_exit_codes() -> None:
    """5 for a confirmed regression, not for one that is not; 4 beats 5, of either measurement."""
    whole = outcome()
    assert whole.exit_code() == 5
    assert Outcome(whole.record, whole.gates[1:], whole.second).exit_code() == 0
    invalid = msgspec.structs.replace(whole.record, verdict=Verdict(state="invalid"))
    assert Outcome(whole.record, whole.gates, invalid).exit_code() == 4
    assert outcome("suspect").exit_code() == 5
    assert outcome("suspect").exit_code(strict=True) == 4


def test_github_gets_workflow_commands_and_gitlab_coloured_lines() -> None:
    """Newlines and percent signs would end or change a command."""
    lines = annotation_lines(outcome("suspect"), {"GITHUB_ACTIONS": "true"}, strict=False)
    assert [line.split(" ")[0] for line in lines] == ["::warning", "::error", "::warning"]
    assert lines[0] == "::warning title=edgekit%3A suspect run::m: it swapped"
    assert (
        "title=edgekit%3A regression::m: median_latency <= baseline * 1.03 (measured: 110 us, again: 110 us, limit: 103 us"
        in lines[1]
    )
    assert annotation_lines(outcome("suspect"), {"GITHUB_ACTIONS": "true"}, strict=True)[0].startswith(
        "::error"
    )
    gitlab = annotation_lines(outcome(), {"GITLAB_CI": "true"}, strict=False)
    assert gitlab[0].startswith("\x1b[31;1medgekit: regression\x1b[0m m: ")
    assert annotation_lines(outcome(), {}, strict=False) == []


def test_gitlabs_colours_can_be_turned_off() -> None:
    for environ, color in (({"NO_COLOR": "1"}, True), ({}, False)):
        plain = annotation_lines(outcome(), {"GITLAB_CI": "true", **environ}, strict=False, color=color)
        assert plain[0].startswith("error: edgekit: regression m: ")
        assert "\x1b" not in "".join(plain)


@pytest.mark.parametrize("odd", ["\udc80", "\ufffe", "\uffff", "\x1b", "\0", "\r"])
def test_what_xml_has_no_room_for_is_replaced(odd: str) -> None:
    """Names come from files and devices; one of them must not cost the CI its report."""
    text = junit([Outcome(record(BASE, model=Model(name=f"m{odd}\U0001f600")))], strict=False)
    case = ElementTree.fromstring(text.encode().split(b"\n", 1)[1]).find(".//testcase")
    assert case is not None
    assert case.get("name") == "m?\U0001f600"


def test_junit_has_a_case_for_the_verdict_and_one_for_each_gate() -> None:
    text = junit([outcome("suspect")], strict=False)
    suite = ElementTree.fromstring(text.removeprefix('<?xml version="1.0" encoding="UTF-8"?>')).find(
        "testsuite"
    )
    assert suite is not None
    assert (suite.get("tests"), suite.get("failures")) == ("5", "1")
    cases = suite.findall("testcase")
    assert [case.find("failure") is not None for case in cases] == [False, False, True, False, False]
    strict = ElementTree.fromstring(junit([outcome("suspect")], strict=True).split("\n", 1)[1])
    assert strict.find("testsuite").get("failures") == "2"  # type: ignore[union-attr]


def test_the_verdict_of_the_second_measurement_is_told_everywhere(capsys: pytest.CaptureFixture[str]) -> None:
    """It decides the exit code (4), so a CI that is shown nothing could not tell why the command failed."""
    slow, again = record(SLOW), record(SLOW, "invalid")
    done = Outcome(slow, (confirm(GATE, slow, again, record(BASE)),), again)
    assert done.exit_code() == 4
    lines = annotation_lines(done, {"GITHUB_ACTIONS": "true"}, strict=False)
    assert lines[0] == "::error title=edgekit%3A invalid run%2C measured again::m: it swapped"
    cases = ElementTree.fromstring(junit([done], strict=False).split("\n", 1)[1]).findall(".//testcase")
    assert [case.get("name") for case in cases[:2]] == ["m", "m, measured again"]
    assert [case.find("failure") is not None for case in cases] == [False, True, True]
    assert done.document()["second_verdict"] == {"state": "invalid", "reasons": ("it swapped",), "notes": ()}
    render_outcome(Session(color=False), done)
    shown = capsys.readouterr().out
    assert "measured again: run 20260131-120000000-aaaaaa, invalid" in shown
    assert "  - it swapped" in shown


def test_one_step_of_what_a_tool_prints_is_no_regression() -> None:
    """D1.4, D1.10: launches that all print one step more may have grown by next to nothing."""
    coarse = Latency(source="summaries", resolution_us=10.0, median=20.0)
    base = record([20.0] * 5, latency=coarse)
    now = record([30.0] * 5, latency=msgspec.structs.replace(coarse, median=30.0))
    found = confirm(GATE, now, now, base)
    assert (found.passed, found.confirmed) == (True, False)
    far = record([70.0] * 5, latency=msgspec.structs.replace(coarse, median=70.0))
    assert confirm(GATE, far, far, base).confirmed is True


def test_a_page_of_memory_is_no_difference() -> None:
    """D1.10, D3.3: launches that all peak at the same number tell a page more for certain, which says nothing of the model."""

    def peaked(peak_bytes: int) -> Record:
        launches = [
            Launch(index=i, median_us=100.0 + i, memory=LaunchMemory(peak_rss_bytes=peak_bytes))
            for i in range(5)
        ]
        return record(BASE, launches=tuple(launches), memory=Memory(peak_rss=peak_bytes))

    def change(a: Record, b: Record) -> str:
        (found,) = [one for one in difference(a, b).metrics if one.metric == "peak_rss"]
        return found.change

    base, page, much = (peaked(11_000_000 + more) for more in (0, 4096, 40_960))
    assert (change(base, page), change(page, base)) == ("no_difference", "no_difference")
    assert (change(base, much), change(much, base)) == ("worse", "better")
    gate = parse_gate("peak_rss <= baseline")
    assert confirm(gate, page, page, base).passed is True
    assert confirm(gate, much, much, base).confirmed is True
