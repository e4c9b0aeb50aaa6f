"""The browser of the tests ends when they do (tests/browsing.py)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.browsing import CHROMIUM

ROOT = Path(__file__).parents[2]
CHILD = """
import json, os, signal, sys, time
from playwright.sync_api import sync_playwright
from tests.browsing import _children, ended_in_time

before = _children()
with ended_in_time(sync_playwright, within_s=2) as playwright:
    drivers = _children() - before
    playwright.chromium.launch(executable_path=sys.argv[1], args=json.loads(sys.argv[2]), timeout=120_000)
    for pid in drivers:
        os.kill(pid, signal.SIGSTOP)
    begun = time.monotonic()
took_s = time.monotonic() - begun
print(json.dumps([len(drivers), took_s, len(drivers & _children())]))
"""
"""In a process of its own: one that has a browser already can have no other one."""


def test_a_driver_that_does_not_end_is_ended() -> None:
    """Held by SIGSTOP, with a browser open."""
    pytest.importorskip("playwright.sync_api")
    flags = json.dumps(["--no-sandbox"] if os.geteuid() == 0 else [])
    argv = [sys.executable, "-c", CHILD, str(CHROMIUM), flags]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=250, check=False)
    assert done.returncode == 0, done.stderr
    drivers, took_s, left = json.loads(done.stdout)
    assert drivers >= 1
    assert took_s >= 2
    assert left == 0
