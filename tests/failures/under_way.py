"""A command that is cut off in the middle: started for real, watched through its log file."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.cli.running import MODEL, Ran, argv, environment

BIG_MIB = 150


def big_model(folder: Path, size_mib: int = BIG_MIB) -> Path:
    """The digit classifier with bytes behind it that no reader looks at: large enough to be cut off."""
    path = folder / "big.tflite"
    with path.open("wb") as file:
        file.write(MODEL.read_bytes())
        for _ in range(size_mib):
            file.write(os.urandom(1 << 20))
    return path


def cpufreq(tree: Path) -> Path:
    """A recorded /sys with one cpufreq policy, as a board has it, below `tree`. Returns the policy's folder."""
    policy = tree / "sys/devices/system/cpu/cpufreq/policy0"
    policy.mkdir(parents=True)
    for name, text in {
        "related_cpus": "0 1",
        "scaling_governor": "ondemand",
        "scaling_available_governors": "performance ondemand",
        "scaling_cur_freq": "1500000",
        "cpuinfo_max_freq": "1500000",
    }.items():
        (policy / name).write_text(text + "\n")
    return policy


class UnderWay:
    """One command of edgekit, running."""

    def __init__(self, *arguments: str | Path, env: Mapping[str, str], cwd: Path) -> None:
        self.log = cwd / f"log-{time.monotonic_ns()}.txt"
        self.process = subprocess.Popen(
            argv(*arguments, "--json", "--log-file", self.log),
            env=environment(env),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_until(self, seen: Callable[[str], bool], timeout: float = 90.0) -> str:
        """Wait until the log satisfies `seen`. Fails where the command ends before."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            text = self.log.read_text(errors="replace") if self.log.exists() else ""
            if seen(text):
                return text
            if self.process.poll() is not None:
                raise AssertionError(f"ended too early: {self.process.communicate()} {text[-2000:]}")
            time.sleep(0.002)
        raise AssertionError(f"not seen in {timeout} s: {text[-2000:]}")

    def ended(self, timeout: float) -> Ran:
        """Its end; fails where it does not come in time."""
        stdout, stderr = self.process.communicate(timeout=timeout)
        return Ran(self.process.returncode, stdout, stderr)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate(timeout=20)


def sending(task: str, at_least_mb: float) -> Callable[[str], bool]:
    """Has the log seen this much of `task` sent?"""

    def seen(text: str) -> bool:
        lines = [line for line in text.splitlines() if f" {task} [" in line and line.endswith(" MB")]
        return bool(lines) and float(lines[-1].rpartition(": ")[2].partition("/")[0]) >= at_least_mb

    return seen


def launch_started(text: str) -> bool:
    return "measure [" in text and "1/" in text.rpartition("measure [")[2]
