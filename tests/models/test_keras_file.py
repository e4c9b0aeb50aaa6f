"""The .keras reader: the same layers as Keras sees, and what would run code is named (B1-b3)."""

from __future__ import annotations

import json
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.models import open_model
from edgekit.models.keras_file import facts_of_config, keras_config, read_keras, unsafe_reasons
from tests.models.hostile import bounds, every_byte, every_cut, outcome, zipped

base = pytest.mark.base


def layer(kind: str, name: str, module: str | None = "keras.layers", **config: Any) -> dict[str, Any]:
    return {"module": module, "class_name": kind, "config": {"name": name, **config}, "registered_name": None}


CONFIG: dict[str, Any] = {
    "module": "keras",
    "class_name": "Sequential",
    "config": {
        "name": "sequential",
        "layers": [
            layer("InputLayer", "image", batch_shape=[None, 8, 8, 1], dtype="float32"),
            layer("Dense", "logits", units=3, activation="relu"),
        ],
    },
}


def made(path: Path, config: object = CONFIG, method: int = zipfile.ZIP_STORED) -> Path:
    data = config if isinstance(config, bytes) else json.dumps(config).encode()
    metadata = json.dumps({"keras_version": "3.15.1"}).encode()
    entries = {"metadata.json": metadata, "config.json": data, "model.weights.h5": b"\x89HDF"}
    return zipped(path, entries, method)


@base
def test_a_small_model(tmp_path: Path) -> None:
    info = open_model(made(tmp_path / "m"))
    assert info.format == "keras"
    assert info.description == "Keras 3.15.1"
    assert info.operators == {"InputLayer": 1, "Dense": 1}
    assert info.signature is not None
    assert [(s.name, s.dtype, s.shape) for s in info.signature.inputs] == [
        ("image", "float32", (-1, 8, 8, 1))
    ]
    assert info.trust == ()


@base
@pytest.mark.parametrize(
    ("found", "word"),
    [
        (layer("Lambda", "f"), "Lambda"),
        (layer("TFSMLayer", "f", filepath="/tmp/x"), "SavedModel"),
        (layer("TorchModuleWrapper", "f"), "unpickles"),
        ({"class_name": "__lambda__", "config": {"code": "4wEA"}}, "bytecode"),
        (
            layer("Dense", "f", activation={"module": "os", "class_name": "function", "config": "system"}),
            "os",
        ),
        (layer("Mine", "f", module="my.layers"), "my.layers"),
        (layer("Mine", "f", module="keras_evil"), "keras_evil"),
        (layer("get_file", "f", module="keras.utils"), "keras.utils"),
        (layer("utils.get_file", "f", module="keras"), "more than one part"),
        ({**layer("Mine", "f", module=None), "registered_name": "mine>Mine"}, "mine>Mine"),
        (layer("StringLookup", "f", vocabulary="/etc/passwd"), "/etc/passwd"),
        ({"class_name": "__typespec__", "spec_name": "X", "module": "m", "config": []}, "TensorFlow"),
    ],
)
def test_what_would_run_code_is_named_at_any_depth(tmp_path: Path, found: dict[str, Any], word: str) -> None:
    inner = layer("Bidirectional", "wrap", layer=layer("TimeDistributed", "in", layer=[{"deep": found}]))
    config = {**CONFIG, "config": {"name": "s", "layers": [inner]}}
    for each in (config, {**CONFIG, "compile_config": {"loss": found}}):
        assert any(word in reason for reason in unsafe_reasons(each))
        assert any(word in reason for reason in open_model(made(tmp_path / "m", each), use_cache=False).trust)


@base
def test_the_config_of_an_h5_file() -> None:
    """Keras 2 wrote no modules."""
    config = {
        "class_name": "Sequential",
        "config": {
            "name": "s",
            "layers": [
                {
                    "class_name": "InputLayer",
                    "config": {"batch_input_shape": [None, 4], "name": "x", "dtype": "float32"},
                },
                {"class_name": "Dense", "config": {"name": "d", "trainable": True}},
                {
                    "class_name": "Lambda",
                    "config": {"name": "l", "trainable": True, "function_type": "lambda"},
                },
            ],
        },
    }
    facts = facts_of_config(config)
    assert facts.operators == {"InputLayer": 1, "Dense": 1, "Lambda": 1}
    assert facts.signature is not None
    assert facts.signature.inputs[0].shape == (-1, 4)
    assert len(facts.trust) == 1


