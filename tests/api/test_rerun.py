"""D3.1: a run of this machine done again, by the command line and a real runner."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.agent.binaries import find_binary
from edgekit.cache import sha256_file
from tests.api.test_auto import project  # noqa: F401 - a fixture
from tests.cli.running import DIGITS, MODEL, QUICK, edgekit

pytestmark = pytest.mark.usefixtures("own_local")


def test_d3_1_rerun_on_this_machine(project: Path) -> None:  # noqa: F811
    """The device is found by the name it had, from another folder; own inputs, score and meter are asked for as they were."""
    arguments = ["bench", MODEL, "-d", "it", *QUICK, "--seed", "5", "--meter", "none", "--json"]
    data = ["--inputs", "mine.npz", "--evaluation", "mine.npz"]
    (project / "mine.npz").write_bytes((DIGITS / "evaluation.npz").read_bytes())
    first = edgekit(*arguments, *data, cwd=project).ok().json()
    below = project / "below"
    below.mkdir()
    done = edgekit("rerun", "latest", "--json", cwd=below)
    found = done.json()
    assert done.code == (4 if found["verdict"] == "invalid" else 0)
    record = found["record"]
    assert (found["run"], found["rerun"]) == (first["id"], record["id"])
    assert found["not_repeated"] == []
    assert record["plan"] == first["plan"]
    assert record["model"] == first["model"]
    for part in ("metric", "value", "data_sha256", "scored_on", "golden"):
        assert record["accuracy"][part] == first["accuracy"][part]
    was, now = first["environment"], record["environment"]
    assert was["argv"] == [str(one) for one in (*arguments, *data)]
    assert now["argv"] == ["rerun", "latest", "--json"]
    assert was["asked"]["inputs"] == str((project / "mine.npz").resolve())
    assert (was["asked"], was["host"], was["versions"]) == (now["asked"], now["host"], now["versions"])
    assert {"python", "numpy", "msgspec"} <= set(was["versions"])
    assert all(was["host"][name] for name in ("os", "kernel", "machine"))
    assert was["agent_sha256"] == find_binary(first["device"]["abi"]).sha256
    assert was["asked"]["model"] == str(MODEL)
    assert first["model"]["sha256"] == sha256_file(Path(MODEL))
    assert first["plan"]["other"]["inputs_sha256"] == sha256_file(project / "mine.npz")
    assert len(first["runtime"]["sha256"]) == len(first["device"]["build_sha256"]) == 64
    assert first["plan"]["seed"] == 5
    assert record["device"]["build_sha256"] == first["device"]["build_sha256"]
