"""Temperature and power of a simulated device. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass
class Heat:
    """One body that nears `idle_c`, or `idle_c + rise_c` under load, with the time constant `seconds`."""

    idle_c: float
    start_c: float
    rise_c: float
    seconds: float

    def __post_init__(self) -> None:
        self.temperature_c = self.start_c

    def pass_time(self, seconds: float, *, active: bool) -> None:
        target = self.idle_c + (self.rise_c if active else 0.0)
        self.temperature_c = target + (self.temperature_c - target) * math.exp(-seconds / self.seconds)

    def rest(self) -> None:
        self.temperature_c = self.start_c
