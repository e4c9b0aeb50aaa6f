"""D3.1: what a record says of how it came about is there, and right, whichever command wrote it."""

from __future__ import annotations

import importlib.metadata
import json
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgekit.addresses import parse
from edgekit.cache import sha256_file
from edgekit.cli.main import run
from edgekit.models import Artifact
from edgekit.profiles import load_profile
from edgekit.results.store import Store
from edgekit.transports.sim.transport import forget
from tests.sim.devices import MODEL, PROFILE, RUNTIME, address

QUICK = ["--launches", "3", "--iterations", "9", "--min-seconds", "0", "--seed", "11", "--runtime", RUNTIME]
SECRET = "s3cr3t"


@pytest.fixture
def where() -> Iterator[str]:
    found = address()
    yield found
    forget(parse(found))


def records(store: Path) -> list[dict[str, Any]]:
    return [json.loads(data) for data, _ in Store(store).entries(with_samples=False)]


@pytest.mark.parametrize(
    ("command", "how"),
    [
        (["bench", str(MODEL), "--meter", "none"], "alone"),
        (["bench", str(MODEL), "--threads", "1,2", "--meter", "none"], "side by side"),
        (["compare", str(MODEL), str(MODEL)], "compared"),
        (["run", str(MODEL), "--recipe", "as-is", "--report", "report.html", "--meter", "none"], "alone"),
    ],
)
def test_d3_1_every_command_that_measures_says_how(
    command: list[str], how: str, where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "runs.sqlite"
    monkeypatch.setenv("EDGEKIT_RESULTS", str(store))
    monkeypatch.chdir(tmp_path)
    arguments = [*command, "-d", where, *QUICK, "--label", f"token={SECRET}", "-q"]
    assert run(arguments) in (0, 4)
    found = records(store)
    assert len(found) == {"alone": 1}.get(how, 2)
    for record in found:
        made = record["environment"]
        assert made["argv"] == [*arguments[:-2], "token=[left out]", "-q"]
        assert (made["asked"]["how"], made["asked"]["device"], made["rerun_of"]) == (how, where, None)
        model = Path(made["asked"]["model"])
        assert model == MODEL or command[0] == "run"
        measured = model if model.is_file() else model / Artifact.load(model).manifest.model.file
        assert record["model"]["sha256"] == sha256_file(measured)
        assert record["profile"] == {"name": PROFILE, "sha256": load_profile(PROFILE).sha256}
        assert (record["plan"]["seed"], record["runtime"]["name"]) == (11, RUNTIME)
        assert record["runtime"]["sha256"] is None or len(record["runtime"]["sha256"]) == 64
        assert made["host"]["kernel"] == platform.release()
        assert made["versions"]["numpy"] == importlib.metadata.version("numpy")
        assert platform.node() not in json.dumps(made["host"]) or len(platform.node()) < 4
        assert made["agent_sha256"] is None  # nothing runs on a device that is simulated
        assert len(record["device"]["fingerprint"]) == 16


def test_d3_1_an_artifact_tells_its_recipe(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "runs.sqlite"
    monkeypatch.setenv("EDGEKIT_RESULTS", str(store))
    made = tmp_path / "made"
    assert run(["convert", str(MODEL), "-o", str(made), "--recipe", "as-is", "-q"]) == 0
    assert run(["bench", str(made), "-d", where, *QUICK, "-q"]) in (0, 4)
    (record,) = records(store)
    assert record["model"]["recipe_sha256"] == Artifact.load(made).manifest.recipe_sha256 or None
    assert record["environment"]["asked"]["model"] == str(made)
