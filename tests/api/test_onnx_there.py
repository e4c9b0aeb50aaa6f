"""D1.1: an .onnx model on every kind of target: pushed with a smoke run, measured, its outputs compared."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.api.places import PLACES, Place, make_place
from tests.cli.running import QUICK, Ran, edgekit
from tests.runner import tiny_onnx

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return make_place(request, request.param, tmp_path)


def run(place: Place, *arguments: str | Path) -> Ran:
    return edgekit(*arguments, *place.device, env=place.env, cwd=place.folder, timeout=280)


@pytest.mark.timeout(600)
def test_d1_1_an_onnx_model_is_tried_there_and_measured(place: Place) -> None:
    model = tiny_onnx.small(place.folder / "net.onnx")
    pushed = run(place, "push", model, "--json").ok().json()
    assert (pushed["smoke"], pushed["activated"]) == ("passed", True)
    record = run(place, "bench", "net", "--json", "--threads", "2", *QUICK).ok().json()
    assert record["device"]["abi"] == place.abi
    assert record["model"]["format"] == "onnx"
    assert (record["runtime"]["name"], record["runtime"]["version"]) == ("onnxruntime", "1.32.0")
    assert record["runtime"]["actual_accelerator"] == "cpu"
    assert record["latency"]["count"] >= 3 * 20
    assert all(launch["ok"] for launch in record["launches"])
    assert record["memory"]["model_delta"] > 200_000
    # an artifact brings the host's outputs along
    artifact = place.folder / "net.ekm"
    edgekit("convert", model, "--to", "onnx", "--recipe", "float32", "-o", artifact, cwd=place.folder).ok()
    compared = run(place, "bench", artifact, "--json", *QUICK).ok().json()
    assert compared["runtime"]["name"] == "onnxruntime"
    assert compared["accuracy"]["golden"] == "passed"


def test_d1_1_weights_in_a_file_of_their_own_go_along(tmp_path: Path) -> None:
    """The release has both files in one folder, where the runtime looks for them."""
    place = Place("it", "local", "x86_64", tmp_path, {}, str(tmp_path / "device"))
    (tmp_path / "edgekit.yaml").write_text(
        f'devices: {{it: {{address: "local:", root: "{tmp_path}/device"}}}}\n'
    )
    model = tmp_path / "split.onnx"
    whole = onnx.load(tiny_onnx.small(tmp_path / "whole.onnx"))
    onnx.save_model(whole, model, save_as_external_data=True, location="weights.bin", size_threshold=0)
    pushed = run(place, "push", model, "--json").ok().json()
    assert pushed["smoke"] == "passed"
    assert run(place, "bench", "split", "--json", *QUICK).ok().json()["runtime"]["name"] == "onnxruntime"


def test_d1_1_the_sdk_pushes_and_measures_an_onnx_file(tmp_path: Path) -> None:
    from edgekit import api
    from edgekit.benchmarking import BenchOptions
    from edgekit.config import load_config

    (tmp_path / "edgekit.yaml").write_text(
        f'devices: {{it: {{address: "local:", root: "{tmp_path}/device"}}}}\n'
    )
    with api.connect("it", config=load_config(tmp_path)) as device:
        release = api.push(tiny_onnx.small(tmp_path / "net.onnx"), device)
        options = BenchOptions(launches=2, iterations=20, min_seconds=0)
        record = api.bench(release, device, options=options, store=False)
    assert record.runtime.name == "onnxruntime"
    assert record.latency is not None
    assert record.latency.median is not None


def test_d1_1_a_damaged_onnx_model_never_becomes_active(tmp_path: Path) -> None:
    place = Place("it", "local", "x86_64", tmp_path, {}, str(tmp_path / "device"))
    (tmp_path / "edgekit.yaml").write_text(
        f'devices: {{it: {{address: "local:", root: "{tmp_path}/device"}}}}\n'
    )
    model = tiny_onnx.custom(tmp_path / "custom.onnx")
    refused = run(place, "push", model, "--json").error()
    assert refused["code"] == "E_MODEL_COMPILE"
    assert "HouseMade" in refused["message"]
