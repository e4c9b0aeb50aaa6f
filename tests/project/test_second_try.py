"""What scripts/test does with tests that failed (scripts/lib/tests.sh): a real pytest over files written here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GOOD = "def test_good(): pass\n"
FLAKY = """
from pathlib import Path
import pytest
@pytest.fixture(scope="session")
def kept():
    yield
    mark = Path(__file__).with_suffix(".seen")
    first = not mark.exists()
    mark.touch()
    assert not first, "the end of a fixture"
def test_flaky(kept): pass
"""
WRONG = "import pytest\n@pytest.mark.parametrize('n', range(%d))\ndef test_wrong(n): assert n < 0\n"


def _tested(folder: Path, *files: str, arguments: tuple[str, ...] = ()) -> tuple[int, str]:
    for number, text in enumerate(files):
        (folder / f"test_{number}.py").write_text(text, encoding="utf-8")
    (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    script = f'set -euo pipefail; source "{ROOT}/scripts/lib/tests.sh"; tested "$@"'
    argv = ["bash", "-c", script, "-", str(folder / "cache"), sys.executable, "-p", "no:randomly", *arguments]
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("arguments", [(), ("-n", "2", "--dist", "loadfile")], ids=["one", "side by side"])
def test_what_failed_by_chance_passes_and_is_told(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    code, said = _tested(tmp_path, GOOD, FLAKY, arguments=arguments)
    assert code == 0, said
    assert "passed only when run by themselves:" in said
    assert said.rstrip().endswith("== test_1.py::test_flaky")


def test_what_is_wrong_fails(tmp_path: Path) -> None:
    code, said = _tested(tmp_path, GOOD, WRONG % 1, FLAKY)
    assert code == 1
    assert "once more, by themselves: 2 that failed" in said
    assert "passed only" not in said


def test_many_are_not_chance(tmp_path: Path) -> None:
    code, said = _tested(tmp_path, WRONG % 6)
    assert code == 1
    assert "once more" not in said


def test_all_that_pass_run_once(tmp_path: Path) -> None:
    (tmp_path / "cache" / "v" / "cache").mkdir(parents=True)
    (tmp_path / "cache" / "v" / "cache" / "lastfailed").write_text('{"test_9.py::test_gone": true}')
    code, said = _tested(tmp_path, GOOD)
    assert code == 0
    assert "once more" not in said


@pytest.mark.parametrize("text", ["import nothing_of_this_name\n", "raise KeyboardInterrupt\n"])
def test_an_end_in_the_middle_is_not_tried_again(tmp_path: Path, text: str) -> None:
    code, said = _tested(tmp_path, text)
    assert code == 2
    assert "once more" not in said