@base
@pytest.mark.parametrize(
    "config",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"a": ' + b"[" * 100_000,
        b"[" * 5_000_000,
        b"[],[]" * 5_000_000,
    ],
    ids=["empty", "cut", "list", "null", "bytes", "deep", "deeper", "parts"],
)
def test_configs_that_are_none(tmp_path: Path, config: bytes) -> None:
    path = made(tmp_path / "m", config, zipfile.ZIP_DEFLATED)
    with bounds(seconds=20, megabytes=150):
        assert outcome(lambda: read_keras(path)) == "E_MODEL_CORRUPT"


@base
def test_a_config_nested_too_deep(tmp_path: Path) -> None:
    deep: Any = {}
    for _ in range(400):
        deep = {"layer": deep}
    assert outcome(lambda: read_keras(made(tmp_path / "m", {**CONFIG, "x": deep}))) == "E_MODEL_CORRUPT"


@base
@pytest.mark.parametrize("shape", [[1 << 40, 1 << 40], [-7], [1] * 100])
def test_absurd_shapes(tmp_path: Path, shape: list[int]) -> None:
    config = {**CONFIG, "config": {"layers": [layer("InputLayer", "x", batch_shape=shape)]}}
    assert outcome(lambda: read_keras(made(tmp_path / "m", config))) == "E_MODEL_CORRUPT"


@base
def test_a_config_of_a_hundred_megabytes(tmp_path: Path) -> None:
    path = made(tmp_path / "m", b" " * (100 << 20) + b"{}", zipfile.ZIP_DEFLATED)
    with bounds(seconds=10, megabytes=100):
        assert outcome(lambda: keras_config(path)) == "E_MODEL_ARCHIVE"


@base
def test_cut_and_changed(tmp_path: Path) -> None:
    data = made(tmp_path / "whole").read_bytes()
    assert "ok" not in every_cut(data, tmp_path / "m", lambda path: open_model(path, use_cache=False))
    with bounds(seconds=60):
        every_byte(data, tmp_path / "m", read_keras)


@base
@settings(max_examples=200, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "class_name",
                        "config",
                        "module",
                        "layers",
                        "name",
                        "batch_shape",
                        "dtype",
                        "build_config",
                        "input_shape",
                    ]
                ),
                inner,
                max_size=5,
            )
        ),
        max_leaves=30,
    )
)
def test_any_json(tmp_path_factory: pytest.TempPathFactory, config: object) -> None:
    path = made(tmp_path_factory.getbasetemp() / "any.keras", config)
    outcome(lambda: read_keras(path))


@pytest.mark.heavy
def test_agrees_with_keras(tmp_path: Path) -> None:
    keras = pytest.importorskip("keras")
    image = keras.Input((8, 8, 1), name="image")
    other = keras.Input((3,), name="other", dtype="float32")
    x = keras.layers.Flatten()(keras.layers.Conv2D(4, 3, activation="relu", kernel_regularizer="l2")(image))
    x = keras.layers.Dense(3)(x) + keras.layers.Dense(3)(other)
    model = keras.Model([image, other], x)
    model.compile(optimizer="adam", loss="mse", metrics=["mae"])
    model.save(tmp_path / "m.keras")
    facts = read_keras(tmp_path / "m.keras")
    assert facts.operators == dict(sorted(Counter(type(each).__name__ for each in model.operations).items()))
    assert facts.signature is not None
    assert {s.name: s.shape for s in facts.signature.inputs} == {"image": (-1, 8, 8, 1), "other": (-1, 3)}
    assert facts.trust == ()
    assert facts.version == keras.__version__


@pytest.mark.heavy
def test_recurrent_and_wrapped_layers_are_not_called_unsafe(tmp_path: Path) -> None:
    keras = pytest.importorskip("keras")
    model = keras.Sequential(
        [
            keras.Input((5, 4)),
            keras.layers.Bidirectional(keras.layers.LSTM(3, return_sequences=True)),
            keras.layers.TimeDistributed(keras.layers.Dense(2, activation=keras.activations.gelu)),
            keras.layers.BatchNormalization(),
            keras.layers.LayerNormalization(),
            keras.layers.Activation("softmax"),
        ]
    )
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.9))
    model.compile(optimizer=optimizer, loss=keras.losses.MeanSquaredError())
    model.save(tmp_path / "m.keras")
    facts = read_keras(tmp_path / "m.keras")
    assert facts.trust == ()
    assert {"Bidirectional", "LSTM", "TimeDistributed", "Dense"} <= facts.operators.keys()


@pytest.mark.heavy
def test_a_lambda_that_keras_wrote(tmp_path: Path) -> None:
    keras = pytest.importorskip("keras")
    given = keras.Input((4,))
    keras.Model(given, keras.layers.Lambda(lambda x: x * 2)(given)).save(tmp_path / "m.keras")
    assert any("Lambda" in reason for reason in open_model(tmp_path / "m.keras").trust)
