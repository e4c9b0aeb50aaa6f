"""B2.5: what a rescue costs, in bytes and in time on the device, is in the manifest."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.running import DIGITS, edgekit
from tests.conversion.rescue.outliers import with_outliers

pytest.importorskip("ai_edge_quantizer.quantizer")


def test_the_price_in_time_is_measured_there(tmp_path: Path) -> None:
    """The model that failed and the one that replaces it run on the device side by side; nothing of both is left there."""
    (tmp_path / "edgekit.yaml").write_text(
        f"devices:\n  it: {{address: 'local:', root: {tmp_path / 'device'}}}\nresults: runs.sqlite\n"
    )
    (tmp_path / "quick.yaml").write_text(
        "schema: edgekit.profile/1\nname: quick\nextends: host-x86-64\nbench: {launches: 2, min_seconds: 0.1}\n"
    )
    (tmp_path / "m.tflite").write_bytes(with_outliers(1))
    data = ("--calibration", DIGITS / "calibration.npz", "--evaluation", DIGITS / "evaluation.npz")
    asked = (
        "convert",
        "m.tflite",
        "--recipe",
        "int8-static",
        *data,
        "--rescue",
        "-d",
        "it",
        "-p",
        "quick.yaml",
    )
    document = edgekit(*asked, "--json", cwd=tmp_path).ok().json()
    latency = document["rescue"]["latency"]
    assert 1 < latency["before_us"] < 1e6
    assert latency["launches"] == 2
    manifest = json.loads((tmp_path / document["artifact"] / "manifest.json").read_text())
    assert manifest["rescue"] == document["rescue"]
    assert manifest["rescue"]["size_bytes_before"] > 100_000
    (note,) = [note for note in manifest["notes"] if note.startswith("the rescue's price on ")]
    assert f"{latency['before_us']:.4g} us became {latency['after_us']:.4g}" in note
    assert not list((tmp_path / "device" / "models").glob("*/*")), "what was measured is taken away again"
