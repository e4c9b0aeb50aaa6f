"""`edgekit profile`: output, JSON and exit codes of the real command (A3)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.base

RUN = [sys.executable, "-m", "edgekit", "profile"]


def run(*args: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "200"}
    return subprocess.run(
        [*RUN, *args], capture_output=True, text=True, timeout=60, env=environment, check=False
    )


def test_list() -> None:
    result = run("list")
    assert result.returncode == 0
    assert "raspberry-pi-5" in result.stdout
    document = json.loads(run("list", "--json").stdout)
    assert len(document["profiles"]) == 18
    assert {entry["origin"] for entry in document["profiles"]} == {"shipped"}
    assert all(not entry["errors"] for entry in document["profiles"])


def test_show() -> None:
    result = run("show", "raspberry-pi-5")
    assert result.returncode == 0
    assert "temperature: 80C" in result.stdout
    assert "raspberry-pi-5.yaml:" in result.stdout
    assert "generic-linux-arm64.yaml:" in result.stdout
    assert json.loads(run("show", "raspberry-pi-5", "--json").stdout)["limits"]["temperature_mc"] == 80_000


def test_check_says_every_error_with_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("schema: edgekit.profile/1\nname: bad\nlimits: {temprature: 80C}\nbench: {threads: 0}\n")
    result = run("check", str(path))
    assert result.returncode == 1
    assert f"{path}:3: limits.temprature: unknown key" in result.stderr
    assert f"{path}:4: bench.threads: must be" in result.stderr
    assert result.stdout == ""
    error = json.loads(run("check", "--json", str(path)).stdout)["error"]
    assert error["code"] == "E_PROFILE"
    assert [(one["file"], one["line"], one["path"]) for one in error["errors"]] == [
        (str(path), 3, "limits.temprature"),
        (str(path), 4, "bench.threads"),
    ]


def test_check_of_good_ones_by_name_and_by_file(tmp_path: Path) -> None:
    path = tmp_path / "good.yaml"
    path.write_text("schema: edgekit.profile/1\nname: good\nextends: pixel-6\n")
    result = run("check", str(path), "pixel-6")
    assert (result.returncode, result.stdout) == (0, f"{path}: ok\npixel-6: ok\n")


def test_unknown_name() -> None:
    result = run("show", "raspbery-pi-5", "--json")
    assert result.returncode == 1
    assert json.loads(result.stdout)["error"]["code"] == "E_PROFILE_NOT_FOUND"
    assert "did you mean 'raspberry-pi-5'" in run("show", "raspbery-pi-5").stderr


def test_schema_is_json_in_both_ways() -> None:
    assert json.loads(run("schema").stdout) == json.loads(run("schema", "--json").stdout)


def test_usage() -> None:
    assert run("check").returncode == 2
