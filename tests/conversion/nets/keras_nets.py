"""The matrix's nets in Keras, channels last: functional models, the same at every call and as healthy as torch_nets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers

SAMPLES = 16


def cnn() -> keras.Model:
    """float32 [N, 28, 28, 1] to 10 scores."""
    keras.utils.set_random_seed(1)
    image = keras.Input((28, 28, 1), name="image")
    x = layers.MaxPooling2D()(layers.Conv2D(8, 3, padding="same", activation="relu")(image))
    x = layers.MaxPooling2D()(layers.Conv2D(16, 3, padding="same", activation="relu")(x))
    x = layers.Dense(32, activation="relu")(layers.Flatten()(x))
    model = keras.Model(image, layers.Dense(10, name="scores")(x), name="cnn")
    return _healthy(model, np.random.default_rng(1).random((SAMPLES, 28, 28, 1), np.float32))


def mobilenet() -> keras.Model:
    """float32 [N, 96, 96, 3] to 10 scores."""
    keras.utils.set_random_seed(2)
    image = keras.Input((96, 96, 3), name="image")
    x = layers.ReLU(6)(_normed(layers.Conv2D(8, 3, 2, padding="same", use_bias=False), image))
    # no deeper: float16 throughout (Core ML) would come to 0.002 of the largest value, the limit, on some processors
    for outputs, stride, widen in ((12, 1, 1), (16, 2, 4), (16, 1, 4), (24, 2, 4)):
        x = _inverted(x, outputs, stride, widen)
    x = layers.ReLU(6)(_normed(layers.Conv2D(64, 1, use_bias=False), x))
    scores = layers.Dense(10, name="scores")(layers.GlobalAveragePooling2D()(x))
    return _healthy(keras.Model(image, scores, name="mobilenet"), _pictures(96, 3))


def encoder() -> keras.Model:
    """int32 tokens [N, 32] below 100 to 10 scores. Positions are told by a bias for each of them."""
    keras.utils.set_random_seed(3)
    tokens = keras.Input((32,), dtype="int32", name="tokens")
    spread = keras.initializers.RandomNormal(stddev=1.0, seed=3)
    x = layers.Embedding(100, 64, embeddings_initializer=spread)(tokens)
    x = layers.EinsumDense("btd,de->bte", (32, 64), bias_axes="te", bias_initializer=spread)(x)
    for _ in range(2):
        y = layers.LayerNormalization()(x)
        x = layers.Add()([x, layers.MultiHeadAttention(4, 16)(y, y)])
        y = layers.Dense(128, activation="gelu")(layers.LayerNormalization()(x))
        x = layers.Add()([x, layers.Dense(64)(y)])
    x = layers.GlobalAveragePooling1D()(layers.LayerNormalization()(x))
    model = keras.Model(tokens, layers.Dense(10, name="scores")(x), name="encoder")
    return _healthy(model, np.random.default_rng(3).integers(0, 100, (SAMPLES, 32), np.int32))


def lstm() -> keras.Model:
    """float32 [N, 20, 16] to 8 scores, from the last step."""
    keras.utils.set_random_seed(4)
    steps = keras.Input((20, 16), name="steps")
    model = keras.Model(steps, layers.Dense(8, name="scores")(layers.LSTM(32)(steps)), name="lstm")
    return _healthy(model, np.random.default_rng(4).standard_normal((SAMPLES, 20, 16), np.float32))


NETS: dict[str, Callable[[], keras.Model]] = {
    "cnn": cnn, "mobilenet": mobilenet, "encoder": encoder, "lstm": lstm,
}  # fmt: skip


def _normed(layer: Any, x: Any) -> Any:
    return layers.BatchNormalization()(layer(x))


def _inverted(x: Any, outputs: int, stride: int, widen: int) -> Any:
    inputs = int(x.shape[-1])
    y = layers.ReLU(6)(_normed(layers.Conv2D(inputs * widen, 1, use_bias=False), x))
    y = layers.ReLU(6)(_normed(layers.DepthwiseConv2D(3, stride, padding="same", use_bias=False), y))
    y = _normed(layers.Conv2D(outputs, 1, use_bias=False), y)
    return layers.Add()([x, y]) if stride == 1 and inputs == outputs else y


def _pictures(size: int, channels: int) -> Any:
    """Smooth pictures in 0..1: white noise looks the same to a net that averages over all of it."""
    coarse = np.random.default_rng(2).random((SAMPLES, 6, 6, channels), np.float32)
    return np.asarray(keras.ops.image.resize(coarse, (size, size), interpolation="bilinear"))


def _healthy(model: keras.Model, samples: Any) -> keras.Model:
    """As torch_nets._healthy; biases that start at zero get values too, as a swapped one would not show."""
    random = np.random.default_rng(9)
    norms = [layer for layer in model.layers if isinstance(layer, layers.BatchNormalization)]
    for norm in norms:
        norm.gamma.assign(random.uniform(0.7, 1.3, norm.gamma.shape))
        norm.beta.assign(random.normal(0, 0.2, norm.beta.shape))
        norm.momentum = 0.0  # statistics become those of this batch
    for variable in model.trainable_variables:
        if variable.name == "bias" and not np.any(variable.numpy()):
            variable.assign(random.normal(0, 0.1, variable.shape))
    model(samples, training=True)
    for norm in norms:
        norm.momentum = 0.99
    head = model.get_layer("scores")
    spread = np.std(np.asarray(model(samples)) - head.bias.numpy())
    head.kernel.assign(head.kernel.numpy() / spread)
    return model
