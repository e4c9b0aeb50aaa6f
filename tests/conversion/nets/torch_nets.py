"""The matrix's nets in PyTorch: each factory gives (module in eval mode, example inputs), the same at every call.

Usable as an entry of the torch source: `tests.conversion.nets.torch_nets:cnn`. All weights and statistics are random but
healthy: outputs spread with a standard deviation near 1, so that an error of a converter cannot hide in small numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

Made = tuple[nn.Module, tuple[Tensor, ...]]
SAMPLES = 16
RESIDUAL_SCALE = 0.3


class Cnn(nn.Module):
    """float32 [N, 1, 28, 28] to 10 scores."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, padding=1)
        self.conv2 = nn.Conv2d(8, 16, 3, padding=1)
        self.pool = nn.MaxPool2d(2)  # gives its stride; coremltools 9.0 refuses max_pool2d without one
        self.hidden = nn.Linear(16 * 7 * 7, 32)
        self.head = nn.Linear(32, 10)

    def forward(self, image: Tensor) -> Tensor:
        x = self.pool(torch.relu(self.conv1(image)))
        x = self.pool(torch.relu(self.conv2(x)))
        return self.head(torch.relu(self.hidden(torch.flatten(x, 1))))


class Inverted(nn.Module):
    """MobileNetV2's block: widen, filter each channel by itself, narrow without activation."""

    def __init__(self, inputs: int, outputs: int, stride: int, widen: int) -> None:
        super().__init__()
        wide = inputs * widen
        self.block = nn.Sequential(
            *_normed(inputs, wide, 1, 1, 1),
            nn.ReLU6(),
            *_normed(wide, wide, 3, stride, wide),
            nn.ReLU6(),
            *_normed(wide, outputs, 1, 1, 1),
        )
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        return x + self.block(x) if self.adds else self.block(x)


def _normed(inputs: int, outputs: int, size: int, stride: int, groups: int) -> tuple[nn.Module, nn.Module]:
    conv = nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False)
    return conv, nn.BatchNorm2d(outputs)


class MobileNet(nn.Module):
    """float32 [N, 3, 96, 96] to 10 scores."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *_normed(3, 16, 3, 2, 1),
            nn.ReLU6(),
            Inverted(16, 16, 1, 1),
            Inverted(16, 24, 2, 4),
            Inverted(24, 24, 1, 4),
            Inverted(24, 32, 2, 4),
            Inverted(32, 32, 1, 4),
            Inverted(32, 32, 1, 4),
            *_normed(32, 64, 1, 1, 1),
            nn.ReLU6(),
        )
        self.head = nn.Linear(64, 10)

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.features(image).mean((2, 3)))


class Layer(nn.Module):
    """One encoder layer, normed first."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.widen = nn.Linear(width, 2 * width)
        self.narrow = nn.Linear(2 * width, width)

    def _split(self, x: Tensor) -> Tensor:
        return x.reshape(x.shape[0], x.shape[1], self.heads, -1).transpose(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm1(x)
        query, key, value = self._split(self.query(y)), self._split(self.key(y)), self._split(self.value(y))
        weights = torch.softmax(query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1]), -1)
        x = x + self.out((weights @ value).transpose(1, 2).reshape(x.shape))
        return x + self.narrow(nn.functional.gelu(self.widen(self.norm2(x))))


class Encoder(nn.Module):
    """int64 tokens [N, 32] below 100 to 10 scores."""

    def __init__(self, tokens: int = 100, length: int = 32, width: int = 64) -> None:
        super().__init__()
        self.embedding = nn.Embedding(tokens, width)
        self.position = nn.Parameter(torch.randn(1, length, width))
        self.layers = nn.Sequential(Layer(width, 4), Layer(width, 4))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 10)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.norm(self.layers(self.embedding(tokens) + self.position)).mean(1))


class Lstm(nn.Module):
    """float32 [N, 20, 16] to 8 scores, from the last step."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(16, 32, batch_first=True)
        self.head = nn.Linear(32, 8)

    def forward(self, steps: Tensor) -> Tensor:
        return self.head(self.lstm(steps)[0][:, -1])


def cnn() -> Made:
    with _seeded(1):
        return _healthy(Cnn(), torch.rand(SAMPLES, 1, 28, 28))


def mobilenet() -> Made:
    with _seeded(8):
        return _healthy(MobileNet(), _pictures(SAMPLES, 3, 96))


def encoder() -> Made:
    with _seeded(3):
        return _healthy(Encoder(), torch.randint(0, 100, (SAMPLES, 32)))


def lstm() -> Made:
    with _seeded(4):
        return _healthy(Lstm(), torch.randn(SAMPLES, 20, 16))


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """The caller's random state stays as it is."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def _pictures(count: int, channels: int, size: int) -> Tensor:
    """Smooth pictures in 0..1: white noise looks the same to a net that averages over all of it."""
    coarse = torch.rand(count, channels, 6, 6)
    return nn.functional.interpolate(coarse, size=(size, size), mode="bilinear")


@torch.no_grad()
def _healthy(net: nn.Module, samples: Tensor) -> Made:
    """Batch norms get statistics and scales of their own, and the head is scaled for outputs of deviation 1."""
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.weight.uniform_(0.7, 1.3)
        norm.bias.normal_(0, 0.2)
        norm.momentum = 1.0  # statistics become those of this batch
    for module in net.modules():
        if isinstance(module, Inverted) and module.adds:
            # Trained residual nets let a block add little; without that, 20 layers of float16 weights are off by
            # more than 2e-3 whoever converts them, and the matrix would say nothing about converters.
            last = module.block[-1]
            assert isinstance(last, nn.BatchNorm2d)
            last.weight.mul_(RESIDUAL_SCALE)
            last.bias.mul_(RESIDUAL_SCALE)
    net.train()
    net(samples)
    for norm in norms:
        norm.momentum = 0.1
    net.eval()
    head = net.head
    assert isinstance(head, nn.Linear)
    spread = (net(samples) - head.bias).std()
    head.weight.div_(spread)
    return net, (samples[:1].clone(),)
