"""The browser of the tests ends when they do (tests/browsing.py)."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.browsing import CHROMIUM, _children, ended_in_time


def test_a_driver_that_does_not_end_is_ended(tmp_path: Path) -> None:
    """Held by SIGSTOP, with a browser open."""
    sync_api = pytest.importorskip("playwright.sync_api")
    flags = ["--no-sandbox"] if os.geteuid() == 0 else []
    before = _children()
    with ended_in_time(sync_api.sync_playwright, within_s=2) as playwright:
        drivers = _children() - before
        playwright.chromium.launch(executable_path=str(CHROMIUM), args=flags, timeout=120_000)
        for pid in drivers:
            os.kill(pid, signal.SIGSTOP)
        begun = time.monotonic()
    assert drivers
    assert 2 <= time.monotonic() - begun < 100
    assert not drivers & _children()
