"""D1.3: what is timed are the user's inputs; the golden outputs are checked all the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import edgekit as sdk
from edgekit.benchmarking import BenchOptions
from edgekit.benchmarking.own_inputs import load_inputs
from edgekit.deployment import release_on_device
from tests.api.test_auto import project  # noqa: F401 - a fixture
from tests.cli.running import DIGITS, MODEL, QUICK, Ran, edgekit

pytestmark = pytest.mark.usefixtures("own_local")


def bench(project: Path, *arguments: str | Path) -> Ran:  # noqa: F811
    return edgekit("bench", *arguments, "-d", "it", "--json", *QUICK, cwd=project)


def test_own_inputs_are_timed_and_the_golden_outputs_checked_by_a_launch_apart(project: Path) -> None:  # noqa: F811
    edgekit("convert", MODEL, "--recipe", "float32", "-o", "a.ekm", cwd=project).ok()
    record = bench(project, "a.ekm", "--inputs", DIGITS / "evaluation.npz").ok().json()
    assert record["plan"]["inputs"] == "own"
    assert len(record["plan"]["other"]["inputs_sha256"]) == 64
    argv = record["runtime"]["argv"]
    assert argv[argv.index("--inputs") + 1].endswith("/own-inputs")
    assert "--outputs" not in argv
    assert record["accuracy"]["golden"] == "passed"
    assert len(record["launches"]) == 3
    plain = bench(project, "a.ekm").ok().json()
    assert plain["plan"]["inputs"] == "golden"
    assert "inputs_sha256" not in plain["plan"]["other"]


def test_it_is_the_first_sample_as_the_model_stores_it(tmp_path: Path) -> None:
    pixels = np.arange(3 * 28 * 28, dtype=np.float32).reshape(3, 28, 28, 1)
    np.savez(tmp_path / "mine.npz", image=pixels)
    with sdk.connect("local:") as device:
        sent = sdk.push(MODEL, device, name="own-inputs", smoke=False, activate=False)
        try:
            release = release_on_device(device, sent.name, sent.version)
            own = load_inputs(release, device, BenchOptions(inputs=str(tmp_path / "mine.npz")))
        finally:
            sdk.remove(device, sent.name)
    assert own is not None
    assert np.array_equal(np.frombuffer(own.data, np.float32), pixels[0].ravel())


@pytest.mark.parametrize(
    ("name", "shape", "code"),
    [("image", (2, 8, 8, 1), "E_DATA_SHAPE"), ("wrong", (2, 28, 28, 1), "E_DATA_NAMES")],
)
def test_inputs_that_do_not_fit_are_told_before_anything_is_measured(
    project: Path,  # noqa: F811
    name: str,
    shape: tuple[int, ...],
    code: str,
) -> None:
    np.savez(project / "mine.npz", **{name: np.random.default_rng(1).random(shape).astype(np.float32)})
    refused = bench(project, MODEL, "--inputs", "mine.npz")
    assert (refused.code, refused.error()["code"]) == (1, code)


def test_a_tool_makes_its_own(project: Path) -> None:  # noqa: F811
    refused = bench(project, MODEL, "--inputs", DIGITS / "evaluation.npz", "--runtime", "litert-benchmark")
    assert (refused.code, refused.error()["code"]) == (1, "E_TOOL_OPTION")


def test_both_of_a_comparison_are_timed_on_them(project: Path) -> None:  # noqa: F811
    done = edgekit(
        *("compare", MODEL, MODEL, "-d", "it", "--inputs", DIGITS / "evaluation.npz", "--json", *QUICK),
        cwd=project,
    )
    assert done.code in (0, 4), done.stderr
    for run in done.json()["records"]:
        record = edgekit("results", "show", run, "--json", cwd=project).ok().json()
        assert record["plan"]["inputs"] == "own"
