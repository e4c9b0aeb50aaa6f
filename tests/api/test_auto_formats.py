"""B2.4: `--recipe auto` through the command line where the result is a program of ExecuTorch or of Core ML."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.api.test_on_one_device import PYTHON_THERE
from tests.cli.running import edgekit

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.heavy, pytest.mark.timeout(900)]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A small net of PyTorch's, samples for it, this machine as a device, and a profile for its ExecuTorch."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, 2), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(8 * 7 * 7, 32)
    ).eval()
    torch.export.save(torch.export.export(net, (torch.randn(1, 3, 16, 16),)), tmp_path / "net.pt2")
    data = np.random.default_rng(0).random((8, 1, 3, 16, 16), np.float32)
    np.savez(tmp_path / "c.npz", input=data)
    (tmp_path / "edgekit.yaml").write_text(
        f"devices:\n  it: {{address: 'local:', root: {tmp_path / 'device'}}}\n"
    )
    (tmp_path / "et.yaml").write_text(
        "schema: edgekit.profile/1\nname: et\nruntimes: [executorch-python]\nformats: [executorch]\n"
        "precisions: {executorch-python: [int8, float32]}\nbench: {launches: 1, min_seconds: 0, iterations: 20}\n"
    )
    return tmp_path


def auto(project: Path, *arguments: str) -> dict[str, Any]:
    wishes = ("--recipe", "auto", "--calibration", "c.npz", "-o", "a.ekm", "--json", *arguments)
    document = edgekit("convert", "net.pt2", *wishes, cwd=project, env=PYTHON_THERE, timeout=800).ok().json()
    found: dict[str, Any] = document["auto"]
    assert document["recipe"] == found["recipe"] == found["front"][0]
    return found


def judged(project: Path, found: dict[str, Any], recipes: set[str]) -> dict[str, dict[str, Any]]:
    """What holds of every such choice: all were tried, their errors found, one taken, the others out for a reason in words. The
    candidates by recipe."""
    tried = {one["recipe"]: one for one in found["candidates"]}
    assert set(tried) == recipes
    assert not [one["failed"] for one in found["candidates"] if one["failed"]]
    assert tried["float32"]["error"] < 1e-5
    assert all(1e-5 < one["error"] < 0.1 for recipe, one in tried.items() if recipe != "float32")
    assert tried["float32"]["size_bytes"] > 2 * tried["int8-static"]["size_bytes"]
    reasons = {one["recipe"]: one["reason"] for one in found["rejected"]}
    assert set(reasons) == recipes - {found["recipe"]}
    assert all(len(reason.split()) > 3 for reason in reasons.values())
    notes = json.loads((project / "a.ekm" / "manifest.json").read_text())["notes"]
    assert notes[0] == f"recipe {found['recipe']}: {found['why']}"
    assert {f"not {recipe}: {reason}" for recipe, reason in reasons.items()} <= set(notes)
    return tried


@pytest.mark.skipif(find_spec("executorch") is None, reason="executorch is not installed")
def test_b2_4_executorch_measured_there(project: Path) -> None:
    """Errors by ExecuTorch on this host, latency and memory by the Python of the device; the profile's kernels compute in no float16."""
    found = auto(project, "-d", "it", "-p", "et.yaml")
    tried = judged(project, found, {"float32", "int8-dynamic", "int8-static", "mixed"})
    assert found["measured"] is True
    latencies = {recipe: one["latency_us"] for recipe, one in tried.items()}
    assert all(latencies.values())
    assert all(one["peak_rss_bytes"] > 1 << 20 for one in tried.values())
    assert latencies[found["recipe"]] <= 1.03 * min(latencies.values())
    assert not list((project / "device" / "models").glob("*/*")), "candidates are taken away again"


@pytest.mark.skipif(find_spec("coremltools") is None, reason="coremltools is not installed")
def test_b2_4_core_ml_by_its_evaluator(project: Path) -> None:
    """Errors by the evaluator of Core ML's programs, on Linux; nothing here measures their latency, so the smallest is taken of those
    whose kernels are not known to be slow."""
    found = auto(project, "--to", "coreml")
    recipes = {"float32", "float16", "int8-weight-only", "int8-static", "int4-weight-only", "mixed"}
    tried = judged(project, found, recipes)
    assert found["measured"] is False
    assert all(one["latency_us"] is None for one in tried.values())
    sizes = {recipe: one["size_bytes"] for recipe, one in tried.items() if recipe != "int4-weight-only"}
    assert sizes[found["recipe"]] == min(sizes[recipe] for recipe in found["front"] if recipe in sizes)
    assert (
        "known to be slow" in {one["recipe"]: one["reason"] for one in found["rejected"]}["int4-weight-only"]
    )
