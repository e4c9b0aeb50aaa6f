"""Small nets of PyTorch, converted once for a test run by the real converters."""

from __future__ import annotations

import tempfile
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.conversion.extras import quiet
from edgekit.conversion.layers.torch_trace import TorchTracer
from edgekit.conversion.layers.trace import Trace

SAMPLES = 4


@cache
def net(name: str) -> tuple[Any, tuple[Any, ...]]:
    """(module, example inputs) of "cnn", "encoder" or "lstm"; weights from a fixed seed."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(1)
    make = {"cnn": _cnn, "encoder": _encoder, "lstm": _lstm, "mobile": _mobile}[name]
    module, example = make(torch)
    return module.eval(), (example,)


def samples(name: str, count: int = SAMPLES) -> list[list[np.ndarray[Any, Any]]]:
    rng = np.random.default_rng(7)
    (example,) = net(name)[1]
    if name == "encoder":
        return [[rng.integers(0, 50, tuple(example.shape))] for _ in range(count)]
    return [[rng.standard_normal(tuple(example.shape)).astype(np.float32)] for _ in range(count)]


@cache
def program(name: str) -> Any:
    torch = pytest.importorskip("torch")
    with quiet():
        return torch.export.export(*net(name))


class Remembering:
    """A tracer that runs each sample once: the source is the same in every test."""

    def __init__(self, tracer: Any) -> None:
        self._tracer = tracer
        self._known: dict[bytes, Trace] = {}

    def __call__(self, sample: Any) -> Trace:
        key = b"".join(np.ascontiguousarray(value).tobytes() for value in sample)
        if key not in self._known:
            self._known[key] = self._tracer(sample)
        return self._known[key]


@cache
def source(name: str) -> Remembering:
    return Remembering(TorchTracer(program(name)))


@cache
def tflite(name: str) -> bytes:
    converter = pytest.importorskip("litert_torch")
    with tempfile.TemporaryDirectory() as folder, quiet():
        path = Path(folder) / "model.tflite"
        converter.convert(*net(name)).export(str(path))
        return path.read_bytes()


@cache
def onnx(name: str) -> bytes:
    torch = pytest.importorskip("torch")
    with tempfile.TemporaryDirectory() as folder, quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(folder) / "model.onnx"
        torch.onnx.export(*net(name), path, dynamo=True, external_data=False, verbose=False)
        return path.read_bytes()


def _cnn(torch: Any) -> tuple[Any, Any]:
    nn = torch.nn

    class Cnn(nn.Module):  # type: ignore[misc, name-defined]
        """Fused activations and norms, a residual, a depthwise layer, a flattening that needs the layout."""

        def __init__(self) -> None:
            super().__init__()
            self.stem, self.norm = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
            self.down, self.norm2 = nn.Conv2d(8, 16, 3, stride=2), nn.BatchNorm2d(16)
            self.inner = nn.Conv2d(16, 16, 3, padding=1)
            self.depthwise = nn.Conv2d(16, 16, 3, padding=1, groups=16)
            self.point, self.pool = nn.Conv2d(16, 24, 1), nn.MaxPool2d(2)
            self.hidden, self.head = nn.Linear(24 * 3 * 3, 32), nn.Linear(32, 10)

        def forward(self, x: Any) -> Any:
            x = torch.relu(self.norm(self.stem(x)))
            x = torch.relu(self.norm2(self.down(x)))
            x = x + torch.relu(self.inner(x))
            x = nn.functional.relu6(self.depthwise(x))
            x = self.pool(self.point(x)).flatten(1)
            return self.head(torch.relu(self.hidden(x)))

    module = Cnn()
    for norm in (module.norm, module.norm2):
        norm.running_mean.uniform_(-0.3, 0.3)
        norm.running_var.uniform_(0.5, 1.5)
    return module, torch.randn(1, 3, 15, 15)


def _encoder(torch: Any) -> tuple[Any, Any]:
    nn = torch.nn

    class Encoder(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(50, 32)
            self.place = nn.Parameter(torch.randn(1, 12, 32) * 0.1)
            layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True, activation="gelu", dropout=0.0)
            self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
            self.head = nn.Linear(32, 5)

        def forward(self, tokens: Any) -> Any:
            return self.head(self.layers(self.embedding(tokens) + self.place).mean(1))

    return Encoder(), torch.randint(0, 50, (1, 12))


def _lstm(torch: Any) -> tuple[Any, Any]:
    nn = torch.nn

    class Lstm(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.lstm, self.head = nn.LSTM(8, 16, batch_first=True), nn.Linear(16, 4)

        def forward(self, x: Any) -> Any:
            return self.head(self.lstm(x)[0][:, -1])

    return Lstm(), torch.randn(1, 5, 8)


def _mobile(torch: Any) -> tuple[Any, Any]:
    """MobileNetV2's inverted residuals at its full input size, fewer of them."""
    nn = torch.nn

    def block(into: int, wide: int, out: int, stride: int) -> Any:
        return nn.Sequential(
            nn.Conv2d(into, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.ReLU6(),
            nn.Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False), nn.BatchNorm2d(wide), nn.ReLU6(),
            nn.Conv2d(wide, out, 1, bias=False), nn.BatchNorm2d(out),
        )  # fmt: skip

    class Mobile(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Sequential(nn.Conv2d(3, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU6())
            self.one, self.two, self.three = block(32, 96, 16, 1), block(16, 96, 24, 2), block(24, 144, 24, 1)
            self.four, self.five = block(24, 144, 32, 2), block(32, 192, 64, 2)
            self.head = nn.Linear(64, 100)

        def forward(self, x: Any) -> Any:
            x = self.two(self.one(self.stem(x)))
            x = self.five(self.four(x + self.three(x)))
            return self.head(x.mean((2, 3)))

    return Mobile(), torch.randn(1, 3, 224, 224)
