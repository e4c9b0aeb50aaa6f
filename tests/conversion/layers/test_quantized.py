"""What each quantized operator costs (B2.6): known answers, real models, damage that has to be named (B2-b3)."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from rich.console import Console

from edgekit.conversion import ConvertOptions
from edgekit.conversion import convert as work
from edgekit.conversion.layers import (
    LayerReport,
    QuantizedReport,
    layers_html,
    quantized_layers,
    render_quantized,
)
from edgekit.conversion.layers.quantized_measure import BINS, Grid, error_share, tensor_range
from edgekit.conversion.layers.quantized_report import percent, spark
from edgekit.conversion.layers.tflite_probe import TfliteProbe
from edgekit.conversion.targets.tflite_file import code_of, constant_of, listed, packed, unpacked
from tests.conversion.convert import convert
from tests.conversion.models import DIGITS, real_models

Array = np.ndarray[Any, Any]
FLOAT = DIGITS / "digits.tflite"
CONV_2D, FULLY_CONNECTED = 3, 9


def array(*values: float) -> Array:
    return np.array(values, np.float32)


class TestMeasure:
    def test_what_a_grid_holds(self) -> None:
        grid = Grid("int8", 0.5, 3)
        assert (grid.low, grid.high) == (-65.5, 62.0)
        assert grid.rounded(array(0.2, 0.3, 100, -100, np.nan)).tolist() == [0.0, 0.5, 62.0, -65.5, 0.0]
        assert (Grid("uint8", 2, 0).low, Grid("uint8", 2, 0).high) == (0, 510)
        assert Grid("int16", 1, 0).high == 32767

    def test_error_as_a_share(self) -> None:
        assert error_share([array(3, 4)], [array(3, 4)]) == 0.0
        assert error_share([array(3, 4)], [array(3, 4.5)]) == pytest.approx(0.1)
        # over several inferences it is one figure, not a mean of shares
        assert error_share([array(0), array(3, 4)], [array(1), array(3, 4)]) == pytest.approx(0.2)
        assert error_share([array(1, np.inf)], [array(1, np.inf)]) == 0.0

    @pytest.mark.parametrize(
        ("before", "after"),
        [([array(0)], [array(1)]), ([array(1)], [array(1, 2)]), ([array(1)], [array(np.nan)]), ([], [])],
    )
    def test_what_cannot_be_told(self, before: list[Array], after: list[Array]) -> None:
        assert error_share(before, after) is None

    def test_saturation_begins_half_a_step_beyond(self) -> None:
        """Grid -128 ... 127: 127.4 is rounded, 127.6 is cut off."""
        held = tensor_range([array(-128.4, 0, 127.4, 127.6)], [array(-128, 0, 127, 127)], Grid("int8", 1, 0))
        assert held is not None
        assert held.saturated == 0.25
        assert (held.low, held.held_high, held.step) == (pytest.approx(-128.4), 127, 1)
        assert held.used == 1.0
        half = tensor_range([array(0, 63.75)], [array(0, 64)], Grid("uint8", 0.5, 0))
        assert half is not None
        assert half.used == 0.5

    def test_histograms_count_everything_once(self) -> None:
        rng = np.random.default_rng(0)
        x, y = rng.normal(size=(2, 1000)).astype(np.float32)
        held = tensor_range([x[:500], x[500:]], [y[:500], y[500:]], None)
        assert held is not None
        assert held.saturated is None
        assert sum(held.histogram.before) == sum(held.histogram.after) == 1000
        assert len(held.histogram.before) == BINS
        expected = np.histogram(x, np.linspace(held.histogram.low, held.histogram.high, BINS + 1))[0]
        assert held.histogram.before == tuple(expected)

    @pytest.mark.parametrize("value", [0.0, 1e30, -5.0, 1.5e-45])
    def test_a_constant_and_ranges_without_room(self, value: float) -> None:
        held = tensor_range([array(value, value)], [array(value, value)], None)
        assert held is not None
        assert sum(held.histogram.before) == 2
        assert tensor_range([array(np.nan)], [array(1)], None) is None

    def test_words(self) -> None:
        assert [percent(value) for value in (None, 0, 0.00123, 0.5, 3.0)] == [
            "–",
            "0",
            "0.12 %",
            "50 %",
            "300 %",
        ]
        assert spark((0, 0, 1, 0, 0, 100, 0, 0), 4) == " ▁█ "
        assert spark((0, 0)) == ""


@cache
def quantized(recipe: str) -> bytes:
    calibration = DIGITS / "calibration.npz"
    with tempfile.TemporaryDirectory() as folder:
        made = convert(FLOAT, recipe=recipe, calibration=calibration, output=Path(folder) / "o.ekm")
        return made.model_path.read_bytes()


def samples() -> list[list[Array]]:
    images = np.load(DIGITS / "calibration.npz")["image"]
    return [[images[at : at + 1].astype(np.float32)] for at in range(3)]


def report_of(data: bytes) -> QuantizedReport:
    return quantized_layers(
        TfliteProbe(FLOAT.read_bytes(), "float"), TfliteProbe(data, "quantized"), samples()
    )


def test_what_an_operator_inherits_is_told_from_what_it_adds() -> None:
    """Pooling and reshaping add nothing, whatever enters; what leaves one operator enters the next."""
    report = report_of(quantized("int8-static"))
    assert [row.op for row in report.ops] == [
        "QUANTIZE", "CONV_2D", "MAX_POOL_2D", "CONV_2D", "MAX_POOL_2D", "RESHAPE", "FULLY_CONNECTED", "FULLY_CONNECTED",
    ]  # fmt: skip
    for before, after in zip(report.ops, report.ops[1:], strict=False):
        assert after.entering == before.leaving
    for row in report.ops:
        assert row.own is not None
        assert row.leaving is not None
        if row.op in ("MAX_POOL_2D", "RESHAPE"):
            assert row.own == 0
        elif row.op != "QUANTIZE":
            assert 0.001 < row.own < 0.02
            assert 0.001 < (row.weights[0].error or 0) < 0.02
        assert row.range is not None
        assert row.range.saturated == 0
        assert row.range.used is not None
    assert {row.weights[0].scales for row in report.ops if row.weights} == {16, 32, 128, 10}
    assert report.ops[report.worst[0]].own == max(row.own for row in report.ops if row.own is not None)
    assert report.summary.startswith(f"{report.ops[report.worst[0]].op} number ")


def test_dynamic_and_weight_only() -> None:
    """Dynamic operators have float tensors: no grid, but errors and weights. Expanded weights count as what they are
    stored as. The first convolution has 144 weights: the recipe leaves it float."""
    report = report_of(quantized("int8-dynamic"))
    assert [row.op for row in report.ops] == ["CONV_2D", "FULLY_CONNECTED", "FULLY_CONNECTED"]
    assert all(row.range is not None and row.range.held_low is None for row in report.ops)
    assert all(row.weights[0].dtype == "int8" for row in report.ops)
    from tests.conversion.test_takeable import quantized as made

    only = report_of(made(lambda m, ops: m.add_weight_only_config(".*", ops.FULLY_CONNECTED, num_bits=8)))
    assert [row.op for row in only.ops] == ["FULLY_CONNECTED", "FULLY_CONNECTED"]
    for row in only.ops:
        assert row.weights[0].dtype == "int8"
        assert row.own is not None
        assert row.own == pytest.approx(row.weights[0].error, rel=1)


def test_the_float_model_itself_has_nothing() -> None:
    report = report_of(FLOAT.read_bytes())
    assert report.ops == ()
    assert report.summary == "no operator of the model is quantized"


def damaged(number: int, change: Callable[[Any, Any, Any], None]) -> bytes:
    """The int8-static file with one of its weighted operators changed: change(model, graph, operator)."""
    data = quantized("int8-static")
    model = unpacked(data)
    graph = model.subgraphs[0]
    heavy = [op for op in graph.operators if code_of(model, op) in (CONV_2D, FULLY_CONNECTED)]
    change(model, graph, heavy[number])
    return packed(model, len(data))


def _values(model: Any, tensor: Any, dtype: str) -> Array:
    data = np.array(constant_of(model, tensor), np.uint8)
    model.buffers[tensor.buffer].data = data
    found: Array = data.view(dtype)
    return found


def wrong_scale(model: Any, graph: Any, operator: Any) -> None:
    tensor = graph.tensors[listed(operator.inputs)[1]]
    tensor.quantization.scale = [1.3 * scale for scale in listed(tensor.quantization.scale)]


def saturating_bias(model: Any, graph: Any, operator: Any) -> None:
    """One channel's bias larger than the output can hold."""
    bias = _values(model, graph.tensors[listed(operator.inputs)[2]], "<i4")
    bias[0] = 1 << 24


