"""Tests that take long and passed once are not run again while nothing that they depend on has changed.

Two groups. Converters (`heavy`) depend on edgekit's code that converts and looks into models, the plug-in in ios_export, what
their tests share, the profiles. Cuts, fuzzing and whole devices (LONG, by file) depend on all of edgekit, the native
sources, the targets, and the kernel. Both depend on the test's own file, every installed package with its version, and
Python itself. All that is hashed; a mark in the cache is named by that hash and the test. `EDGEKIT_TEST_ALL=1` runs
all the same; the summary tells how many were not run again.
"""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from collections.abc import Iterable
from functools import cache
from importlib import metadata
from pathlib import Path

import pytest

from edgekit.cache import cache_dir

ROOT = Path(__file__).parents[1]
FOLDERS = ("tests/conversion", "tests/ios_export", "tests/models", "tests/profiles")
"""Where heavy tests depend on nothing but what is hashed: no device, no transport, no agent."""
DEPENDS_ON = (
    *FOLDERS,
    "tests/conftest.py",
    "tests/passes.py",
    "edgekit/api",
    "edgekit/cli",
    "edgekit/conversion",
    "edgekit/models",
    "edgekit/profiles",
    "edgekit/devices/layout.py",
    "ios_export/edgekit_ios",
    "device_profiles",
    "examples",
    "scripts/capability_tables",
    "pyproject.toml",
)
_TOP = "edgekit"  # its single modules: errors, cache, registry, ...
LONG = (
    "tests/agent/test_fuzz.py",
    "tests/benchmarks/",
    "tests/deployment/test_store_machine.py",
    "tests/failures/",
    "tests/faults/",
    "tests/runner/",
    "tests/test_targets/",
)
LONG_DEPENDS_ON = (
    "benchmarks",
    "device_profiles",
    "edgekit",
    "examples",
    "native",
    "pyproject.toml",
    "scripts",
    "tests",
)
_MADE = ("__pycache__", "bin")
"""Folders of files that are made from others."""


@cache
def _content(group: str) -> str:
    digest = hashlib.sha256(f"{group} {sys.version}".encode())
    if group == "long":
        digest.update(platform.release().encode())
    for path in sorted(_files(group)):
        digest.update(f"{path.relative_to(ROOT)}\0".encode())
        digest.update(path.read_bytes())
    for name in sorted({f"{d.metadata['Name']}=={d.version}" for d in metadata.distributions()}):
        digest.update(f"{name}\0".encode())
    return digest.hexdigest()


def _files(group: str) -> set[Path]:
    """Without test files: each test depends on its own."""
    names = LONG_DEPENDS_ON if group == "long" else DEPENDS_ON
    files: list[Path] = [ROOT / name for name in names if (ROOT / name).is_file()]
    files += [path for name in names for path in _below(ROOT / name)]
    if group != "long":
        files += (ROOT / _TOP).glob("*.py")
    return {path for path in files if not path.name.startswith("test_")}


def _below(folder: Path) -> Iterable[Path]:
    for path in folder.rglob("*"):
        if path.is_file() and not any(part in _MADE for part in path.relative_to(ROOT).parts):
            yield path


def mark(item: pytest.Item) -> Path | None:
    """The file that stands for a pass of this test with this content; None for tests that always run."""
    if os.environ.get("EDGEKIT_TEST_ALL"):
        return None
    if item.nodeid.startswith(LONG):
        group = "long"
    elif item.get_closest_marker("heavy") is not None and item.nodeid.startswith(FOLDERS):
        group = "heavy"
    else:
        return None
    name = hashlib.sha256(item.path.read_bytes() + item.nodeid.encode()).hexdigest()[:32]
    return cache_dir("test-passes", _content(group)[:32]) / name


def report_again(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Report a test as passed without running it; whatever the test before left set up is torn down as usual."""
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for when in ("setup", "call", "teardown"):
        report = pytest.TestReport(
            nodeid=item.nodeid,
            location=item.location,
            keywords={},
            outcome="passed",
            longrepr=None,
            when=when,  # type: ignore[arg-type]
            duration=0.0,
            user_properties=[("passed before", True)],
        )
        item.ihook.pytest_runtest_logreport(report=report)
    item.session._setupstate.teardown_exact(nextitem)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
