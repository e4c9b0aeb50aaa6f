"""The agent's program as a load that a meter beside the device sees (D2.3): its pulses are when it says."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from edgekit.meters.marker import read_pulses
from tests.agent.starting import ABIS, CHECKED, agent_argv

SERVE_WORDS = 5


def load(abi: str, *parts: int) -> subprocess.CompletedProcess[str]:
    argv = [*agent_argv(abi, Path("/"))[:-SERVE_WORDS], "load", *map(str, parts)]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("abi", [*ABIS, CHECKED])
def test_pulses_are_told_at_the_times_of_the_device_s_clock(abi: str) -> None:
    before_us = time.clock_gettime(time.CLOCK_BOOTTIME) * 1e6
    done = load(abi, 120, 150, 60)
    after_us = time.clock_gettime(time.CLOCK_BOOTTIME) * 1e6
    assert done.returncode == 0, done
    first, second = read_pulses(done.stdout)
    assert before_us < first.start_us < first.end_us < second.start_us < second.end_us < after_us
    assert second.start_us - first.start_us > 100_000
    assert first.us + second.us > 50_000


@pytest.mark.parametrize("parts", [(), (100, 100), (0,), (10**9,)])
def test_lengths_that_cannot_be_are_a_usage_error(parts: tuple[int, ...]) -> None:
    done = load("x86_64", *parts)
    assert done.returncode == 2
    assert "usage:" in done.stderr


def test_lines_that_are_no_pulses_are_passed_over() -> None:
    assert read_pulses("1000 2000\nx y\n1 2 3\n\n-1 5\n")[0].end_us == 2.0
    assert len(read_pulses("1000 2000\nx y\n1 2 3\n\n-1 5\n")) == 1
