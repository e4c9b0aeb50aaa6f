"""Files of tests that run side by side: the order in which they are handed out (tests/order.py)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.order import SecondsKept, TestFile, _read, plan

pytestmark = pytest.mark.base


def _file(name: str, seconds: float, *, computes: bool = False) -> TestFile:
    return TestFile(name, seconds, computes)


def test_the_longest_comes_first() -> None:
    files = [_file("b", 1), _file("a", 9), _file("c", 5)]
    assert plan(files, workers=2, processors=2) == ["a", "c", "b"]


def test_files_that_wait_run_beside_those_that_compute() -> None:
    """Two processors, three workers: two compute, the third takes what waits; nobody is left with a long one."""
    files = [_file(f"compute-{n}", 10, computes=True) for n in range(4)]
    files += [_file(f"wait-{n}", 5) for n in range(4)]
    assert plan(files, workers=3, processors=2) == [
        "compute-3", "compute-2", "wait-3", "wait-2", "compute-1", "compute-0", "wait-1", "wait-0",
    ]  # fmt: skip


@pytest.mark.parametrize("computes", [True, False])
def test_where_one_kind_is_left_all_workers_take_it(computes: bool) -> None:
    files = [_file(name, 1, computes=computes) for name in "abcd"]
    assert sorted(plan(files, workers=3, processors=1)) == list("abcd")


def test_no_file_is_lost_or_handed_out_twice() -> None:
    files = [_file(f"f{n}", n % 7, computes=n % 3 == 0) for n in range(50)]
    assert sorted(plan(files, workers=2, processors=2)) == sorted(f.name for f in files)
    assert plan([], workers=2, processors=2) == []


def test_a_worker_that_died_leaves_a_table_that_can_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its file took no seconds of no tests: that tells nothing, and must not stop every run after this one."""
    monkeypatch.setenv("EDGEKIT_CACHE_DIR", str(tmp_path))
    table = tmp_path / "test-seconds" / "files.json"
    table.parent.mkdir()
    table.write_text('{"tests/test_old.py": [0.0, 0], "tests/test_good.py": [3.0, 2]}')
    kept = SecondsKept()
    died = pytest.TestReport(
        nodeid="tests/test_now.py::test_one",
        location=("tests/test_now.py", None, ""),
        keywords={},
        outcome="failed",
        longrepr="worker 'gw0' crashed",
        when="???",  # type: ignore[arg-type] # as xdist has it
    )
    kept.pytest_runtest_logreport(died)
    kept.pytest_sessionfinish()
    assert _read(table) == {"tests/test_good.py": (3.0, 2.0)}
    assert list(json.loads(table.read_bytes())) == ["tests/test_good.py"]


def test_a_busy_machine_is_no_failure_of_an_example() -> None:
    """Hypothesis allows 200 ms for each, outside of CI, and a second for drawing some; many run side by side here, and
    pytest-timeout holds."""
    assert settings().deadline is None
    assert HealthCheck.too_slow in settings().suppress_health_check
