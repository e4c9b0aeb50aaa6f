"""A runtime that crashes. The library here is a real one, made by the project's own compiler, that does just that."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from edgekit.errors import ModelError, RemoteError
from edgekit.runtimes.base import RunnerJob
from edgekit.runtimes.result import check_launch
from tests.runner import tiny
from tests.runner.launching import Launcher, Outcome, native

HEADER = Path(__file__).resolve().parents[2] / "native" / "runner" / "litert" / "litert_api.h"
CRASHES = {
    "SIGSEGV": "*(volatile int *)8 = 1;",
    "SIGABRT": "abort();",
    "SIGILL": "__builtin_trap();",
    "a full stack": "deeper(1);",
}
NUMBERS = {"SIGSEGV": "11", "SIGABRT": "06", "SIGILL": "04", "a full stack": "11"}


@pytest.fixture(scope="module")
def launcher(tmp_path_factory: pytest.TempPathFactory) -> Launcher:
    return native(tmp_path_factory.mktemp("native"))


def library(folder: Path, crash: str, place: str) -> Path:
    """A library with every function that the runner wants; the one called `place` crashes."""
    names = re.findall(r'"(LiteRt\w+)"', HEADER.read_text())
    assert place in names
    lines = ["#include <stdio.h>", "#include <stdlib.h>"]
    lines += [
        "int deeper(int n) { volatile char room[4096]; room[0] = (char)n; return deeper(n + 1) + room[0]; }"
    ]
    for name in names:
        body = f'fputs("ERROR: about to crash\\n", stderr); {crash}' if name == place else ""
        lines.append(f"int {name}(void) {{ {body} return 0; }}")
    source, made = folder / "library.c", folder / "libcrash.so"
    source.write_text("\n".join(lines) + "\n")
    command = [sys.executable, "-m", "ziglang", "cc", "-shared", "-fPIC", "-O0", "-w", "-fno-sanitize=all"]
    subprocess.run([*command, str(source), "-o", str(made)], check=True, timeout=240, capture_output=True)
    return made


def launch(launcher: Launcher, made: Path, tmp_path: Path) -> Outcome:
    model = tiny.open_batch(tmp_path / "model.tflite")
    argv, environment = launcher.command(RunnerJob(model=str(model), samples=str(tmp_path / "s")))
    argv[argv.index("--library") + 1] = str(made)
    return launcher.start(argv, environment)


@pytest.mark.parametrize("crash", sorted(CRASHES))
def test_a_crash_while_the_model_is_loaded_is_the_models_fault(
    launcher: Launcher, tmp_path: Path, crash: str
) -> None:
    outcome = launch(launcher, library(tmp_path, CRASHES[crash], "LiteRtCreateModelFromFile"), tmp_path)
    assert outcome.exit_code == 1
    assert outcome.answer["code"] == "E_MODEL_CRASH"
    assert f"(signal {NUMBERS[crash]})" in outcome.answer["message"]
    assert "about to crash" in outcome.stderr
    with pytest.raises(ModelError) as caught:
        check_launch(outcome.exit_code, outcome.stdout, outcome.stderr)
    assert caught.value.code == "E_MODEL_CRASH"


def test_a_crash_before_any_model_is_a_signal(launcher: Launcher, tmp_path: Path) -> None:
    """Then the model has no part in it, and the host sees how the process really ended."""
    outcome = launch(launcher, library(tmp_path, CRASHES["SIGSEGV"], "LiteRtCreateEnvironment"), tmp_path)
    assert outcome.exit_code == -11
    assert outcome.stdout == b""
    with pytest.raises(RemoteError) as caught:
        check_launch(128 - outcome.exit_code, outcome.stdout, outcome.stderr)
    assert caught.value.code == "E_RUNNER_CRASH"
    assert "SIGSEGV" in caught.value.message


def test_names_that_are_not_utf8(launcher: Launcher, tmp_path: Path) -> None:
    model = tiny.copy_of(tmp_path / "model.tflite", "float32", name="abcdefgh")
    model.write_bytes(model.read_bytes().replace(b"abcdefgh", b"a\xff\xc0\xafb\xed\xa0\x80"))
    job = RunnerJob(model=str(model), samples=str(tmp_path / "s"))
    assert launcher.run(replace(job, iterations=2)).inputs[0].name == "a\ufffd\ufffd\ufffdb\ufffd\ufffd\ufffd"
