"""PyTorch against ONNX, and ONNX against TFLite: real conversions, whole and damaged. (B1.4)"""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.conversion.layers import LayerReport, debug_layers
from edgekit.conversion.layers.onnx_trace import OnnxTracer
from edgekit.conversion.layers.tflite_trace import TfliteTracer
from edgekit.errors import ModelError
from tests.conversion.layers import nets
from tests.conversion.layers.damage import Change, Tflite, onnx_changed, onnx_weighted, scaled, with_nan

pytestmark = pytest.mark.heavy


def compared(name: str, data: bytes, folder: Path) -> LayerReport:
    path = folder / "model.onnx"
    path.write_bytes(data)
    return debug_layers(nets.source(name), OnnxTracer(path), nets.samples(name), 1e-5)


@pytest.mark.parametrize(("name", "share"), [("cnn", 0.9), ("encoder", 0.9), ("lstm", 0.7)])
def test_a_true_conversion_agrees_in_every_layer(name: str, share: float, tmp_path: Path) -> None:
    report = compared(name, nets.onnx(name), tmp_path)
    assert report.state == "agree", report.summary
    assert {row.state for row in report.rows} == {"good"}
    assert len(report.rows) >= share * report.operators


@pytest.mark.parametrize("change", [scaled, with_nan])
@pytest.mark.parametrize("place", range(7))
def test_the_damaged_node_is_named(place: int, change: Change, tmp_path: Path) -> None:
    number, op = [(number, op) for number, op in onnx_weighted(nets.onnx("cnn")) if op in ("Conv", "Gemm")][
        place
    ]
    report = compared("cnn", onnx_changed(nets.onnx("cnn"), number, change), tmp_path)
    assert report.first_bad is not None
    assert (report.first_bad.index, report.first_bad.op) == (number, op), report.summary


def test_an_activation_that_does_nothing_is_named(tmp_path: Path) -> None:
    """Limits that clip nothing: what Clip gives is the convolution's result, which the source has too."""
    number = next(number for number, op in onnx_weighted(nets.onnx("cnn")) if op == "Clip")
    report = compared("cnn", onnx_changed(nets.onnx("cnn"), number, lambda values: values - 1000), tmp_path)
    assert report.first_bad is not None
    assert (report.first_bad.index, report.first_bad.reason) == (number, "missing"), report.summary


def test_every_weighted_node_of_the_encoder_is_named(tmp_path: Path) -> None:
    found = onnx_weighted(nets.onnx("encoder"))
    assert len(found) > 15
    for number, op in found:
        report = compared(
            "encoder", onnx_changed(nets.onnx("encoder"), number, lambda v: v * 1.5 + 0.01), tmp_path
        )
        assert report.first_bad is not None, (number, op)
        named = {report.first_bad.index, *(ref.index for ref in report.first_bad.between)}
        assert number in named, report.summary


def test_an_onnx_source_against_tflite(tmp_path: Path) -> None:
    """The source's operators are ONNX's, the target came from PyTorch: the same net all the same."""
    path = tmp_path / "model.onnx"
    path.write_bytes(nets.onnx("cnn"))
    source, inputs = OnnxTracer(path), nets.samples("cnn")
    whole = debug_layers(source, TfliteTracer(nets.tflite("cnn"), "cnn"), inputs, 1e-5)
    assert whole.state == "agree"
    model = Tflite(nets.tflite("cnn"))
    number = model.ops.index("DEPTHWISE_CONV_2D")
    damaged = debug_layers(source, TfliteTracer(model.change(number, scaled), "cnn"), inputs, 1e-5)
    assert damaged.first_bad is not None
    assert damaged.first_bad.index == number
    assert "Conv" in damaged.first_bad.source_ops


def test_weights_in_another_file_are_found(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load_from_string(nets.onnx("cnn"))
    path = tmp_path / "folder" / "model.onnx"
    path.parent.mkdir()
    onnx.save(model, path, save_as_external_data=True, location="weights.bin", size_threshold=16)
    assert (path.parent / "weights.bin").stat().st_size > 1000
    report = debug_layers(nets.source("cnn"), OnnxTracer(path), nets.samples("cnn"), 1e-5)
    assert report.state == "agree"
    assert len(report.rows) > 10


def test_a_file_that_is_no_model_is_an_error_of_the_input(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"not a model at all")
    with pytest.raises(ModelError) as caught:
        OnnxTracer(path)
    assert caught.value.code == "E_MODEL_LOAD"