def per_tensor(model: Any, graph: Any, operator: Any) -> None:
    """Weights requantized with one scale for all channels, 4 bits of them: what a coarse quantizer leaves."""
    tensor = graph.tensors[listed(operator.inputs)[1]]
    weights = _values(model, tensor, "i1")
    scales = np.array(listed(tensor.quantization.scale)).reshape(-1, *[1] * (len(listed(tensor.shape)) - 1))
    shaped = weights.reshape(listed(tensor.shape))
    step = np.abs(shaped * scales).max() / 7
    shaped[...] = np.clip(np.rint(np.rint(shaped * scales / step) * step / scales), -127, 127).astype(np.int8)


def clipping(model: Any, graph: Any, operator: Any) -> None:
    """The output holds half of what it has to, as a moving average of the range would leave it; its readers know."""
    tensor = graph.tensors[listed(operator.outputs)[0]]
    tensor.quantization.scale = [0.5 * scale for scale in listed(tensor.quantization.scale)]


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("change", [wrong_scale, saturating_bias, per_tensor])
def test_the_damaged_operator_is_the_worst(number: int, change: Callable[[Any, Any, Any], None]) -> None:
    """(B2-b3) One operator damaged: it is named, though everything behind it is off as well."""
    good, bad = report_of(quantized("int8-static")), report_of(damaged(number, change))
    heavy = [place for place, row in enumerate(good.ops) if row.weights]
    assert bad.worst[0] == heavy[number]
    assert (bad.ops[bad.worst[0]].own or 0) > 3 * (good.ops[bad.worst[0]].own or 1)
    for other in heavy[number + 1 :]:
        assert (bad.ops[other].own or 0) < 2 * (good.ops[other].own or 0)


