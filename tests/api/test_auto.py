"""B2.4: `--recipe auto` through the command line, with real quantizers, on this machine as the device."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.running import DIGITS, MODEL, Ran, edgekit

DATA = ("--calibration", DIGITS / "calibration.npz", "--evaluation", DIGITS / "evaluation.npz")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with one device, `it`: this machine, with a folder of its own."""
    (tmp_path / "edgekit.yaml").write_text(
        f"devices:\n  it: {{address: 'local:', root: {tmp_path / 'device'}}}\nresults: runs.sqlite\n"
    )
    return tmp_path


def auto(project: Path, *arguments: str | Path, command: str = "convert") -> Ran:
    return edgekit(command, MODEL, "--recipe", "auto", "--json", *arguments, cwd=project)


def test_measured_there_and_nothing_left_there(project: Path) -> None:
    document = auto(project, *DATA, "-d", "it", "-o", "a.ekm").ok().json()
    found = document["auto"]
    recipes = [one["recipe"] for one in found["candidates"]]
    assert recipes[0] == "float32"
    assert {"float16", "int8-dynamic", "int8-static", "int8-weight-only"} <= set(recipes)
    latencies = {one["recipe"]: one["latency_us"] for one in found["candidates"]}
    assert all(latencies.values())
    assert all(one["peak_rss_bytes"] > 1 << 20 for one in found["candidates"])
    assert document["recipe"] == found["recipe"] == found["front"][0]
    # one within 3 % of the fastest may beat it, and be beaten in its turn
    assert latencies[found["recipe"]] <= 1.03**3 * min(latencies.values())
    assert found["measured"] is True
    assert sorted([found["recipe"], *(one["recipe"] for one in found["rejected"])]) == sorted(recipes)
    manifest = json.loads((project / "a.ekm" / "manifest.json").read_text())
    assert manifest["notes"][0] == f"recipe {found['recipe']}: {found['why']}"
    assert not list((project / "device" / "models").glob("*/*")), "candidates are taken away again"


def test_without_a_device_by_what_the_profile_prefers(project: Path) -> None:
    found = auto(project, *DATA, "-p", "host-x86-64").ok().json()["auto"]
    assert found["recipe"] == "int8-static"
    assert found["measured"] is False
    assert all(one["latency_us"] is None for one in found["candidates"])


def test_what_cannot_be_made_is_told_why(project: Path) -> None:
    """No calibration data, no int8-static; the others are there."""
    found = auto(project, "-d", "it").ok().json()["auto"]
    reasons = {one["recipe"]: one["reason"] for one in found["rejected"]}
    assert "calibration" in reasons["int8-static"]
    assert all(one["drop"] is None for one in found["candidates"])


def test_limits_that_none_keeps(project: Path) -> None:
    (project / "tight.yaml").write_text(
        "schema: edgekit.profile/1\nname: tight\nextends: host-x86-64\nlimits: {model_size: 10KiB}\n"
    )
    refused = auto(project, *DATA, "-p", "tight.yaml", "-o", "a.ekm")
    assert (refused.code, refused.error()["code"]) == (5, "E_LIMIT")
    assert "float32" in refused.error()["message"]
    assert "int8-static" in refused.error()["message"]
    assert not (project / "a.ekm").exists()


def test_the_main_job_measures_what_it_picked(project: Path) -> None:
    quick = ("--launches", "3", "--iterations", "20", "--min-seconds", "0.05")
    document = auto(project, *DATA, "-d", "it", *quick, "--report", "r.html", command="run").ok().json()
    picked = document["convert"]["auto"]["recipe"]
    assert document["record"]["model"]["recipe"] == picked
    releases = edgekit("releases", "-d", "it", "--json", cwd=project).ok().json()["releases"]
    assert [(row["name"], row["active"]) for row in releases] == [("digits", True)]


def test_a_model_that_is_quantized_already_is_refused(project: Path) -> None:
    done = edgekit("convert", MODEL, "--recipe", "int8-static", *DATA, "-o", "q.ekm", cwd=project).ok()
    assert done.code == 0
    refused = edgekit(
        "convert", project / "q.ekm" / "model.tflite", "--recipe", "auto", "--json", cwd=project
    )
    assert (refused.code, refused.error()["code"]) == (1, "E_ALREADY_QUANTIZED")


def test_where_no_candidate_can_run_the_reason_is_the_runtimes(project: Path) -> None:
    """Not a limit's: the device has no Python with the runtime that the profile names."""
    (project / "python.yaml").write_text(
        "schema: edgekit.profile/1\nname: python\nruntimes: [litert-python]\nformats: [tflite]\n"
    )
    refused = edgekit(
        *("convert", MODEL, "--recipe", "auto", "--json", "-d", "it", "-p", "python.yaml", "-o", "a.ekm"),
        env={"PATH": "/usr/bin:/bin"},
        cwd=project,
    )
    assert refused.error()["code"] == "E_RUNNER_LIBRARY", refused.stdout
    assert not (project / "a.ekm").exists()
    assert not list((project / "device" / "models").glob("*/*"))
