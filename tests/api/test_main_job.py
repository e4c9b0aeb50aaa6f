"""A-b2: the whole chain on every kind of target, through the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.api.places import PLACES, Place, make_place
from tests.cli.running import DIGITS, MODEL, QUICK, Ran, edgekit


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return make_place(request, request.param, tmp_path)


def run(place: Place, *arguments: str | Path, timeout: float = 280.0) -> Ran:
    return edgekit(*arguments, *place.device, env=place.env, cwd=place.folder, timeout=timeout)


def full_job(place: Place, recipe: str) -> dict[str, Any]:
    done = run(
        place,
        *("run", MODEL, "--recipe", recipe, "--json", *QUICK),
        *("--calibration", DIGITS / "calibration.npz", "--evaluation", DIGITS / "evaluation.npz"),
        *("--report", place.folder / "report.html"),
    )
    document: dict[str, Any] = done.ok().json()
    return document


@pytest.mark.timeout(400)
def test_ab2_the_main_job_gives_a_full_record(place: Place) -> None:
    """Convert, verify, push, measure, report; float32 and int8; then what is on the device, and back."""
    exact = full_job(place, "float32")
    small = full_job(place, "int8-static")
    for document in (exact, small):
        record = document["record"]
        assert record["schema"] == "edgekit.record/1"
        assert record["device"]["abi"] == place.abi
        assert record["latency"]["count"] >= 3 * 20
        assert len(record["launches"]) == 3
        assert all(launch["ok"] for launch in record["launches"])
        assert record["memory"]["peak_rss"] > 1 << 20
        assert record["runtime"]["actual_accelerator"] == "cpu"
        assert record["verdict"]["state"] in ("valid", "suspect")
        assert record["accuracy"]["golden"] == "passed"
        assert record["accuracy"]["value"] >= 0.95
        assert document["push"]["smoke"] == "passed"
        assert document["push"]["activated"] is True
        assert Path(document["report"]).stat().st_size <= 1 << 20
    assert small["push"]["sha256"] != exact["push"]["sha256"]
    assert small["push"]["previous"] == exact["push"]["version"]
    # A8: an unchanged model is not sent again; A-b4: in at most 3 round trips
    again = run(place, "push", small["convert"]["artifact"], "--json").ok().json()
    assert (again["method"], again["bytes_sent"]) == ("unchanged", 0)
    assert again["round_trips"] <= 3
    rows = run(place, "releases", "--json").ok().json()["releases"]
    assert [row["active"] for row in rows] == [False, True]
    back = run(place, "rollback", "digits", "--json").ok().json()
    assert back["version"] == exact["push"]["version"]
    measured = run(place, "bench", "digits", *QUICK, "--json").ok().json()
    assert measured["model"]["version"] == exact["push"]["version"]
    assert measured["accuracy"]["golden"] == "passed"
    listed = edgekit("results", "list", "--json", env=place.env, cwd=place.folder).ok().json()
    assert len(listed["runs"]) == 3
    gone = run(place, "uninstall", "--yes", "--json").ok().json()
    assert gone["root"]
