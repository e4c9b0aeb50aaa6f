"""A pass is kept only for what really passed, with the content that it passed with (tests/passes.py)."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import passes
from tests.closure import ROOT

CONFTEST = """
from pathlib import Path

import pytest

from tests import closure, passes
from tests.conftest import pytest_runtest_makereport, pytest_runtest_protocol, pytest_terminal_summary

closure.ROOT = passes.ROOT = Path(__file__).parent
closure.TESTS = closure.PACKAGES["tests"] = closure.ROOT / "tests"
passes._surroundings = lambda group: "the same"


@pytest.fixture(scope="module")
def shared():
    yield
    assert not (closure.ROOT / "broken").exists()
"""
Run = Callable[[str], str]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """pytest on a file of tests of a project that has nothing but that, and the marks of its own; gives what it said."""
    file = tmp_path / "tests" / "agent" / "test_made.py"
    file.parent.mkdir(parents=True)
    (tmp_path / "conftest.py").write_text(CONFTEST, encoding="utf-8")
    argv = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "--import-mode=importlib",
        "-q",
        "tests",
    ]
    env = {
        name: value for name, value in os.environ.items() if name != "CI" and not name.startswith("EDGEKIT_")
    }
    env |= {"EDGEKIT_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": str(ROOT)}
    env["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"

    def said(text: str) -> str:
        file.write_text(text, encoding="utf-8")
        done = subprocess.run(
            argv, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120, check=False
        )
        return done.stdout + done.stderr

    return said


def test_what_passed_is_not_run_again(run: Run) -> None:
    text = "def test_one(): pass\ndef test_two(): assert False\n"
    assert "1 failed, 1 passed" in run(text)
    assert "1 long tests were not run again" in run(text)
    assert "not run again" not in run(text + "\n"), "other content"


def test_what_fails_while_it_is_torn_down_has_not_passed(run: Run, tmp_path: Path) -> None:
    """Neither the test whose report that is, nor any other that used what was torn down."""
    text = "def test_one(shared): pass\ndef test_two(): pass\n"
    (tmp_path / "broken").touch()
    for _ in range(2):
        said = run(text)
        assert "2 passed, 1 error" in said
        assert "not run again" not in said


def test_what_others_left_is_torn_down_where_a_test_is_not_run_again(run: Run, tmp_path: Path) -> None:
    """Where that fails it is an error of this test and not the end of the run; and it runs the next time."""
    text = (
        "from pathlib import Path\n"
        "def test_one(shared): assert Path('broken').exists()\n"
        "def test_two(): pass\n"
    )
    assert "1 failed, 1 passed" in run(text)
    (tmp_path / "broken").touch()
    said = run(text)
    assert "2 passed, 1 error" in said
    assert "1 long tests were not run again" in said
    assert "not run again" not in run(text)


def test_what_was_changed_after_it_was_imported_has_not_passed(run: Run) -> None:
    """A mark would name what is there now, and not what ran."""
    text = (
        "from pathlib import Path\n"
        "there = Path(__file__)\n"
        "there.write_text(there.read_text().replace('1 == 1', '1 == 2'))\n"
        "def test_one(): assert 1 == 1\n"
    )
    assert "1 passed" in run(text)
    assert "1 failed" in run(text.replace("1 == 1", "1 == 2"))


def test_programs_in_folders_of_that_name_count() -> None:
    """The phone's own (getprop, dumpsys) are sources. The agent that was built may be older than its sources."""
    known = {str(path.relative_to(ROOT)) for path in passes._data(passes.LONG_DATA)}
    assert "tests/targets/android/bin/getprop" in known
    assert "edgekit/agent/bin/x86_64/edgekit-agent" in known


def test_a_sample_that_passed_is_not_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """EDGEKIT_FAULTS=all runs more in tests of the same names."""
    monkeypatch.delenv("EDGEKIT_FAULTS", raising=False)
    sampled = passes._surroundings.__wrapped__("long")
    monkeypatch.setenv("EDGEKIT_FAULTS", "all")
    assert passes._surroundings.__wrapped__("long") != sampled
