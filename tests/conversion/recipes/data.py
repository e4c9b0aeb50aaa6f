"""Calibration data for the test nets: made up from a fixed seed within what each net takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from edgekit import events
from edgekit.conversion.sources.base import LoadOptions, find_source
from tests.conversion.nets import build


def net_and_data(
    net: str, source: str, folder: Path, count: int = 24, outlier: float = 0.0
) -> tuple[Path, Path]:
    """A net's file and an .npz for it. `outlier`: one value of sample 3 is so large."""
    path = build(net, source, folder)
    loaded = find_source(str(path)).load(str(path), LoadOptions(False, {}, events.ignore))
    (spec,) = loaded.signature.inputs
    rng = np.random.default_rng(4)
    shape = (count, *spec.fixed_shape())
    values: Any
    if spec.dtype.startswith("int"):
        values = rng.integers(0, max(2, loaded.token_limits.get(spec.name, 2)), shape).astype(spec.dtype)
    else:
        values = rng.random(shape, dtype=np.float32)
        if outlier:
            values[3].flat[5] = outlier
    data = folder / f"{net}-{source}.npz"
    np.savez(data, **{spec.name: values})
    return path, data
