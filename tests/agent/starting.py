"""Starts real agents, natively and under qemu-user, over the local transport."""

from __future__ import annotations

import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest

from edgekit.agent.binaries import find_binary
from edgekit.agent.client import AgentClient
from edgekit.transports.base import Stream
from edgekit.transports.local import LocalTransport

REPOSITORY = Path(__file__).parents[2]
EMULATORS = {"arm64-v8a": "qemu-aarch64-static", "armeabi-v7a": "qemu-arm-static"}
ABIS = ("x86_64", "arm64-v8a", "armeabi-v7a")


def build(*arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, str(REPOSITORY / "scripts" / "build_native"), *arguments]
    return subprocess.run(argv, capture_output=True, text=True, timeout=900, check=False)


@cache
def built(abi: str) -> str:
    """Path of an up-to-date agent."""
    done = build("--abi", abi)
    assert done.returncode == 0, done.stderr
    return str(find_binary(abi).path)


def agent_argv(abi: str, root: Path, silence_ms: int = 15000) -> list[str]:
    argv = [built(abi), "serve", "--root", str(root), "--silence-ms", str(silence_ms)]
    if platform.machine() == {"x86_64": "x86_64", "arm64-v8a": "aarch64"}.get(abi):
        return argv
    emulator = shutil.which(EMULATORS[abi]) if abi in EMULATORS else None
    if emulator is None:
        pytest.skip(f"{abi} needs {EMULATORS.get(abi, 'its own machine')}")
    return [emulator, *argv]


def native_abi() -> str:
    return {"x86_64": "x86_64", "aarch64": "arm64-v8a"}.get(platform.machine(), "armeabi-v7a")


def open_stream(root: Path, abi: str | None = None, silence_ms: int = 15000) -> Stream:
    return LocalTransport().open(agent_argv(abi or native_abi(), root, silence_ms), timeout=10)


@contextmanager
def agent(root: Path, abi: str | None = None, silence_ms: int = 15000) -> Iterator[AgentClient]:
    stream = open_stream(root, abi, silence_ms)
    client = AgentClient.start(stream, timeout=20, device="test:")
    try:
        yield client
    finally:
        client.close()


def eventually(condition: Callable[[], bool], seconds: float = 5.0) -> bool:
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


def processes_with(word: str) -> list[int]:
    """Pids whose command line has `word` in it, this process excepted."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            words = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if word.encode() in words:
            found.append(int(folder.name))
    return found


def alive(pid: int) -> bool:
    """Neither gone nor a zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return text.rsplit(")", 1)[1].split()[0] != "Z"


def children_of(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def guardian_of(client: AgentClient) -> int:
    """Its pid; 0 where there is none just now."""
    for pid in children_of(client.hello.pid):
        try:
            if Path(f"/proc/{pid}/comm").read_text().strip() == "ek-guardian":
                return pid
        except (FileNotFoundError, ProcessLookupError):
            continue
    return 0


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    os.kill(pid, number)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
