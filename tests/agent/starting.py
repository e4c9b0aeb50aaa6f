"""Starts real agents, natively and under qemu-user, over the local transport."""

from __future__ import annotations

import fcntl
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
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
CHECKED = "checked"
"""In place of an ABI: built for this machine, with sanitizers."""
running = [""]
"""What `native_abi` says; "": the truth."""


def build(*arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, str(REPOSITORY / "scripts" / "build_native"), *arguments]
    return subprocess.run(argv, capture_output=True, text=True, timeout=900, check=False)


@cache
def built(abi: str) -> str:
    """Path of an up-to-date agent; that with sanitizers where `abi` is CHECKED."""
    if abi == CHECKED:
        done = build("--checked")
        if "no C compiler" in done.stderr:
            pytest.skip(done.stderr.strip())
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()
    done = build("--abi", abi)
    assert done.returncode == 0, done.stderr
    return str(find_binary(abi).path)


def agent_argv(abi: str, root: Path, silence_ms: int = 15000) -> list[str]:
    argv = [built(abi), "serve", "--root", str(root), "--silence-ms", str(silence_ms)]
    if abi == CHECKED or platform.machine() == {"x86_64": "x86_64", "arm64-v8a": "aarch64"}.get(abi):
        return argv
    emulator = shutil.which(EMULATORS[abi]) if abi in EMULATORS else None
    if emulator is None:
        pytest.skip(f"{abi} needs {EMULATORS.get(abi, 'its own machine')}")
    return [emulator, *argv]


def native_abi() -> str:
    """Of this machine, unless a test runs everything with the agent that has sanitizers."""
    if running[0]:
        return running[0]
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


@contextmanager
def kernel_setting(path: Path) -> Iterator[bytes]:
    """What a real setting of this kernel says, which is put back whatever happens. One at a time: another run of the tests on
    this machine may be at it."""
    with open(Path(tempfile.gettempdir(), f"edgekit-tests-{path.name}.lock"), "ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        before = path.read_bytes()
        try:
            yield before
        finally:
            if path.read_bytes() != before:
                path.write_bytes(before)


@contextmanager
def sanitized(folder: Path) -> Iterator[None]:
    """Agents of the kind CHECKED write what they find into this folder; then it fails."""
    reports = folder / "reports"
    reports.mkdir(exist_ok=True)
    reports.chmod(0o777)
    log = f"log_path={reports}/report:exitcode=99"
    before = {name: os.environ.get(name) for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS")}
    os.environ |= {
        "ASAN_OPTIONS": f"{log}:detect_stack_use_after_return=1",
        "UBSAN_OPTIONS": f"{log}:print_stacktrace=1",
    }
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value
        eventually(lambda: not processes_with(str(folder)))  # guardians end a moment later
        found = [path.read_text(errors="replace") for path in sorted(reports.iterdir())]
        assert not found, found[0]


@contextmanager
def each_build(kind: str, folder: Path) -> Iterator[None]:
    """While it lasts, agents that are started without an ABI are of this kind: "" or CHECKED."""
    with sanitized(folder):
        running[0] = kind
        try:
            yield
        finally:
            running[0] = ""


def eventually(condition: Callable[[], bool], seconds: float = 30.0) -> bool:
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
    """Its pid. Waits for it: one that was killed is replaced a moment later."""
    found = [0]

    def there() -> bool:
        found[0] = next((pid for pid in children_of(client.hello.pid) if _is_guardian(pid)), 0)
        return found[0] != 0

    assert eventually(there), "no guardian"
    return found[0]


def _is_guardian(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip() == "ek-guardian"
    except (FileNotFoundError, ProcessLookupError):
        return False


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    os.kill(pid, number)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def leased(root: Path) -> bool:
    """Whether somebody holds the device by its lease file, which stays there, void, when it was given back."""
    try:
        lines = (root / "lease").read_text().splitlines()
    except FileNotFoundError:
        return False
    return lines[2] != "0"
