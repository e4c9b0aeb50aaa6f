"""How the tests were started does not change what they see (tests/conftest.py)."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", ["SIGINT", "SIGHUP", "SIGTERM"])
def test_no_signal_is_ignored(name: str) -> None:
    assert signal.getsignal(getattr(signal, name)) is not signal.SIG_IGN


def test_nor_is_one_in_the_background_and_under_nohup() -> None:
    """A shell ignores SIGINT for what it starts with `&`, nohup SIGHUP."""
    run = '"$@" < /dev/null > "$0" 2>&1 & wait $!'
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__, "-k", "no_signal"]
    done = subprocess.run(
        ["sh", "-c", run, "/dev/stdout", "nohup", *argv],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout
