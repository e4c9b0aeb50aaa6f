"""Run the real command line as its users do: a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DIGITS = Path(__file__).parents[2] / "examples" / "digits"
MODEL = DIGITS / "digits.tflite"
QUICK = ("--launches", "3", "--iterations", "20", "--min-seconds", "0", "--warmup-iterations", "2")


@dataclass(frozen=True)
class Ran:
    """A command that has ended."""

    code: int
    stdout: str
    stderr: str

    def json(self) -> Any:
        """stdout as the one JSON document that it must be."""
        return json.loads(self.stdout)

    def ok(self) -> Ran:
        assert self.code == 0, f"exit {self.code}\n{self.stdout}\n{self.stderr}"
        return self

    def error(self) -> dict[str, Any]:
        """The error of a command with --json."""
        assert self.code != 0, self.stdout
        found: dict[str, Any] = self.json()["error"]
        assert "Traceback" not in self.stderr
        assert found["message"]
        return found


def argv(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "edgekit", *map(str, arguments)]


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    return {**os.environ, "NO_COLOR": "1", "COLUMNS": "120", **(extra or {})}


def edgekit(
    *arguments: str | Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float = 200.0,
    stdin: str = "",
) -> Ran:
    done = subprocess.run(
        argv(*arguments),
        env=environment(env),
        cwd=cwd,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    return Ran(done.returncode, done.stdout, done.stderr)
