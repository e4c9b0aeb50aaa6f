"""Model files of any size for benchmarks/push.py: real .tflite networks with random weights, and updates of them.

A network is a chain of fully connected layers; its constants lie behind the tables (Buffer.offset of the schema), as in
files of more than 2 GB, so that a file is written layer by layer. What an update changes:

    first         every weight is new, and the device has no other version
    unchanged     nothing
    last-layers   all weights of the last third of the layers (a new random draw, as a fine-tune changes them all)
    recalibrated  an int8 network with other activation scales: the scales in the tables and, as a bias is stored in
                  units of input scale x weight scale, every bias: 0.5 % of the bytes, in runs of 1 KB every 65 KB;
                  a synthetic stand-in for what another calibration set does to a real network
    all           every weight moves by about 1 %: exponents stay, mantissas change
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np

UPDATES = ("first", "unchanged", "last-layers", "recalibrated", "all")
_FLOAT32, _INT32, _INT8, _FULLY_CONNECTED = 0, 2, 9, 9
_WEIGHT_SCALE, _WEIGHT_STDDEV, _ALIGN = 0.002, 0.05, 64
_WIDE_FROM_BYTES = 8_000_000


@dataclass(frozen=True)
class Network:
    """`layers` square layers of `width`; int8 ones have a bias."""

    layers: int
    width: int
    int8: bool

    @classmethod
    def of_size(cls, size_bytes: int, *, int8: bool) -> Network:
        width = 256 if int8 else 1024 if size_bytes >= _WIDE_FROM_BYTES else 128
        return cls(max(3, round(size_bytes / _layer_bytes(width, int8))), width, int8)


@dataclass(frozen=True)
class Draw:
    """Which random weights: those of `base`, with `update` made to them by the draw `seed`."""

    base: int
    update: str = "first"
    seed: int = 0


def _layer_bytes(width: int, int8: bool) -> int:
    return width * width + 4 * width if int8 else 4 * width * width


def write_model(path: Path, size_bytes: int, draw: Draw, *, int8: bool) -> Path:
    """Write a network of about `size_bytes`; the same arguments give the same bytes."""
    network = Network.of_size(size_bytes, int8=int8)
    head = _head(network, _scales(network, draw))
    with open(path, "wb") as file:
        file.write(head)
        for layer in range(network.layers):
            for part in _layer(network, layer, draw):
                file.write(part.tobytes())
    return path


def _layer(network: Network, layer: int, draw: Draw) -> list[np.ndarray[Any, Any]]:
    shape = (network.width, network.width)
    fresh = draw.update == "last-layers" and layer >= network.layers * 2 // 3
    rng = np.random.default_rng([draw.seed if fresh else draw.base, layer, fresh])
    weights = rng.standard_normal(shape, dtype=np.float32) * np.float32(_WEIGHT_STDDEV)
    if draw.update == "all":
        noise = np.random.default_rng([draw.seed, layer, 2]).standard_normal(shape, dtype=np.float32)
        weights *= 1 + np.float32(0.01) * noise
    if not network.int8:
        return [weights]
    quantized = np.clip(np.rint(weights / _WEIGHT_SCALE), -127, 127).astype(np.int8)
    bias = rng.standard_normal(network.width) * 0.1
    step = float(_scales(network, draw)[layer]) * _WEIGHT_SCALE
    return [quantized, np.rint(bias / step).astype(np.int32)]


@cache
def _scales(network: Network, draw: Draw) -> np.ndarray[Any, Any]:
    """Of the activations: the input's, then each layer's output's."""
    scales = np.random.default_rng([draw.base, 1]).uniform(0.01, 0.05, network.layers + 1)
    if draw.update == "recalibrated":
        scales *= np.random.default_rng([draw.seed, 3]).uniform(0.9, 1.1, network.layers + 1)
    return scales


def _head(network: Network, scales: np.ndarray[Any, Any]) -> bytes:
    """The tables, padded. Offsets of constants depend on the tables' length, which does not depend on them."""
    first = len(_tables(network, scales, 1 << 40))
    size = -(-first // _ALIGN) * _ALIGN
    return _tables(network, scales, size).ljust(size, b"\0")


def _tables(network: Network, scales: np.ndarray[Any, Any], start: int) -> bytes:
    from ai_edge_litert import schema_py_generated as schema

    model, graph = schema.ModelT(), schema.SubGraphT()
    model.version, model.description, model.buffers = 3, b"edgekit benchmark", [schema.BufferT()]
    graph.tensors, graph.operators = [], []
    kind = _INT8 if network.int8 else _FLOAT32
    at = start

    def tensor(name: str, dtype: int, shape: list[int], scale: float, constant_bytes: int = 0) -> int:
        nonlocal at
        made = schema.TensorT()
        made.name, made.type, made.shape, made.buffer = name.encode(), dtype, shape, 0
        if network.int8:
            made.quantization = schema.QuantizationParametersT()
            made.quantization.scale, made.quantization.zeroPoint = [scale], [0]
        if constant_bytes:
            buffer = schema.BufferT()
            buffer.offset, buffer.size = at, constant_bytes
            at += constant_bytes
            model.buffers.append(buffer)
            made.buffer = len(model.buffers) - 1
        graph.tensors.append(made)
        return len(graph.tensors) - 1

    row, width = [1, network.width], network.width
    before = tensor("input", kind, row, float(scales[0]))
    graph.inputs = [before]
    for layer in range(network.layers):
        inputs = [
            before,
            tensor(f"w{layer}", kind, [width, width], _WEIGHT_SCALE, width * width * (1 if kind else 4)),
        ]
        if network.int8:
            step = float(scales[layer]) * _WEIGHT_SCALE
            inputs.append(tensor(f"b{layer}", _INT32, [width], step, 4 * width))
        else:
            inputs.append(-1)
        before = tensor(f"y{layer}", kind, row, float(scales[layer + 1]))
        operator = schema.OperatorT()
        operator.opcodeIndex, operator.inputs, operator.outputs = 0, inputs, [before]
        operator.builtinOptionsType = schema.BuiltinOptions.FullyConnectedOptions
        operator.builtinOptions = schema.FullyConnectedOptionsT()
        graph.operators.append(operator)
    graph.outputs = [before]
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = _FULLY_CONNECTED
    code.version = 4 if network.int8 else 1
    model.operatorCodes, model.subgraphs = [code], [graph]
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())
