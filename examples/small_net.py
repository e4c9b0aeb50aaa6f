"""A small PyTorch net for a first conversion: `edgekit convert examples.small_net:net --trust --to executorch`."""

import torch
from torch import nn


class SmallNet(nn.Module):
    """float32 [1, 3, 32, 32] to 10 scores."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 16, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.GELU(),
        )
        self.head = nn.Linear(32, 10)

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"scores": self.head(self.features(image).mean((2, 3)))}


def net() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """What edgekit asks of a factory: a module, and example inputs."""
    torch.manual_seed(1)
    return SmallNet(), (torch.rand(1, 3, 32, 32),)
