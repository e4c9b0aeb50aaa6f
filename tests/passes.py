"""Heavy tests that passed once are not run again while nothing that they depend on has changed.

Converters take minutes, and most changes do not touch them. What such a test depends on is hashed: edgekit's code that
converts and looks into models, the plug-in in ios_export, the test's own file, what tests share and their data, the profiles,
every installed package with its version, and Python itself. A mark in the cache is named by that hash and the test. `EDGEKIT_TEST_ALL=1` runs
all the same; the summary tells how many were not run again.
"""

from __future__ import annotations

import hashlib
import os
import sys
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


@cache
def _content() -> str:
    digest = hashlib.sha256(sys.version.encode())
    files = [ROOT / name for name in DEPENDS_ON if (ROOT / name).is_file()]
    files += [path for name in DEPENDS_ON for path in (ROOT / name).rglob("*") if path.is_file()]
    files += list((ROOT / _TOP).glob("*.py"))
    shared = {path for path in files if "__pycache__" not in path.parts and not path.name.startswith("test_")}
    for path in sorted(shared):
        digest.update(f"{path.relative_to(ROOT)}\0".encode())
        digest.update(path.read_bytes())
    for name in sorted({f"{d.metadata['Name']}=={d.version}" for d in metadata.distributions()}):
        digest.update(f"{name}\0".encode())
    return digest.hexdigest()


def mark(item: pytest.Item) -> Path | None:
    """The file that stands for a pass of this test with this content; None for tests that always run."""
    if item.get_closest_marker("heavy") is None or os.environ.get("EDGEKIT_TEST_ALL"):
        return None
    if not item.nodeid.startswith(FOLDERS):
        return None
    name = hashlib.sha256(item.path.read_bytes() + item.nodeid.encode()).hexdigest()[:32]
    return cache_dir("test-passes", _content()[:32]) / name


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
