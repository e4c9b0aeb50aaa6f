"""The seam of a target plug-in: a float TFLite model and a recipe in, the device's file out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from edgekit.events import Sink
from edgekit.models.info import Format, ModelInfo

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Converted:
    """The file for the device, and the packages that made it."""

    data: bytes
    tools: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@runtime_checkable
class Target(Protocol):
    name: str
    format: Format
    suffix: str

    def make(
        self,
        tflite: bytes,
        info: ModelInfo,
        recipe: str,
        calibration: Sequence[Sequence[np.ndarray[Any, Any]]],
        sink: Sink,
    ) -> Converted:
        """Raises MissingExtra, ToolError, VerificationError (E_NOTHING_QUANTIZED).

        `calibration`: samples, each the model's inputs in order; empty where there are none.
        """
