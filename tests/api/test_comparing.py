"""compare, baselines and gates on this machine as a device (D1.5, D1.10)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.cli.running import MODEL, QUICK, Ran, edgekit


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "edgekit.yaml").write_text(
        f'devices: {{it: {{address: "local:", root: "{tmp_path}/device"}}}}\nresults: "{tmp_path}/results.sqlite"\n'
    )
    return tmp_path


def run(project: Path, *arguments: str | Path, env: Any = None) -> Ran:
    return edgekit(*arguments, env=env, cwd=project)


def test_d1_5_a_model_against_itself_and_against_another(project: Path) -> None:
    """The JSON of the interface page; both records are kept; the order is random, balanced and of the kept seed."""
    out = project / "f.ekm"
    run(project, "convert", MODEL, "--recipe", "float32", "-o", out).ok()
    found = (
        run(project, "compare", MODEL, out, "-d", "it", "--json", *QUICK, "--launches", "4", "--seed", "7")
        .ok()
        .json()
    )
    assert found["verdict"] in {"faster", "slower", "no_difference"}
    assert found["ci95_low"] < found["ratio"] < found["ci95_high"]
    assert 0 <= found["p_value"] <= 1
    assert found["smallest_effect"] > 0
    assert (found["pairs"], found["seed"], sorted(found["order"])) == (4, 7, ["a"] * 4 + ["b"] * 4)
    assert len(set(found["records"])) == 2
    records = [run(project, "results", "show", one, "--json").ok().json() for one in found["records"]]
    orders = [[launch["order"] for launch in record["launches"]] for record in records]
    assert sorted(orders[0] + orders[1]) == list(range(8))
    assert [record["plan"]["launches"] for record in records] == [4, 4]


def test_d1_5_a_resolution_plans_pairs_from_a_pilot(project: Path) -> None:
    """The pilot's 5 pairs are in the records and not in the result. A release may be compared with itself."""
    run(project, "push", MODEL, "-d", "it", "--name", "one").ok()
    found = (
        run(project, "compare", "one", "one", "-d", "it", "--json", *QUICK, "--resolution", "90%").ok().json()
    )
    assert (found["pilot_pairs"], found["resolution"]) == (5, 0.9)
    assert found["pairs"] == found["planned_pairs"] >= 5
    assert len(found["order"]) == 2 * (5 + found["pairs"])
    text = run(project, "compare", "one", "one", "-d", "it", *QUICK).ok().stdout
    assert "b / a" in text
    assert "9 of 10 runs" in text


def test_d1_5_what_cannot_be_compared_is_refused(project: Path) -> None:
    assert run(project, "compare", MODEL, "nobody", "-d", "it", "--json").error()["code"] == "E_NO_RELEASE"
    assert (
        run(project, "compare", MODEL, MODEL, "-d", "it", "--json", "--resolution", "200%").error()["code"]
        == "E_PLAN"
    )
    two = run(project, "compare", MODEL, MODEL, "-d", "it", "--json", *QUICK, "--launches", "2")
    assert (two.code, two.json()["verdict"]) == (4, "invalid")


def test_d1_10_a_gate_against_a_baseline(project: Path) -> None:
    """No baseline: refused before anything is measured. A regression: measured twice, exit 5, in JUnit and annotations."""
    gate = ("--gate", "median_latency<=baseline*1.03", "--gate", "peak_rss<=baseline*2")
    missing = run(project, "bench", MODEL, "-d", "it", "--json", *QUICK, *gate)
    assert (missing.code, missing.error()["code"]) == (1, "E_NO_BASELINE")
    assert run(project, "results", "list", "--json").ok().json()["runs"] == []
    assert releases(project) == []

    first = (
        run(project, "bench", MODEL, "-d", "it", "--json", *QUICK, "--gate", "median_latency<=1s").ok().json()
    )
    assert first["gates"][0]["passed"]
    named = run(project, "results", "baseline", "--json").ok().json()
    assert (named["baseline"], named["runtime"]) == (first["id"], "litert")
    same = (
        run(project, "bench", MODEL, "-d", "it", "--json", *QUICK, "--gate", "median_latency<=baseline*50")
        .ok()
        .json()
    )
    assert same["gates"][0]["limit"] == pytest.approx(50 * first["latency"]["median"])
    assert "second_run" not in same

    # the baseline as a file, a thousand times faster than this machine is, so that others at work on it cannot hide that
    record = {**first, "latency": {**first["latency"], "median": first["latency"]["median"] / 1000}}
    record["launches"] = [{**launch, "median_us": launch["median_us"] / 1000} for launch in first["launches"]]
    fast = project / "fast.json"
    fast.write_text(json.dumps(record))
    junit = project / "junit.xml"
    slow = run(
        project, "bench", MODEL, "-d", "it", "--json", *QUICK, *gate, "--baseline", fast, "--junit", junit,
        "--sustained", "0.02",
        env={"GITHUB_ACTIONS": "true"},
    )  # fmt: skip
    assert slow.code == 5
    latency, memory = slow.json()["gates"]
    assert (latency["passed"], latency["confirmed"], memory["passed"]) == (False, True, True)
    assert latency["p_value"] <= 1e-4
    assert slow.json()["second_run"] != slow.json()["id"]
    assert slow.json()["sustained"] is not None
    again = run(project, "results", "show", slow.json()["second_run"], "--json").ok().json()
    assert again["sustained"] is None
    assert "::error title=edgekit%3A regression::" in slow.stderr
    cases = ElementTree.parse(junit).getroot().findall("./testsuite/testcase")
    assert [case.find("failure") is not None for case in cases[2:]] == [True, False]


