"""The programs that go further than the tests: mutation testing and fuzzing led by coverage, a short run of each (D2-b1)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def run(*argv: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts" / argv[0]), *argv[1:]]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=280)


def test_mutants_of_one_module_are_killed_or_known(tmp_path: Path) -> None:
    """All of it takes minutes; this one shows that the script, its list of survivors and the tests go together."""
    done = run("mutation", "nvpmodel", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "| parse.nvpmodel | " in done.stdout


def test_a_module_that_is_not_there(tmp_path: Path) -> None:
    done = run("mutation", "no_such_module", cwd=tmp_path)
    assert done.returncode == 1
    assert "not all are modules" in done.stderr


def test_fuzzing_finds_nothing_in_two_seconds(tmp_path: Path) -> None:
    done = run("fuzz_parsers", "--seconds", "2", "--findings", str(tmp_path / "found"), cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "number_of_executed_units" in done.stderr
    assert not list((tmp_path / "found").iterdir())


def test_an_input_is_read_again(tmp_path: Path) -> None:
    one = tmp_path / "input"
    one.write_bytes(b"\x05garbage\n")
    assert (
        run("fuzz_parsers", "--replay", str(one), cwd=tmp_path).stdout
        == "nothing but values and parse errors\n"
    )