@pytest.mark.parametrize("number", [2, 3])
def test_clipping_shows_as_saturation(number: int) -> None:
    """(B2-b3) A range that was cut: the share beyond it is told, at the operator whose range it is."""
    report = report_of(damaged(number, clipping))
    heavy = [row for row in report.ops if row.weights]
    saturated = heavy[number].range
    assert saturated is not None
    assert saturated.saturated is not None
    assert saturated.saturated > 0.001
    assert "saturates most" in report.summary
    assert report.ops[report.worst[0]] == heavy[number]


def test_wide_real_model(tmp_path: Path) -> None:
    """95 quantized operators with skip connections: nearly all can be run alone, and the page stays small."""
    source = real_models()["mediapipe/face_detection_short_range"]
    rng = np.random.default_rng(1)
    np.savez(tmp_path / "c.npz", input=rng.random((4, 128, 128, 3), np.float32))
    options = ConvertOptions(recipe="int8-static", calibration=tmp_path / "c.npz", cache=False)
    layers = work(source, options=options, output=tmp_path / "o.ekm", debug_layers=True).layers
    assert layers is not None
    assert layers.quantized is not None
    report = layers.quantized
    assert len(report.ops) > 80
    assert sum(row.own is not None for row in report.ops) > 0.95 * len(report.ops)
    assert len(layers_html(layers)) < 400_000
    assert msgspec.json.decode(layers.to_json(), type=LayerReport) == layers


def test_names_from_outside_stay_text() -> None:
    """(B1-b3) Tensors and operators are called whatever the file says."""
    evil = '<script>alert("x")</script>\u202e[red]'
    report = report_of(quantized("int8-static"))
    renamed = tuple(
        msgspec.structs.replace(
            row,
            op=evil,
            name=evil,
            weights=tuple(msgspec.structs.replace(w, name=evil, dtype=evil) for w in row.weights),
        )
        for row in report.ops
    )
    report = msgspec.structs.replace(report, ops=renamed, summary=evil, notes=(evil,))
    layers = LayerReport(
        source="a", target="b", samples=1, tolerance=1e-5, layer_tolerance=1e-4, state="agree", summary="", first_bad=None,
        rows=(), unmatched=(), operators=0, quantized=report,
    )  # fmt: skip
    page = layers_html(layers)
    assert "<script" not in page
    assert "\u202e" not in page
    console = Console(width=80, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(render_quantized(report, limit=4))
    text = console.export_text()
    assert "[red]" in text
    assert "4 of 8 quantized operators" in text.replace("\n", " ")
