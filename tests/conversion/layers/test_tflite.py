"""PyTorch against TFLite: real conversions, whole and damaged. (B1.4)"""

from __future__ import annotations

import numpy as np
import pytest

from edgekit.conversion.layers import LayerReport, debug_layers
from edgekit.conversion.layers.tflite_trace import TfliteTracer
from tests.conversion.layers import nets
from tests.conversion.layers.damage import Change, Tflite, scaled, swapped, turned, with_nan

pytestmark = pytest.mark.heavy
TOLERANCE = 1e-5


def compared(name: str, data: bytes) -> LayerReport:
    return debug_layers(nets.source(name), TfliteTracer(data, name), nets.samples(name), TOLERANCE)


@pytest.mark.parametrize(
    ("name", "share"), [("cnn", 0.9), ("encoder", 0.8), ("lstm", 0.95), ("mobile", 0.85)]
)
def test_a_true_conversion_agrees_in_every_layer(name: str, share: float) -> None:
    report = compared(name, nets.tflite(name))
    assert report.state == "agree", report.summary
    assert report.first_bad is None
    assert {row.state for row in report.rows} == {"good"}
    assert {row.how for row in report.rows} == {"value"}
    assert len(report.rows) >= share * report.operators


def test_what_became_one_operator_is_told() -> None:
    """Convolution, norm and activation of the source are one operator of the target, in another layout."""
    report = compared("cnn", nets.tflite("cnn"))
    first = next(row for row in report.rows if row.op == "CONV_2D")
    assert [op.split(".")[1] for op in first.source_ops] == [
        "convolution",
        "_native_batch_norm_legit_no_training",
        "relu",
    ]
    assert first.axes == (0, 2, 3, 1)


WEIGHTED = {
    "cnn": [
        "CONV_2D",
        "CONV_2D",
        "CONV_2D",
        "DEPTHWISE_CONV_2D",
        "CONV_2D",
        "FULLY_CONNECTED",
        "FULLY_CONNECTED",
    ],
    "encoder": ["FULLY_CONNECTED"] * 9,
    "lstm": ["FULLY_CONNECTED"] * 6,
}


def weighted(name: str) -> list[int]:
    ops = Tflite(nets.tflite(name)).ops
    return [
        number for number, op in enumerate(ops) if op in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
    ]


CASES = [(name, place) for name, ops in WEIGHTED.items() for place in range(len(ops))]


@pytest.mark.parametrize(("name", "place"), CASES)
@pytest.mark.parametrize("change", [scaled, with_nan, swapped])
def test_the_damaged_operator_is_named(name: str, place: int, change: Change) -> None:
    """One operator's weights off by 5 %, with one NaN, with two channels exchanged: at every place."""
    model = Tflite(nets.tflite(name))
    number = weighted(name)[place]
    assert model.ops[number] == WEIGHTED[name][place]
    data = model.change(number, change)
    report = compared(name, data)
    assert report.state == "parted"
    assert report.first_bad is not None
    assert (report.first_bad.index, report.first_bad.op) == (number, model.ops[number]), report.summary
    assert report.first_bad.reason == ("not_finite" if change is with_nan else "error")


def test_weights_in_a_wrong_order_are_named() -> None:
    """Rows and columns of a kernel exchanged."""
    model = Tflite(nets.tflite("cnn"))
    for number in (n for n in weighted("cnn") if model.ops[n] == "CONV_2D"):
        if model.graph.tensors[model.graph.operators[number].inputs[1]].shape[1] == 1:
            continue  # 1x1
        report = compared("cnn", Tflite(nets.tflite("cnn")).change(number, turned))
        assert report.first_bad is not None
        assert report.first_bad.index == number, report.summary


@pytest.mark.parametrize("which", [0, 1])
def test_a_wrong_transposition_is_named(which: int) -> None:
    """(B1-b2) Rows and columns exchanged by one TRANSPOSE: all values are still there, only in another order."""
    model = Tflite(nets.tflite("cnn"))
    number = [n for n, op in enumerate(model.ops) if op == "TRANSPOSE"][which]
    orders = {(0, 2, 3, 1): [0, 3, 2, 1], (0, 3, 1, 2): [0, 3, 2, 1]}

    def other(values: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
        return np.array(orders[tuple(int(v) for v in values)], dtype=np.int32)

    report = compared("cnn", model.change(number, other))
    assert report.first_bad is not None
    assert (report.first_bad.index, report.first_bad.reason) == (number, "axes"), report.summary
    assert "wrong order" in report.summary


def test_a_fused_activation_that_is_missing_is_named() -> None:
    """Every convolution once without its relu."""
    for number in weighted("cnn"):
        model = Tflite(nets.tflite("cnn"))
        options = model.graph.operators[number].builtinOptions
        if model.ops[number] not in ("CONV_2D", "DEPTHWISE_CONV_2D") or not options.fusedActivationFunction:
            continue
        options.fusedActivationFunction = 0
        report = compared("cnn", model.packed())
        assert report.first_bad is not None
        named = {report.first_bad.index, *(ref.index for ref in report.first_bad.after)}
        assert number in named, report.summary
        assert report.first_bad.index == number or report.first_bad.between, report.summary


@pytest.mark.parametrize("op", ["ADD", "MUL", "MEAN"])
def test_damage_inside_the_encoder_is_named_or_fenced_in(op: str) -> None:
    """Operators of which the source has none of their own (parts of a layer norm): the first comparable one behind is
    named, with those between it and what is good."""
    whole = Tflite(nets.tflite("encoder"))
    hits = 0
    for number in [n for n, one in enumerate(whole.ops) if one == op]:
        model = Tflite(nets.tflite("encoder"))
        places = model.constants(number)
        if not places or model.graph.tensors[model.graph.operators[number].inputs[places[0]]].type != 0:
            continue
        report = compared("encoder", model.change(number, lambda values: values * 1.5 + 0.01))
        if report.state == "agree":
            continue  # an epsilon, for instance
        hits += 1
        assert report.first_bad is not None
        named = {report.first_bad.index, *(ref.index for ref in report.first_bad.between)}
        assert number in named, report.summary
        assert len(named) <= 8
    assert hits or op == "MEAN"


def test_two_damaged_operators_the_first_is_named() -> None:
    first, second = weighted("cnn")[2], weighted("cnn")[5]
    data = Tflite(Tflite(nets.tflite("cnn")).change(second, scaled)).change(first, scaled)
    report = compared("cnn", data)
    assert report.first_bad is not None
    assert report.first_bad.index == first


def test_damage_that_one_sample_shows_is_found() -> None:
    """A token that only the last sample has."""
    model = Tflite(nets.tflite("encoder"))
    number = model.ops.index("EMBEDDING_LOOKUP")
    tokens = [set(sample[0].ravel().tolist()) for sample in nets.samples("encoder")]
    only = sorted(tokens[-1] - set().union(*tokens[:-1]))
    assert only, "the samples share all tokens"

    def change(values: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
        values[only[0]] += 1
        return values

    report = compared("encoder", model.change(number, change))
    assert report.first_bad is not None
    assert report.first_bad.op == "EMBEDDING_LOOKUP"
