"""Runs a tool of another environment: with a deadline, without this Python's packages, and with nothing left behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from edgekit.cache import host_errors

_TAIL_BYTES = 64 << 10
_UNSET = (
    "PYTHONPATH",
    "PYTHONHOME",
    "VIRTUAL_ENV",
    "__PYVENV_LAUNCHER__",
    "PIP_TARGET",
    "PIP_PREFIX",
    "PIP_USER",
)
_NO_SPACE = ("No space left on device", "Disk quota exceeded")
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_ERROR_LINE = re.compile(r"^(ERROR:|error:|[\w.]*(Error|Exception|Failure)\b)", re.IGNORECASE)


def run(
    command: list[str],
    cwd: Path,
    timeout_s: float,
    *,
    bin_folder: Path | None = None,
    pass_fds: Sequence[int] = (),
) -> tuple[int, str, str]:
    """Exit status and the ends of both outputs. The process group ends with this call, however it ends.

    Raises subprocess.TimeoutExpired, HostError where the program does not start.
    """
    with host_errors(command[0]), tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            env=environment(bin_folder),
            start_new_session=True,
            pass_fds=pass_fds,
        )
        try:
            status = process.wait(timeout_s)
        finally:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        return status, _tail(out), _tail(err)


def environment(bin_folder: Path | None = None) -> dict[str, str]:
    """The process's environment without what would mix this Python's packages into the tool's."""
    environment = {name: value for name, value in os.environ.items() if name not in _UNSET}
    environment["PYTHONNOUSERSITE"] = "1"
    if bin_folder is not None:
        environment["PATH"] = os.pathsep.join([str(bin_folder), environment.get("PATH", os.defpath)])
    return environment


def _tail(file: IO[bytes]) -> str:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _TAIL_BYTES))
    return file.read().decode("utf-8", "replace")


def disk_was_full(stdout: str, stderr: str) -> bool:
    """Whether a tool's words tell that the disk was full."""
    return any(text in stdout or text in stderr for text in _NO_SPACE)


def status_text(status: int) -> str:
    if status == -signal.SIGKILL:
        return "signal 9 (often: this host has too little memory)"
    return f"signal {-status}" if status < 0 else f"exit code {status}"


def error_line(stdout: str, stderr: str) -> str:
    """The last line of a tool's output that looks like the reason of its failure, else its last line."""
    lines = [
        line.strip()
        for text in (stdout, stderr)
        for line in re.split(r"[\r\n]+", _ANSI.sub("", text))
        if line.strip()
    ]
    reasons = [line for line in lines if _ERROR_LINE.match(line)]
    return ((reasons or lines or ["it said nothing"])[-1])[:400]
