"""What the tests of the Core ML plug-in share."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module", autouse=True)
def _frameworks_are_not_collected() -> Iterator[None]:
    """coremltools collects garbage at each conversion, which takes a second and more over what PyTorch and
    TensorFlow keep in memory."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
