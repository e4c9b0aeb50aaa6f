"""The trained networks as every tool takes them, with the same weights: .keras for TFLite, .pt2 for ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from benchmarks.quantization_data import Images
from benchmarks.quantization_nets import (
    CLASSES,
    HEAD,
    HEADS,
    HIDDEN,
    LAYERS,
    NETS,
    PATCH,
    PIXELS,
    STEM,
    WIDTH,
    Weights,
    as_nchw,
    blocks,
)

Logits = NDArray[np.float32]
SHAPE = (1, PIXELS, PIXELS, 1)
OUTLIER_SHARE, OUTLIER_LEAST, OUTLIER_MOST = 0.05, 2.0**5, 2.0**8
_LAYER_NORM_EPSILON = 1e-5


def torch_net(net: str, weights: Weights) -> nn.Module:
    """The folded network with these weights."""
    model = NETS[net]()
    model.fold()
    model.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    return model.eval()


def write_pt2(model: nn.Module, path: Path) -> None:
    program = torch.export.export(model, (torch.zeros(1, 1, PIXELS, PIXELS),))
    torch.export.save(program, path)


def float_logits(model: nn.Module, images: Images) -> Logits:
    with torch.no_grad():
        found = [model(as_nchw(images[at : at + 250])) for at in range(0, len(images), 250)]
    result: Logits = torch.cat(found).numpy()
    return result


def keras_net(net: str, weights: Weights) -> Any:
    """The same network in Keras, batch 1: what TensorFlow's converter, and so TFLite's tools, begin with."""
    return _keras_mobile(weights) if net == "mobile" else _keras_encoder(weights)


def _keras_mobile(weights: Weights) -> Any:
    import keras

    layers = keras.layers

    def conv(x: Any, name: str, out: int, kernel: int, stride: int = 1) -> Any:
        depthwise = name.endswith("depthwise")
        if stride > 1:  # PyTorch pads on both sides, "same" would pad on one
            x = layers.ZeroPadding2D(1, name=f"{name}_pad")(x)
        options: dict[str, Any] = {
            "strides": stride,
            "padding": "valid" if stride > 1 else "same",
            "activation": None if name.endswith("project") else "relu",
            "name": name,
        }
        layer = (
            layers.DepthwiseConv2D(kernel, **options) if depthwise else layers.Conv2D(out, kernel, **options)
        )
        y = layer(x)
        values = weights[f"convs.{name}.conv.weight"]
        order = (2, 3, 0, 1) if depthwise else (2, 3, 1, 0)
        layer.set_weights([values.transpose(order), weights[f"convs.{name}.conv.bias"]])
        return y

    image = keras.Input(batch_shape=SHAPE, name="image")
    x = conv(image, "stem", STEM, 3, 2)
    for block in blocks():
        y = conv(x, f"{block.name}_expand", block.inside, 1)
        y = conv(y, f"{block.name}_depthwise", block.inside, 3, block.stride)
        y = conv(y, f"{block.name}_project", block.out, 1)
        x = layers.Add(name=f"{block.name}_add")([x, y]) if block.residual else y
    x = layers.GlobalAveragePooling2D(name="pool")(conv(x, "head", HEAD, 1))
    return keras.Model(image, _dense(x, "logits", weights, CLASSES))


def _keras_encoder(weights: Weights) -> Any:
    import keras

    layers, patches = keras.layers, PIXELS // PATCH
    image = keras.Input(batch_shape=SHAPE, name="image")
    x = layers.Reshape((patches, PATCH, patches, PATCH), name="rows")(image)
    x = layers.Permute((1, 3, 2, 4), name="order")(x)
    x = layers.Reshape((patches**2, PATCH**2), name="patches")(x)
    patch = layers.EinsumDense("abc,cd->abd", (patches**2, WIDTH), bias_axes="bd", name="patch")
    x = patch(x)
    patch.set_weights(
        [weights["patch.weight"].reshape(WIDTH, -1).T, weights["patch.bias"] + weights["position"]]
    )
    for number in range(LAYERS):
        name = f"layers.{number}"
        y = _norm(x, f"{name}.norm1", weights)
        x = layers.Add(name=f"layer{number}_add1")([x, _attention(y, name, weights)])
        y = _dense(_norm(x, f"{name}.norm2", weights), f"{name}.up", weights, HIDDEN, activation="gelu")
        x = layers.Add(name=f"layer{number}_add2")([x, _dense(y, f"{name}.down", weights, WIDTH)])
    x = layers.GlobalAveragePooling1D(name="pool")(_norm(x, "norm", weights))
    return keras.Model(image, _dense(x, "logits", weights, CLASSES))


def _plain(name: str) -> str:
    return name.replace(".", "_")


def _dense(x: Any, name: str, weights: Weights, units: int, activation: str | None = None) -> Any:
    import keras

    layer = keras.layers.Dense(units, activation=activation, name=_plain(name))
    y = layer(x)
    layer.set_weights([weights[f"{name}.weight"].T, weights[f"{name}.bias"]])
    return y


def _norm(x: Any, name: str, weights: Weights) -> Any:
    import keras

    layer = keras.layers.LayerNormalization(epsilon=_LAYER_NORM_EPSILON, name=_plain(name))
    y = layer(x)
    layer.set_weights([weights[f"{name}.weight"], weights[f"{name}.bias"]])
    return y


def _attention(x: Any, name: str, weights: Weights) -> Any:
    import keras

    size = WIDTH // HEADS
    layer = keras.layers.MultiHeadAttention(HEADS, size, name=_plain(f"{name}.attention"))
    y = layer(x, x)
    values = []
    for part in ("query", "key", "value"):
        values.append(weights[f"{name}.{part}.weight"].T.reshape(WIDTH, HEADS, size))
        values.append(weights[f"{name}.{part}.bias"].reshape(HEADS, size))
    values.append(weights[f"{name}.out.weight"].T.reshape(HEADS, size, WIDTH))
    values.append(weights[f"{name}.out.bias"])
    layer.set_weights(values)
    return y


def with_outliers(weights: Weights, seed: int) -> Weights:
    """The same function as `mobile`'s, with outlier channels behind the ReLUs inside the blocks.

    relu(s x) = s relu(x) for s > 0: one channel in 20 of each expanding and each depthwise convolution is made 32 to 256 times
    as large (by no power of two), and the weights that read it as much smaller. The float outputs differ by rounding only; an
    int8 tensor with one scale for all channels has no steps left for the others.
    """
    rng = np.random.default_rng(1000 + seed)
    changed = {name: value.astype(np.float64) for name, value in weights.items()}
    for block in blocks():
        expand, depthwise, project = (f"{block.name}_{part}" for part in ("expand", "depthwise", "project"))
        for first, second in ((expand, depthwise), (depthwise, project)):
            scales = _outlier_scales(block.inside, rng)
            changed[f"convs.{first}.conv.weight"] *= scales.reshape(-1, 1, 1, 1)
            changed[f"convs.{first}.conv.bias"] *= scales
            axes = (-1, 1, 1, 1) if second == depthwise else (1, -1, 1, 1)
            changed[f"convs.{second}.conv.weight"] /= scales.reshape(axes)
    return {name: value.astype(np.float32) for name, value in changed.items()}


def _outlier_scales(channels: int, rng: np.random.Generator) -> NDArray[np.float64]:
    scales = np.ones(channels)
    chosen = rng.permutation(channels)[: max(1, round(OUTLIER_SHARE * channels))]
    scales[chosen] = np.exp(rng.uniform(np.log(OUTLIER_LEAST), np.log(OUTLIER_MOST), len(chosen)))
    return scales
