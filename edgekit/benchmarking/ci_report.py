"""What a CI reads: JUnit XML, and annotations of GitHub and GitLab. Pure.

JUnit: the format that Jenkins, GitLab and GitHub actions read (testsuites/testsuite/testcase, failure, error,
system-out). GitHub: workflow commands, `::error title=...::message`, on stdout or stderr of the step, with %, CR and LF
escaped (docs.github.com, "Workflow commands for GitHub Actions"). GitLab has no such command; its log shows ANSI
colours, and its merge requests the JUnit report.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from xml.etree.ElementTree import Element, SubElement, tostring

from edgekit.benchmarking.gates import GateResult, show
from edgekit.benchmarking.outcome import Outcome
from edgekit.errors import EdgekitError
from edgekit.records import Record
from edgekit.records.metrics import metric

_NO_XML = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""A carriage return is allowed there, but read as a newline."""


def gate_text(gate: GateResult) -> str:
    """One gate for people: what was asked, what was measured."""

    def shown(value: float | None) -> str:
        return "not measured" if value is None else show(metric(gate.metric), value)

    parts = [f"measured: {shown(gate.measured)}" if gate.measured is not None else shown(None)]
    if gate.confirmed is not None:
        parts.append(f"again: {shown(gate.second)}")
    if gate.limit is not None and "baseline" in gate.gate:
        parts.append(f"limit: {shown(gate.limit)}")
    if gate.p_value is not None:
        parts.append(f"p = {gate.p_value:.1g}")
    if gate.note:
        parts.append(gate.note)
    return f"{gate.gate} ({', '.join(parts)})"


def problems(outcome: Outcome, *, strict: bool) -> list[tuple[str, str, str]]:
    """(level, title, text) of what a CI should show: errors for what fails the command, warnings for the rest."""
    found = []
    for record, again in _runs(outcome):
        if record.verdict.state != "valid":
            level = "error" if _bad(record, strict=strict) else "warning"
            found.append(
                (level, f"edgekit: {record.verdict.state} run{again}", "; ".join(record.verdict.reasons))
            )
    for gate in outcome.gates:
        if not gate.passed:
            what = "regression" if gate.confirmed else "gate failed"
            found.append(("error", f"edgekit: {what}", gate_text(gate)))
        elif gate.confirmed is False:
            found.append(("warning", "edgekit: not confirmed", gate_text(gate)))
    return found


def _runs(outcome: Outcome) -> list[tuple[Record, str]]:
    """The runs that the exit code looks at, with what tells the second from the first."""
    runs = [(outcome.record, "")]
    return runs if outcome.second is None else [*runs, (outcome.second, ", measured again")]


def _name(record: Record) -> str:
    """The model's; of several configurations also which one."""
    several = "configurations" in record.plan.other
    return f"{record.model.name}, threads {record.plan.threads}" if several else record.model.name


def _bad(record: Record, *, strict: bool) -> bool:
    """Whether the verdict fails the command."""
    return record.verdict.state == "invalid" or (strict and record.verdict.state == "suspect")


def annotation_lines(
    outcome: Outcome, environ: Mapping[str, str], *, strict: bool, color: bool = True
) -> list[str]:
    """Lines for the log of the CI that `environ` names; none elsewhere. `color`, and NO_COLOR: of GitLab's."""
    name = _name(outcome.record)
    found = [(level, title, f"{name}: {text}") for level, title, text in problems(outcome, strict=strict)]
    return _lines(found, environ, color=color)


def error_lines(
    error: EdgekitError, environ: Mapping[str, str], where: str = "", *, color: bool = True
) -> list[str]:
    """The same for a command that measured nothing; `where`: the device, if others were measured."""
    text = f"{where}: {error.message}" if where else error.message
    return _lines([("error", f"edgekit: {error.code}", text)], environ, color=color)


def _lines(found: Sequence[tuple[str, str, str]], environ: Mapping[str, str], *, color: bool) -> list[str]:
    if environ.get("GITHUB_ACTIONS") == "true":
        return [f"::{level} title={_property(title)}::{_data(text)}" for level, title, text in found]
    if environ.get("GITLAB_CI") != "true":
        return []
    if not color or "NO_COLOR" in environ:
        return [f"{level}: {title} {_line(text)}" for level, title, text in found]
    codes = {"error": "31", "warning": "33"}
    return [f"\x1b[{codes[level]};1m{title}\x1b[0m {_line(text)}" for level, title, text in found]


def junit(
    outcomes: Sequence[Outcome],
    *,
    strict: bool,
    error: EdgekitError | None = None,
    failed: Sequence[tuple[str, EdgekitError]] = (),
) -> str:
    """One suite a run: a case for its verdict, one for that of its second measurement, one for each gate. A suite of its
    own for `error`, which ended the command, and for each device that `failed` where several were asked for."""
    root = Element("testsuites", name="edgekit")
    if error is not None:
        _error_suite(root, "edgekit", error)
    for address, failure in failed:
        _error_suite(root, address, failure)
    for outcome in outcomes:
        record = outcome.record
        runs = _runs(outcome)
        failures = sum(not gate.passed for gate in outcome.gates)
        failures += sum(_bad(run, strict=strict) for run, _ in runs)
        suite = SubElement(
            root,
            "testsuite",
            name=_xml(f"{_name(record)} on {record.device.address}"),
            tests=str(len(runs) + len(outcome.gates)),
            failures=str(failures),
            errors="0",
            skipped="0",
            timestamp=record.started_at,
        )
        for run, again in runs:
            name = _xml(_name(record) + again)
            case = SubElement(suite, "testcase", classname="edgekit.verdict", name=name)
            text = "; ".join((*run.verdict.reasons, *run.verdict.notes))
            _told(case, _bad(run, strict=strict), run.verdict.state, text)
        for gate in outcome.gates:
            case = SubElement(suite, "testcase", classname="edgekit.gate", name=_xml(gate.gate))
            _told(case, not gate.passed, "regression" if gate.confirmed else "gate failed", gate_text(gate))
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(root, encoding="unicode") + "\n"


def _error_suite(root: Element, name: str, error: EdgekitError) -> None:
    suite = SubElement(root, "testsuite", name=_xml(name), tests="1", failures="0", errors="1", skipped="0")
    case = SubElement(suite, "testcase", classname="edgekit", name="measure")
    SubElement(case, "error", type=error.code, message=_xml(error.message)).text = _xml(error.hint or "")


def _told(case: Element, failed: bool, message: str, text: str) -> None:
    if failed:
        SubElement(case, "failure", message=message).text = _xml(text)
    elif text:
        SubElement(case, "system-out").text = _xml(text)


def _xml(text: str) -> str:
    """Without what XML 1.0 has no room for (section 2.2, Char): control characters, lone surrogates, U+FFFE, U+FFFF."""
    return _NO_XML.sub("?", text)


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _line(text: str) -> str:
    return " ".join(text.split())
