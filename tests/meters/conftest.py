"""Tests of meters measure: their devices, and what moves these devices' sensors, come before other tests."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

FIRST = -10


@pytest.fixture(scope="module", autouse=True)
def comes_first() -> Iterator[None]:
    """Readings that come late because other tests run beside these would be no finding. Threads and processes that are
    begun here inherit it; only root may."""
    before = os.getpriority(os.PRIO_PROCESS, 0)
    if os.geteuid() == 0:
        os.setpriority(os.PRIO_PROCESS, 0, FIRST)
    yield
    if os.geteuid() == 0:
        os.setpriority(os.PRIO_PROCESS, 0, before)
