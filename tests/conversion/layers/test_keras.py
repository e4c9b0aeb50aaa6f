"""Keras against TFLite by tf.lite: whole and damaged. (B1.4)"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from edgekit.conversion.extras import quiet
from edgekit.conversion.layers import debug_layers
from edgekit.conversion.layers.keras_trace import TensorflowTracer
from edgekit.conversion.layers.tflite_trace import TfliteTracer
from tests.conversion.layers.damage import Tflite, scaled, with_nan
from tests.conversion.layers.nets import Remembering

pytestmark = pytest.mark.heavy


@cache
def converted(name: str) -> tuple[Remembering, bytes, list[list[np.ndarray[Any, Any]]]]:
    """A tracer of a Keras model, its .tflite, and samples."""
    keras = pytest.importorskip("keras")
    tf = pytest.importorskip("tensorflow")
    keras.utils.set_random_seed(3)
    rng = np.random.default_rng(2)
    layers = keras.layers
    if name == "cnn":
        start = layers.Input((12, 12, 3), name="image", batch_size=1)
        x = layers.Conv2D(8, 3, padding="same", name="stem")(start)
        x = layers.ReLU()(layers.BatchNormalization()(x))
        block = [
            layers.DepthwiseConv2D(3, padding="same", name="deep"),
            layers.Conv2D(8, 1, activation="relu", name="point"),
        ]
        x = layers.Add(name="sum")([x, keras.Sequential(block, name="inner")(x)])
        end = layers.Dense(10, activation="softmax", name="head")(layers.Flatten()(layers.MaxPooling2D()(x)))
        samples = [[rng.random((1, 12, 12, 3)).astype(np.float32)] for _ in range(3)]
    else:
        start = layers.Input((6, 4), name="steps", batch_size=1)
        x = layers.LSTM(8, name="memory")(layers.Dense(6, name="first")(start))
        end = layers.Dense(3, name="head")(x)
        samples = [[rng.random((1, 6, 4)).astype(np.float32)] for _ in range(3)]
    model = keras.Model(start, end)
    for weight in model.trainable_weights:
        weight.assign(weight + 0.1 * rng.standard_normal(weight.shape).astype(np.float32))

    def call(**values: Any) -> dict[str, Any]:
        return {"head": model(values[start.name], training=False)}

    spec = {start.name: tf.TensorSpec(start.shape, "float32", name=start.name)}
    with quiet():
        function = tf.function(call).get_concrete_function(**spec)
        data = tf.lite.TFLiteConverter.from_keras_model(model).convert()
    return Remembering(TensorflowTracer(function, [start.name], ["head"])), data, samples


@pytest.mark.parametrize("name", ["cnn", "lstm"])
def test_a_true_conversion_agrees(name: str) -> None:
    source, data, samples = converted(name)
    report = debug_layers(source, TfliteTracer(data, name), samples, 1e-5)
    assert report.state == "agree", report.summary
    assert {row.state for row in report.rows} == {"good"}
    if name == "cnn":
        assert len(report.rows) >= 0.9 * report.operators
        assert any("inner/deep" in row.where for row in report.rows)


@pytest.mark.parametrize("op", ["CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"])
@pytest.mark.parametrize("change", [scaled, with_nan])
def test_the_damaged_operator_is_named(op: str, change: Any) -> None:
    source, data, samples = converted("cnn")
    for number in [n for n, one in enumerate(Tflite(data).ops) if one == op]:
        damaged = Tflite(data).change(number, change)
        report = debug_layers(source, TfliteTracer(damaged, "cnn"), samples, 1e-5)
        assert report.first_bad is not None
        assert (report.first_bad.index, report.first_bad.op) == (number, op), report.summary


def test_damage_behind_a_loop_is_named() -> None:
    """What is inside a loop is not seen; what is before and behind it is."""
    source, data, samples = converted("lstm")
    for number in [n for n, one in enumerate(Tflite(data).ops) if one == "FULLY_CONNECTED"]:
        damaged = Tflite(data).change(number, scaled)
        report = debug_layers(source, TfliteTracer(damaged, "lstm"), samples, 1e-5)
        assert report.first_bad is not None
        assert report.first_bad.index == number, report.summary
