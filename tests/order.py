"""In which order files of tests run side by side, so that no worker is left alone with a long one at the end.

With `--dist loadfile --no-loadscope-reorder` xdist hands files out as they were collected. Here they are sorted by
what they took when they last ran on this machine: the longest first, and files that compute (converters, marker
`heavy`) beside files that wait (for devices, deadlines, links), so that the processors neither idle nor are fought over.
What each file took is in the cache (`test-seconds`); a file that was never run is judged by its number of tests.
"""

from __future__ import annotations

import heapq
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edgekit.cache import atomic_write, cache_dir

COMPUTES_SECONDS, WAITS_SECONDS = 1.0, 0.15
"""What a test takes that was never run: a `heavy` one, another."""


Known = Mapping[str, Sequence[float]]
"""Of files that ran here: seconds, and how many tests took them."""


@dataclass(frozen=True)
class TestFile:
    """One file, all of whose tests run in one process, and what is expected of it."""

    __test__ = False  # pytest: not a class of tests

    name: str
    seconds: float
    computes: bool


def plan(files: Sequence[TestFile], *, workers: int, processors: int) -> list[str]:
    """Names in the order in which workers should take them.

    As if each took what the table says: whoever is free takes the longest file of the kind that is wanted; one that
    computes is wanted while fewer of these run than there are processors.
    """
    left = {
        kind: sorted((f for f in files if f.computes is kind), key=lambda f: (f.seconds, f.name))
        for kind in (True, False)
    }
    busy: list[tuple[float, int, bool]] = [(0.0, worker, False) for worker in range(workers)]
    order = []
    while left[True] or left[False]:
        now, worker, _ = heapq.heappop(busy)
        computing = sum(computes for until, _, computes in busy if until > now)
        kind = computing < min(processors, workers)
        if not left[kind]:
            kind = not kind
        file = left[kind].pop()
        order.append(file.name)
        heapq.heappush(busy, (now + file.seconds, worker, kind))
    return order


def arranged(items: Sequence[pytest.Item], known: Known, *, workers: int) -> list[pytest.Item]:
    """The tests file by file, in the order of `plan`."""
    by_file: dict[str, list[pytest.Item]] = {}
    for item in items:
        by_file.setdefault(_file(item.nodeid), []).append(item)
    files = [_expected(name, tests, known.get(name)) for name, tests in by_file.items()]
    order = plan(files, workers=workers, processors=os.cpu_count() or 1)
    return [item for name in order for item in by_file[name]]


def _expected(name: str, tests: Sequence[pytest.Item], known: Sequence[float] | None) -> TestFile:
    heavy = sum(item.get_closest_marker("heavy") is not None for item in tests)
    if known:
        seconds, count = known
        taken = seconds / count * len(tests)
    else:
        taken = heavy * COMPUTES_SECONDS + (len(tests) - heavy) * WAITS_SECONDS
    return TestFile(name, taken, computes=2 * heavy > len(tests))


def _file(nodeid: str) -> str:
    return nodeid.split("::", 1)[0]


class SecondsKept:
    """In the process that hands out: what each file takes is read, told to the workers, and kept at the end."""

    def __init__(self) -> None:
        self._path = cache_dir("test-seconds") / "files.json"
        self._known = _read(self._path)
        self._now: dict[str, list[float]] = {}

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """One table for all workers: they must agree on the order."""
        node.workerinput["test_seconds"] = self._known

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if ("passed before", True) in report.user_properties:
            return
        took = self._now.setdefault(_file(report.nodeid), [0.0, 0])
        took[0] += report.duration
        took[1] += report.when == "setup"  # the phase that every test has

    def pytest_sessionfinish(self) -> None:
        now = {name: took for name, took in self._now.items() if took[1]}
        kept = {**self._known, **now}
        atomic_write(self._path, json.dumps(kept, indent=0, sort_keys=True).encode())


def _read(path: Path) -> Known:
    try:
        table = json.loads(path.read_bytes())
        return {str(name): (float(a), float(b)) for name, (a, b) in table.items() if b > 0}
    except (OSError, ValueError, TypeError, AttributeError):  # none yet, or damaged: it is made again
        return {}
