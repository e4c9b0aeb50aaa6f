"""The networks that benchmarks/quantization.py quantizes, in PyTorch: trained here, on the CPU, and kept in the cache.

- `mobile`: inverted residuals with depthwise convolutions as in MobileNetV2 (arXiv:1801.04381), with ReLU in place of ReLU6,
  for 28 x 28 pixels: 1.0 million parameters.
- `encoder`: a transformer encoder (pre-norm, 4 heads) over the 16 patches of 7 x 7 pixels: 0.4 million.

Batch normalization is folded before anything else looks at the weights, so that every tool is given the same ones.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from benchmarks.quantization_data import Images, Part
from edgekit.cache import cache_dir

Weights = dict[str, NDArray[np.float32]]
PIXELS, CLASSES, PATCH = 28, 10, 7
BATCH = 64
EPOCHS = {"mobile": 6, "encoder": 10}


@dataclass(frozen=True)
class Block:
    """An inverted residual: `expand` times as many channels within as come in."""

    name: str
    inside: int
    out: int
    stride: int
    residual: bool


STEM, HEAD = 16, 1280


def blocks() -> tuple[Block, ...]:
    found, channels = [], STEM
    for factor, out, count, stride in ((1, 16, 1, 1), (6, 24, 2, 2), (6, 64, 2, 2), (6, 160, 3, 2)):
        for index in range(count):
            step = stride if index == 0 else 1
            same = step == 1 and channels == out
            found.append(Block(f"block{len(found)}", channels * factor, out, step, same))
            channels = out
    return tuple(found)


class Conv(nn.Module):
    """A convolution with padding 1 (or 0 for 1 x 1) and, while it is trained, batch normalization."""

    def __init__(self, ins: int, out: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(ins, out, kernel, stride, kernel // 2, groups=groups)
        self.norm: nn.Module = nn.BatchNorm2d(out)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x))

    def fold(self) -> None:
        norm = self.norm
        assert isinstance(norm, nn.BatchNorm2d)
        assert norm.running_var is not None
        assert norm.running_mean is not None
        assert self.conv.bias is not None
        factor = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        self.conv.weight.data *= factor.reshape(-1, 1, 1, 1)
        self.conv.bias.data = (self.conv.bias - norm.running_mean) * factor + norm.bias
        self.norm = nn.Identity()


class Mobile(nn.Module):
    """Images [N, 1, 28, 28] to logits."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleDict({"stem": Conv(1, STEM, 3, 2)})
        channels = STEM
        for block in blocks():
            self.convs[f"{block.name}_expand"] = Conv(channels, block.inside, 1)
            self.convs[f"{block.name}_depthwise"] = Conv(
                block.inside, block.inside, 3, block.stride, block.inside
            )
            self.convs[f"{block.name}_project"] = Conv(block.inside, block.out, 1)
            channels = block.out
        self.convs["head"] = Conv(channels, HEAD, 1)
        self.logits = nn.Linear(HEAD, CLASSES)

    def forward(self, image: Tensor) -> Tensor:
        x = F.relu(self.convs["stem"](image))
        for block in blocks():
            y = F.relu(self.convs[f"{block.name}_expand"](x))
            y = F.relu(self.convs[f"{block.name}_depthwise"](y))
            y = self.convs[f"{block.name}_project"](y)
            x = x + y if block.residual else y
        x = F.relu(self.convs["head"](x)).mean(dim=(2, 3))
        return self.logits(x)

    def fold(self) -> None:
        for conv in self.convs.values():
            assert isinstance(conv, Conv)
            conv.fold()


WIDTH, HEADS, LAYERS, HIDDEN = 128, 4, 3, 256


class Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.query, self.key = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.value, self.out = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.up, self.down = nn.Linear(WIDTH, HIDDEN), nn.Linear(HIDDEN, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm1(x)
        query, key, value = (self._heads(part(y)) for part in (self.query, self.key, self.value))
        scores = torch.softmax(query @ key.transpose(-1, -2) * (WIDTH // HEADS) ** -0.5, dim=-1)
        x = x + self.out((scores @ value).transpose(1, 2).flatten(2))
        return x + self.down(F.gelu(self.up(self.norm2(x))))

    @staticmethod
    def _heads(x: Tensor) -> Tensor:
        return x.unflatten(-1, (HEADS, WIDTH // HEADS)).transpose(1, 2)


class Encoder(nn.Module):
    """Images [N, 1, 28, 28] to logits."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(1, WIDTH, PATCH, PATCH)
        self.position = nn.Parameter(0.02 * torch.randn((PIXELS // PATCH) ** 2, WIDTH))
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))
        self.norm = nn.LayerNorm(WIDTH)
        self.logits = nn.Linear(WIDTH, CLASSES)

    def forward(self, image: Tensor) -> Tensor:
        x = self.patch(image).flatten(2).transpose(1, 2) + self.position
        for layer in self.layers:
            x = layer(x)
        return self.logits(self.norm(x).mean(dim=1))

    def fold(self) -> None:
        """There is nothing to fold."""


NETS: dict[str, type[Mobile] | type[Encoder]] = {"mobile": Mobile, "encoder": Encoder}


def trained(net: str, training: Part, seed: int, *, quick: bool = False) -> Weights:
    """Folded weights by name, from the cache where this very code, data and seed were trained with before.

    On one thread: small tensors gain nothing by a second, and the result does not depend on their number.
    """
    digest = hashlib.sha256(Path(__file__).read_bytes())
    digest.update(training.images.tobytes() + training.labels.tobytes())
    digest.update(f"{quick} {torch.__version__}".encode())
    path = cache_dir("benchmarks", "quantization") / f"{net}-{seed}-{digest.hexdigest()[:16]}.npz"
    if not path.is_file():
        torch.set_num_threads(1)
        torch.manual_seed(seed)
        weights = _train(NETS[net](), training, seed, 1 if quick else EPOCHS[net])
        partly = path.with_suffix(f".{os.getpid()}.part.npz")
        np.savez(partly, **weights)
        partly.replace(path)
    with np.load(path) as data:
        return {name: data[name] for name in data.files}


def _train(model: Mobile | Encoder, part: Part, seed: int, epochs: int) -> Weights:
    model.to(memory_format=torch.channels_last)
    rng = np.random.default_rng(seed)
    steps = epochs * (len(part) // BATCH)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps, pct_start=0.2)
    model.train()
    for _ in range(epochs):
        order = rng.permutation(len(part))
        images = _shifted(part.images, rng)
        for at in range(0, len(part) - BATCH + 1, BATCH):
            chosen = order[at : at + BATCH]
            optimizer.zero_grad()
            logits = model(as_nchw(images[chosen]))
            F.cross_entropy(logits, torch.from_numpy(part.labels[chosen])).backward()
            optimizer.step()
            schedule.step()
    model.eval()
    with torch.no_grad():
        model.fold()
    return {name: np.ascontiguousarray(value.detach().numpy()) for name, value in model.state_dict().items()}


def _shifted(images: Images, rng: np.random.Generator) -> Images:
    """Every image moved by up to two pixels in each direction; what enters is black."""
    padded = np.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0)))
    moves = rng.integers(0, 5, size=(len(images), 2))
    return np.stack([p[y : y + PIXELS, x : x + PIXELS] for p, (y, x) in zip(padded, moves, strict=True)])


def as_nchw(images: Images) -> Tensor:
    """There is one channel: only the shape differs."""
    return torch.from_numpy(images.reshape(-1, 1, PIXELS, PIXELS))
