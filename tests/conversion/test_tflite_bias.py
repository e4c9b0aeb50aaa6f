"""Channels with next to no weights, whose bias the quantizer lets overflow (B2-b3: a saturating bias)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgekit.conversion.targets import tflite
from edgekit.conversion.targets.tflite_bias import with_room_for_biases
from edgekit.conversion.targets.tflite_graph import read_graphs
from edgekit.errors import VerificationError
from tests.conversion.build import dense
from tests.conversion.convert import convert

pytest.importorskip("ai_edge_quantizer.quantizer")
RNG = np.random.default_rng(11)


def source(folder: Path, tiny: float) -> tuple[Path, Path]:
    """y = x W^T + 0.7 over 32 rows; rows 3 and 8 are `tiny`. And calibration data."""
    weights = RNG.normal(size=(32, 64)).astype(np.float32)
    weights[[3, 8]] = tiny
    model, data = folder / "m.tflite", folder / "c.npz"
    model.write_bytes(dense(weights, bias=0.7))
    np.savez(data, x=RNG.normal(size=(20, 64)).astype(np.float32))
    return model, data


@pytest.mark.parametrize("tiny", [0.0, 1e-20, -1e-12])
def test_a_dead_channel_keeps_its_bias(tmp_path: Path, tiny: float) -> None:
    model, data = source(tmp_path, tiny)
    made = convert(model, recipe="int8-static", calibration=data, output=tmp_path / "o.ekm")
    assert made.manifest.verification.state == "passed"
    assert any(note.startswith("2 channels with next to no weights") for note in made.manifest.notes)
    graph = read_graphs(made.model_path.read_bytes())[0]
    operator = next(op for op in graph.operators if op.name == "FULLY_CONNECTED")
    weight, bias = graph.weight(operator), graph.bias(operator)
    assert weight is not None
    assert bias is not None
    step = graph.tensors[operator.inputs[0]].scale[0] * weight.scale
    np.testing.assert_allclose(bias.values() * step, 0.7, rtol=0.02)
    assert not weight.values()[[3, 8]].any()
    np.testing.assert_allclose(bias.scale, step, rtol=1e-6)


def test_without_it_the_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the quantizer makes alone: a bias of the wrong sign, which the check of the file finds."""
    monkeypatch.setattr(tflite, "with_room_for_biases", lambda data, before: (data, 0))
    model, data = source(tmp_path, 0.0)
    with pytest.raises(VerificationError, match="the bias is off by up to") as caught:
        convert(model, recipe="int8-static", calibration=data, output=tmp_path / "o.ekm")
    assert caught.value.code == "E_RECIPE_NOT_MET"


def test_a_file_that_needs_nothing_stays_byte_for_byte(tmp_path: Path) -> None:
    model, data = source(tmp_path, 0.5)
    made = convert(model, recipe="int8-static", calibration=data, output=tmp_path / "o.ekm")
    quantized = made.model_path.read_bytes()
    assert with_room_for_biases(quantized, read_graphs(model.read_bytes())) == (quantized, 0)
