"""Small nets, and what a source plug-in would make of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from edgekit.conversion.sources.base import LoadedSource
from edgekit.conversion.sources.handles import KerasModel, TorchModel
from edgekit.conversion.targets.base import Layout, Request
from edgekit.models.info import Signature, TensorSpec
from edgekit.models.manifest import Origin

ORIGIN = Origin(name="net", format="pt2", sha256="0" * 64)


class Cnn(nn.Module):
    """Convolutions with batch norm, a strided and a depthwise one, pooling with the default stride."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU6(), nn.Conv2d(8, 8, 3, stride=2, groups=8),
            nn.Hardswish(), nn.Conv2d(8, 16, 1), nn.SiLU(), nn.AvgPool2d(2),
        )  # fmt: skip
        self.head = nn.Linear(16 * 3 * 3, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.head(torch.nn.functional.max_pool2d(self.body(image), 2).flatten(1))


class Lstm(nn.Module):
    """Two bidirectional layers; gives scores and the last hidden state."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(8, 12, 2, batch_first=True, bidirectional=True)
        self.head = nn.Linear(24, 3)

    def forward(self, steps: torch.Tensor) -> dict[str, torch.Tensor]:
        states, (hidden, _) = self.lstm(steps)
        return {"scores": self.head(states[:, -1]), "hidden": hidden}


class Gru(nn.Module):
    """coremltools makes a loop over lists of it."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(8, 12, batch_first=True)

    def forward(self, steps: torch.Tensor) -> torch.Tensor:
        return self.gru(steps)[0]


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(50, 32)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(32, 4, 64, dropout=0, activation="gelu", batch_first=True)
            for _ in range(2)
        )
        self.head = nn.Linear(32, 5)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        hidden = self.table(tokens)
        for layer in self.layers:
            hidden = layer(hidden)
        return self.head(hidden.mean(1))


class Vector(nn.Module):
    """Two inputs and outputs whose names are no identifiers."""

    def forward(self, first: torch.Tensor, second: torch.Tensor) -> list[torch.Tensor]:
        return [first + second, first - second]


def spec(name: str, tensor: torch.Tensor) -> TensorSpec:
    layout = "NCHW" if tensor.ndim == 4 else None
    return TensorSpec(
        name=name, dtype=str(tensor.dtype).removeprefix("torch."), shape=tuple(tensor.shape), layout=layout
    )


def torch_source(
    net: nn.Module, example: tuple[torch.Tensor, ...], inputs: list[str], outputs: list[str]
) -> LoadedSource:
    net = net.eval()
    program = torch.export.export(net, example)

    def run(sample: Any) -> list[Any]:
        with torch.no_grad():
            made = net(*map(torch.from_numpy, sample))
        return [leaf.numpy() for leaf in torch.utils._pytree.tree_leaves(made)]

    made = run([tensor.numpy() for tensor in example])
    signature = Signature(
        key=None,
        inputs=tuple(map(spec, inputs, example)),
        outputs=tuple(map(spec, outputs, map(torch.from_numpy, made))),
    )
    return LoadedSource(
        name="net",
        origin=ORIGIN,
        framework="torch",
        model=TorchModel(net, example, program),
        signature=signature,
        run=run,
    )


def source(name: str) -> LoadedSource:
    torch.manual_seed(7)
    if name == "cnn":
        return torch_source(Cnn(), (torch.randn(1, 3, 28, 28),), ["image"], ["scores"])
    if name == "lstm":
        return torch_source(Lstm(), (torch.randn(1, 9, 8),), ["steps"], ["scores", "hidden"])
    if name == "gru":
        return torch_source(Gru(), (torch.randn(1, 9, 8),), ["steps"], ["states"])
    if name == "encoder":
        return torch_source(Encoder(), (torch.randint(0, 50, (1, 12)),), ["tokens"], ["scores"])
    return torch_source(Vector(), (torch.randn(1, 3), torch.randn(1, 3)), ["in:0", "in.0"], ["1st", "out/2"])


def keras_source(model: Any, tokens: bool = False) -> LoadedSource:
    """Of a functional Keras model with one input and one output."""
    import tensorflow

    shape, name = (1, *model.inputs[0].shape[1:]), model.inputs[0].name
    layout = "NHWC" if len(shape) == 4 else None
    example = np.zeros(shape, np.float32)

    def concrete() -> Any:
        given = {name: tensorflow.TensorSpec(shape, model.inputs[0].dtype, name=name)}
        return tensorflow.function(lambda **values: {"scores": model(values[name])}).get_concrete_function(
            **given
        )

    def run(sample: Any) -> list[Any]:
        return [model(sample[0]).numpy()]

    signature = Signature(
        key=None,
        inputs=(TensorSpec(name=name, dtype=model.inputs[0].dtype, shape=shape, layout=layout),),
        outputs=(TensorSpec(name="scores", dtype="float32", shape=run([example])[0].shape),),
    )
    return LoadedSource(
        name="net",
        origin=ORIGIN,
        framework="keras",
        model=KerasModel(model, None, concrete),
        signature=signature,
        run=run,
    )


def request(loaded: LoadedSource, folder: Path, layout: Layout = "keep") -> Request:
    folder.mkdir(parents=True, exist_ok=True)
    return Request(source=loaded, layout=layout, folder=folder)
