"""A data set scored on the device (D1.9): the real runner, this machine as the device."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from msgspec import structs

import edgekit
from edgekit import benchmarking as edgekit_benchmarking
from edgekit.benchmarking import evaluation
from edgekit.benchmarking.evaluation import Evaluated, evaluate, load_evaluation
from edgekit.deployment import Release, release_on_device
from edgekit.deployment.runtime_there import choose, install
from edgekit.devices import Device
from edgekit.errors import InputError
from edgekit.events import ignore
from tests.cli.running import edgekit as run

pytestmark = pytest.mark.usefixtures("own_local")

pytest.importorskip("ai_edge_litert", reason="a converter is needed")
DIGITS = Path(__file__).parents[2] / "examples/digits"
DATA = DIGITS / "evaluation.npz"


def pushed(device: Device, recipe: str) -> tuple[Release, edgekit.Artifact]:
    artifact = edgekit.convert(
        DIGITS / "digits.tflite",
        recipe=recipe,
        calibration=str(DIGITS / "calibration.npz"),
        evaluation=str(DATA),
    )
    sent = edgekit.push(artifact, device, name=f"digits-{recipe}", smoke=False)
    return release_on_device(device, sent.name, sent.version), artifact


def score(release: Release, device: Device, data: Path = DATA) -> Evaluated:
    signature, loaded = load_evaluation(release, device, data)
    with device.leased("evaluate", 10), device.scratch() as scratch:
        installed = install(device, choose(device, "tflite", None), ignore)
        return evaluate(release, signature, loaded, device, installed, scratch, threads=1, sink=ignore)


@pytest.mark.parametrize("recipe", ["float32", "int8-static"])
def test_the_device_scores_what_the_conversion_found(recipe: str, tmp_path: Path) -> None:
    with edgekit.connect("local:") as device:
        release, artifact = pushed(device, recipe)
        found = score(release, device)
    expected = artifact.manifest.verification.accuracy
    assert expected is not None
    assert (found.metric, found.samples) == ("top1", expected.samples)
    assert found.value == pytest.approx(expected.value, abs=1.5 / expected.samples)
    assert found.value > 0.8


def test_wrong_labels_score_badly_and_several_chunks_give_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with np.load(DATA) as archive:
        arrays = {name: archive[name] for name in archive.files}
    wrong = tmp_path / "wrong.npz"
    np.savez(wrong, **{**arrays, "labels": (arrays["labels"] + 1) % 10})
    with edgekit.connect("local:") as device:
        release, _ = pushed(device, "float32")
        whole = score(release, device)
        monkeypatch.setattr(evaluation, "CHUNK_BYTES", 2_000_000)  # four launches, the last one shorter
        assert score(release, device) == whole
        assert score(release, device, wrong).value < 0.1


def test_data_that_cannot_be_scored_is_refused(tmp_path: Path) -> None:
    with np.load(DATA) as archive:
        arrays = {name: archive[name] for name in archive.files if name != "labels"}
    unlabelled = tmp_path / "unlabelled.npz"
    np.savez(unlabelled, **arrays)
    with edgekit.connect("local:") as device:
        release, _ = pushed(device, "float32")
        with pytest.raises(InputError, match="neither labels nor targets") as caught:
            load_evaluation(release, device, unlabelled)
    assert caught.value.code == "E_EVALUATION"


def test_labels_that_no_output_has_are_refused_before_anything_is_measured(tmp_path: Path) -> None:
    with np.load(DATA) as archive:
        arrays = {name: archive[name] for name in archive.files}
    outside = tmp_path / "outside.npz"
    np.savez(outside, **{**arrays, "labels": arrays["labels"] + 1})
    with edgekit.connect("local:") as device:
        release, _ = pushed(device, "float32")
        with pytest.raises(InputError) as caught:
            load_evaluation(release, device, outside)
    assert caught.value.code == "E_DATA_LABELS"


def test_a_score_is_compared_with_the_sources_on_the_same_data_only(tmp_path: Path) -> None:
    with np.load(DATA) as archive:
        arrays = {name: archive[name] for name in archive.files}
    other = tmp_path / "other.npz"
    np.savez(other, **{name: array[::-1] for name, array in arrays.items()})
    quick = edgekit_benchmarking.BenchOptions(launches=1, iterations=5, min_seconds=0.0)
    with edgekit.connect("local:") as device:
        release, _ = pushed(device, "int8-static")
        same, different = (
            edgekit.bench(
                release, device, options=structs.replace(quick, evaluation=str(data)), store=False
            ).accuracy
            for data in (DATA, other)
        )
    assert same.source_value is not None
    assert different.source_value is None
    assert different.data_sha256 != same.data_sha256
    assert different.value == same.value, "the same samples in another order"


def test_bench_scores_on_the_device_and_a_gate_holds_for_it(tmp_path: Path) -> None:
    quick = ("--launches", "3", "--iterations", "20", "--min-seconds", "0")
    done = run("bench", DIGITS / "digits.tflite", "-d", "local:", *quick, "--evaluation", DATA, "--gate", "accuracy>=0.95", "--json")  # fmt: skip
    record = done.ok().json()
    assert (record["accuracy"]["scored_on"], record["accuracy"]["metric"]) == ("device", "top1")
    assert record["accuracy"]["value"] > 0.95
    assert record["gates"][0]["passed"] is True
    missing = run("bench", DIGITS / "digits.tflite", "-d", "local:", *quick, "--evaluation", tmp_path / "none.npz", "--json")  # fmt: skip
    assert (missing.code, missing.error()["code"]) == (1, "E_DATA_MISSING")
