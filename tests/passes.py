"""Tests that take long and passed once are not run again while nothing that they depend on has changed.

Two groups. Converters (`heavy`) and agents, transports, meters, whole devices, cuts, fuzzing (LONG, by file). A test depends on its own file
and all Python that this can reach (tests/closure.py), the data that lies beside, every installed package with its
version, and Python itself; those of LONG on the native sources, every script, the kernel and the system's packages,
too. All that is hashed; a mark in the cache is named by that hash and the test. What was changed since the tests began leaves no
mark: nobody knows which of the two ran. `EDGEKIT_TEST_ALL=1` runs all the same; the summary tells how many were not run again.
"""

from __future__ import annotations

import hashlib
import os
import platform
import sys
import time
from collections.abc import Iterable
from functools import cache
from importlib import metadata
from pathlib import Path

import pytest

from edgekit.cache import cache_dir
from tests.closure import PACKAGES, ROOT, closure

FOLDERS = ("tests/conversion", "tests/ios_export", "tests/models", "tests/profiles")
"""Where heavy tests depend on nothing but what is hashed: no device, no transport, no agent."""
DATA = (
    *FOLDERS,
    "device_profiles",
    "examples",
    "pyproject.toml",
    "ios_export/pyproject.toml",
    "scripts/capability_tables",
)
"""Besides the Python that a test reaches."""
LONG = (
    "tests/agent/",
    "tests/api/",
    "tests/benchmarks/",
    "tests/deployment/test_store_machine.py",
    "tests/failures/",
    "tests/faults/",
    "tests/meters/",
    "tests/runner/",
    "tests/test_targets/",
    "tests/transports/",
)
LONG_DATA = (
    "benchmarks",
    "device_profiles",
    "examples",
    "edgekit/agent/bin",
    "native",
    "pyproject.toml",
    "ios_export/pyproject.toml",
    "scripts",
    "tests",
)
"""The programs that were built, too: they may be older than their sources."""
_DATA_OF = {"long": LONG_DATA, "heavy": DATA}
_SYSTEM = Path("/var/lib/dpkg/status")
"""Every package of a Debian system, with its version."""
_OURS = tuple(f"{name}." for name in PACKAGES)
_STARTED = time.time()


@cache
def _content(group: str, test_file: Path) -> str:
    digest = hashlib.sha256(f"{_surroundings(group)}\0".encode())
    for path in sorted(closure(test_file)):
        _add(digest, path)
    return digest.hexdigest()


@cache
def _surroundings(group: str) -> str:
    """Of all that is the same for the tests of a group."""
    digest = hashlib.sha256(f"{group} {sys.version}".encode())
    if group == "long":
        digest.update(f"{platform.release()} {os.environ.get('EDGEKIT_FAULTS')}".encode())
        digest.update(_SYSTEM.read_bytes() if _SYSTEM.is_file() else b"")
    for path in sorted(_data(_DATA_OF[group])):
        _add(digest, path)
    for name in sorted({f"{d.metadata['Name']}=={d.version}" for d in metadata.distributions()}):
        digest.update(f"{name}\0".encode())
    return digest.hexdigest()


def _add(digest: hashlib._Hash, path: Path) -> None:
    digest.update(f"{path.relative_to(ROOT)}\0{_sha256(path)}\0".encode())


@cache
def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@cache
def _data(names: tuple[str, ...]) -> set[Path]:
    """Python of the tests is no data: of that, a test depends on what it reaches."""
    files = {ROOT / name for name in names if (ROOT / name).is_file()}
    files |= {path for name in names for path in _below(ROOT / name)}
    return {path for path in files if path.suffix != ".py" or not path.is_relative_to(ROOT / "tests")}


def _below(folder: Path) -> Iterable[Path]:
    for path in folder.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path


def _group(item: pytest.Item) -> str | None:
    if os.environ.get("EDGEKIT_TEST_ALL") or os.environ.get("EDGEKIT_FAULTS_TABLE"):
        return None
    if item.nodeid.startswith(LONG):
        return "long"
    heavy = item.get_closest_marker("heavy") is not None and item.nodeid.startswith(FOLDERS)
    return "heavy" if heavy else None


def mark(item: pytest.Item) -> Path | None:
    """The file that stands for a pass of this test with this content; None for tests that always run."""
    group = _group(item)
    if group is None:
        return None
    name = hashlib.sha256(item.nodeid.encode()).hexdigest()[:32]
    return cache_dir("test-passes", _content(group, item.path)[:32]) / name


_CALLED = pytest.StashKey[bool]()


def note(item: pytest.Item, report: pytest.TestReport) -> None:
    """Keep the pass of a test once all three phases passed. One that fails while it is torn down takes back the passes of its
    whole file: what it tears down may be others' too."""
    if report.when == "call":
        item.stash[_CALLED] = report.passed
    if report.when != "teardown":
        return
    if report.failed:
        for other in item.session.items:
            if other.path == item.path and (kept := mark(other)) is not None:
                kept.unlink(missing_ok=True)
    elif item.stash.get(_CALLED, False) and (kept := mark(item)) is not None and _unchanged(item):
        kept.touch()


def _unchanged(item: pytest.Item) -> bool:
    """Whether what a test depends on is what it was when this process began to import it."""
    group = _group(item)
    data = _data(_DATA_OF[group]) if group is not None else set()
    try:
        return all(path.stat().st_ctime < _STARTED for path in closure(item.path) | data)
    except OSError:  # it is gone
        return False


_BEFORE = pytest.StashKey[tuple[Path, frozenset[str]]]()


def begin(item: pytest.Item) -> None:
    """Note which modules there are before the first test of a file runs."""
    if item.session.stash.get(_BEFORE, (None, None))[0] != item.path:
        item.session.stash[_BEFORE] = (item.path, frozenset(sys.modules))


def beyond(item: pytest.Item) -> list[str]:
    """Modules of the project that this file's tests imported, and that tests/closure.py did not foresee: it is wrong."""
    known = closure(item.path)
    found = []
    for name in set(sys.modules) - item.session.stash[_BEFORE][1]:
        file = getattr(sys.modules.get(name), "__file__", None) if name.startswith(_OURS) else None
        if file and Path(file).is_relative_to(ROOT) and Path(file) not in known:
            found.append(name)
    return sorted(found)


def report_again(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Report a test as passed without running it; whatever the test before left set up is torn down as usual."""
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    torn = pytest.CallInfo.from_call(
        lambda: item.session._setupstate.teardown_exact(nextitem),
        when="teardown",
        reraise=(KeyboardInterrupt, pytest.exit.Exception),
    )
    for when in ("setup", "call", "teardown"):
        if when == "teardown" and torn.excinfo is not None:
            report = item.ihook.pytest_runtest_makereport(item=item, call=torn)
        else:
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
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
