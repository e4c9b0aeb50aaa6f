"""What one conversion works on, and what it comes to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgekit.conversion.calibration import CalibrationData
from edgekit.conversion.datasets import DataSet
from edgekit.conversion.hosts.base import HostModel, run_real
from edgekit.conversion.layout import Pairing
from edgekit.conversion.options import ConvertOptions
from edgekit.conversion.recipes import ProfileLike, Recipe
from edgekit.conversion.sources.base import LoadedSource
from edgekit.conversion.targets.base import Made, Target
from edgekit.conversion.task import UserMetric
from edgekit.events import Sink
from edgekit.models.manifest import Rescue, RescueLatency

Weigh = Callable[[Path, Path], RescueLatency | None]
"""Runs a model's file and the one that replaces it on a device: what the change costs there, None where one does not run."""


@dataclass
class Job:
    """What one conversion works on. `recipe`: the one that was asked for."""

    source: LoadedSource
    target: Target
    options: ConvertOptions
    recipe: Recipe | None
    profile: ProfileLike | None
    calibration: CalibrationData | None
    evaluation: DataSet | None
    metric: UserMetric | None
    sink: Sink
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """A converted model, loaded on this host, and how it is paired with its source. `rescue`: what it took to pass."""

    recipe: Recipe
    made: Made
    host: HostModel
    pairing: Pairing
    notes: tuple[str, ...]
    rescue: Rescue | None = None

    def run(self, sample: Any) -> list[Any]:
        """A sample of the source's through the result; outputs in the source's order and layout."""
        return self.pairing.to_source(run_real(self.host, self.pairing.to_result(sample)))
