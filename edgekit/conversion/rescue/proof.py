"""Whether an edited float model computes what it computed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from edgekit.conversion.hosts.base import HostModel
from edgekit.conversion.targets.takeable_proof import difference

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]


def same_outputs(before: HostModel, after: HostModel, samples: Sequence[Sequence[Array]]) -> bool:
    """Whether both give the same bit for bit on the samples (stored values). Raises ModelError E_MODEL_RUN."""
    return all(
        difference(a, b) == 0.0
        for sample in samples
        for a, b in zip(before.run(sample), after.run(sample), strict=True)
    )