def test_d1_10_a_baseline_that_cannot_be_read_is_found_before_anything_is_sent(project: Path) -> None:
    """By bench and by run; also one that the store does not have."""
    broken = project / "broken.json"
    broken.write_text("{}")
    gate = (*QUICK, "--json", "--gate", "median_latency<=baseline")
    for command in ("bench", "run"):
        for given, code in ((("--baseline", broken), "E_RECORD"), ((), "E_NO_BASELINE")):
            assert run(project, command, MODEL, "-d", "it", *gate, *given).error()["code"] == code
    assert releases(project) == []


def releases(project: Path) -> Any:
    return run(project, "releases", "-d", "it", "--json").ok().json()["releases"]


def test_d1_10_a_command_that_measures_nothing_is_an_error_for_the_ci_too(project: Path) -> None:
    """Not an empty JUnit file, which a CI takes for a success."""
    junit = project / "junit.xml"
    lost = run(project, "bench", "nobody", "-d", "it", "--junit", junit, env={"GITHUB_ACTIONS": "true"})
    assert lost.code == 1
    assert "::error title=edgekit%3A E_NO_RELEASE::" in lost.stderr
    error = ElementTree.parse(junit).getroot().find("./testsuite/testcase/error")
    assert error is not None
    assert error.get("type") == "E_NO_RELEASE"


def test_d1_10_a_junit_file_that_cannot_be_written_costs_no_measurement(project: Path) -> None:
    (project / "file").touch()
    lost = run(
        project, "bench", MODEL, "-d", "it", *QUICK, "--json", "--junit", project / "file" / "junit.xml"
    )
    assert lost.code == 8
    assert run(project, "results", "list", "--json").ok().json()["runs"] == []


def test_d1_10_a_command_that_is_ended_leaves_an_error_in_junit(project: Path) -> None:
    """Not the file of the command before, which a CI takes for this one's."""
    junit = project / "junit.xml"
    junit.write_text("<testsuites/>")
    late = run(project, "bench", MODEL, "-d", "it", "--min-seconds", "60", "--timeout", "6", "--junit", junit)
    assert late.code == 3
    error = ElementTree.parse(junit).getroot().find("./testsuite/testcase/error")
    assert error is not None
    assert error.get("type") == "E_INTERRUPTED"


@pytest.mark.parametrize("good", [True, False])
def test_d1_10_a_device_of_several_that_failed_is_an_error_for_the_ci(project: Path, good: bool) -> None:
    """One of several (exit 6) or all of them: a suite with an error and an annotation each."""
    junit = project / "junit.xml"
    devices = ("-d", "it" if good else "sim:unknown-nowhere", "-d", "sim:unknown-one")
    done = run(
        project, "bench", MODEL, *devices, *QUICK, "--json", "--junit", junit, env={"GITHUB_ACTIONS": "true"}
    )
    failed = done.json()["failed"]
    assert len(failed) == (1 if good else 2)
    assert done.code == (6 if good else 1)
    suites = ElementTree.parse(junit).getroot().findall("./testsuite[@errors='1']")
    assert [suite.get("name") for suite in suites] == [one["device"] for one in failed]
    for one in failed:
        assert any(
            line.startswith("::error") and f"::{one['device']}: " in line for line in done.stderr.splitlines()
        )
