"""Environments of their own for tools: made whole or not at all, once, by whichever process is first (B1.2, B1-b2).

The package in them is a tiny wheel made here; pip, venv and the processes are real.
"""

from __future__ import annotations

import _thread
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgekit.conversion.isolated import MARKER, Plan, Tool, ToolEnvironment, ensure, run_tool
from edgekit.conversion.processes import error_line
from edgekit.errors import HostDiskFull, HostNetwork, ToolError
from edgekit.events import Event

pytestmark = pytest.mark.base
HERE = (sys.version_info[0], sys.version_info[1])
TINY = ToolEnvironment(
    "tiny", ("tinytool",), (Plan(HERE, ("edgekit-tiny-tool==1.0",)),), variable="EDGEKIT_TINY"
)
MAKE_IT = (
    "import sys; from edgekit.conversion.isolated import *\n"
    "from tests.conversion.test_isolated import TINY\n"
    "print(ensure(TINY, lambda event: print(event.message, flush=True)).folder)"
)
TOOL = """
import os, sys
def main():
    print(os.environ["PATH"].split(os.pathsep)[0], os.environ.get("PYTHONPATH"), os.environ["PYTHONNOUSERSITE"])
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("EDGEKIT_CACHE_DIR", str(folder))
    return folder


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """pip is set up, by its own settings, to find the tiny wheel in a folder and to ask no index."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    make_wheel(folder)
    for name, value in {
        "PIP_FIND_LINKS": str(folder),
        "PIP_NO_INDEX": "1",
        "PIP_CONFIG_FILE": os.devnull,
    }.items():
        monkeypatch.setenv(name, value)
    return folder


@pytest.fixture
def no_local_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pip that has nothing but the index it is told, and does not try again."""
    for name in ("PIP_FIND_LINKS", "PIP_NO_INDEX", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"PIP_CONFIG_FILE": os.devnull, "PIP_RETRIES": "0", "NO_PROXY": "127.0.0.1"}.items():
        monkeypatch.setenv(name, value)


def make_wheel(folder: Path, *, ballast_bytes: int = 0) -> None:
    info = "edgekit_tiny_tool-1.0.dist-info"
    with zipfile.ZipFile(folder / "edgekit_tiny_tool-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tinytool.py", TOOL)
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: edgekit-tiny-tool\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/entry_points.txt", "[console_scripts]\ntinytool = tinytool:main\n")
        if ballast_bytes:
            wheel.writestr("tinyballast.bin", os.urandom(ballast_bytes))
        wheel.writestr(f"{info}/RECORD", "")


def environments(cache: Path) -> list[Path]:
    return [path for path in (cache / "tools").iterdir() if path.is_dir()]


def maker() -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", MAKE_IT], stdout=subprocess.PIPE, text=True)


def test_made_once_and_then_used(cache: Path, wheels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[Event] = []
    tool = ensure(TINY, events.append)
    assert [event.task for event in events] == ["convert", "convert"]
    assert tool.versions["edgekit-tiny-tool"] == "1.0"
    assert (tool.folder / MARKER).is_file()
    assert tool.python.is_file()

    events.clear()
    monkeypatch.setenv("PIP_FIND_LINKS", "/nowhere")
    assert ensure(TINY, events.append) == tool
    assert events == []

    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    done = run_tool(tool, ["tinytool"], cache, 60.0)
    assert done.stdout.split() == [str(tool.bin), "None", "1"]


def test_what_was_half_made_is_made_again(cache: Path, wheels: Path) -> None:
    tool = ensure(TINY)
    (tool.folder / MARKER).unlink()
    (tool.folder / "left-over").touch()
    assert ensure(TINY) == tool
    assert (tool.folder / MARKER).is_file()
    assert not (tool.folder / "left-over").exists()


@pytest.mark.usefixtures("no_local_packages")
def test_no_network(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """(B1-b2) The real tool's environment without a network: fails soon, says what to do, leaves nothing."""
    from edgekit.conversion.targets.onnx2tf import ONNX2TF

    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/")
    monkeypatch.delenv("EDGEKIT_ONNX2TF", raising=False)
    started = time.monotonic()
    with pytest.raises(HostNetwork) as caught:
        ensure(ONNX2TF)
    assert time.monotonic() - started < 60
    assert caught.value.code == "E_TOOL_NETWORK"
    assert caught.value.transient
    assert "edgekit cache prefetch --tool onnx2tf" in str(caught.value.hint)
    assert environments(cache) == []


def test_killed_while_it_was_made(
    cache: Path, wheels: Path, no_local_packages: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """(B1-b2) kill -9 leaves a half-made environment; the next call waits for what still writes there, then makes it."""
    with silent_server() as (port, server):
        monkeypatch.setenv("EDGEKIT_INDEX_URL", f"http://127.0.0.1:{port}/simple")
        killed = maker()
        assert killed.stdout is not None
        while "installing" not in killed.stdout.readline():
            assert killed.poll() is None
        connection, _ = server.accept()
        killed.kill()
        killed.wait()
        (half_made,) = environments(cache)
        assert not (half_made / MARKER).exists()
        server.close()
    monkeypatch.delenv("EDGEKIT_INDEX_URL")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    waits: list[Event] = []

    def tell(event: Event) -> None:
        if "waiting" in event.message:
            waits.append(event)
            connection.close()

    assert ensure(TINY, tell).folder == half_made
    assert waits
    assert (half_made / MARKER).exists()
    killed.stdout.close()


def test_two_processes_at_once(cache: Path, wheels: Path) -> None:
    makers = [maker(), maker()]
    said = [process.communicate(timeout=120)[0].splitlines() for process in makers]
    assert [process.returncode for process in makers] == [0, 0]
    assert said[0][-1] == said[1][-1]
    assert sum("installing" in line for lines in said for line in lines) == 1


def test_no_disk(tmp_path: Path, wheels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """(B1-b2) The disk fills while packages are unpacked (a file system of 3 MB; needs root)."""
    make_wheel(wheels, ballast_bytes=5 << 20)
    with small_disk(tmp_path / "small", "size=3m") as small:
        monkeypatch.setenv("EDGEKIT_CACHE_DIR", str(small))
        with pytest.raises(HostDiskFull) as caught:
            ensure(TINY)
        assert "EDGEKIT_CACHE_DIR" in str(caught.value.hint)
        assert environments(small) == []


def test_an_interrupt_leaves_nothing(
    cache: Path, no_local_packages: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with silent_server() as (port, _):
        monkeypatch.setenv("EDGEKIT_INDEX_URL", f"http://127.0.0.1:{port}/simple")

        def interrupt(event: Event) -> None:
            if "installing" in event.message:
                threading.Timer(1.0, _thread.interrupt_main).start()

        with pytest.raises(KeyboardInterrupt):
            ensure(TINY, interrupt)
    assert environments(cache) == []


def test_an_index_that_never_answers_meets_the_deadline(
    cache: Path, no_local_packages: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with silent_server() as (port, _):
        monkeypatch.setenv("EDGEKIT_INDEX_URL", f"http://127.0.0.1:{port}/simple")
        started = time.monotonic()
        with pytest.raises(HostNetwork) as caught:
            ensure(TINY, timeout_s=5.0)
    assert time.monotonic() - started < 60
    assert caught.value.code == "E_TOOL_NETWORK"


def test_another_process_holds_it_for_too_long(cache: Path, wheels: Path) -> None:
    import fcntl

    folder = ensure(TINY).folder
    (folder / MARKER).unlink()
    with open(folder.parent / f".{folder.name}.lock", "ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(ToolError) as caught:
            ensure(TINY, timeout_s=0.5)
    assert caught.value.code == "E_TOOL_BUSY"
    assert caught.value.transient


def test_no_such_python(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason is told: here a python3.99 that is there and does not run."""
    fake = tmp_path / "python3.99"
    fake.write_text("#!/bin/sh\necho 'python3.99: command not found' >&2\nexit 127\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(ToolError) as caught:
        ensure(ToolEnvironment("odd", ("odd",), (Plan((3, 99), ("odd==1",)),), variable="EDGEKIT_ODD"))
    assert caught.value.code == "E_TOOL_PYTHON"
    assert "3.99" in caught.value.message
    assert "command not found" in caught.value.message
    assert "EDGEKIT_ODD" in str(caught.value.hint)


def test_the_second_plan_where_the_first_ones_python_is_missing(cache: Path, wheels: Path) -> None:
    plans = (Plan((3, 99), ("edgekit-tiny-tool==9",)), *TINY.plans)
    tool = ensure(ToolEnvironment("tiny", ("tinytool",), plans))
    assert tool.versions["edgekit-tiny-tool"] == "1.0"


def test_a_package_without_the_program(cache: Path, wheels: Path) -> None:
    with pytest.raises(ToolError) as caught:
        ensure(ToolEnvironment("tiny", ("other",), TINY.plans))
    assert caught.value.code == "E_TOOL_INSTALL"
    assert "other" in caught.value.message
    assert environments(cache) == []


def test_an_environment_of_the_users_own(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEKIT_TINY", str(tmp_path))
    with pytest.raises(ToolError) as caught:
        ensure(TINY)
    assert caught.value.code == "E_TOOL_ENVIRONMENT"
    assert "bin/tinytool" in caught.value.message
    script(tmp_path, "tinytool", "echo own")
    tool = ensure(TINY)
    assert tool.folder == tmp_path
    assert run_tool(tool, ["tinytool"], tmp_path, 60.0).stdout == "own\n"
    assert not cache.exists()


def test_a_deadline_ends_all_that_was_started(tmp_path: Path) -> None:
    tool = script(tmp_path, "slow", "sleep 300 & echo $! > child; sleep 300")
    with pytest.raises(ToolError) as caught:
        run_tool(tool, ["slow"], tmp_path, 6.0)
    assert caught.value.code == "E_CONVERTER_TIMEOUT"
    assert gone(int((tmp_path / "child").read_text()))


def test_an_interrupt_ends_all_that_was_started(tmp_path: Path) -> None:
    tool = script(tmp_path, "slow", "sleep 300 & echo $! > child; sleep 300")
    child = tmp_path / "child"

    def interrupt() -> None:
        while not (child.exists() and child.read_text().endswith("\n")):
            time.sleep(0.05)
        _thread.interrupt_main()

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        run_tool(tool, ["slow"], tmp_path, 60.0)
    assert gone(int((tmp_path / "child").read_text()))


def test_a_tool_that_fails_is_quoted(tmp_path: Path) -> None:
    tool = script(
        tmp_path, "bad", "printf '50%%\\r\\033[31mERROR:\\033[0m no such operator\\n'; echo bye; exit 3"
    )
    with pytest.raises(ToolError) as caught:
        run_tool(tool, ["bad"], tmp_path, 60.0)
    assert caught.value.code == "E_CONVERTER"
    assert caught.value.message == "bad ended with exit code 3: ERROR: no such operator"


def test_a_tool_that_is_killed(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="memory"):
        run_tool(script(tmp_path, "bad", "kill -9 $$"), ["bad"], tmp_path, 60.0)


def test_long_outputs_are_kept_in_part(tmp_path: Path) -> None:
    tool = script(tmp_path, "chatty", "yes line | head -n 100000; echo last")
    said = run_tool(tool, ["chatty"], tmp_path, 60.0).stdout
    assert len(said) == 64 << 10
    assert said.endswith("last\n")


@pytest.mark.parametrize(
    ("stdout", "stderr", "line"),
    [
        ("a\nValueError: x\n", "", "ValueError: x"),
        ("", "Traceback\nfoo.bar.CustomError: deep\n", "foo.bar.CustomError: deep"),
        ("only words\n", "", "only words"),
        ("", "", "it said nothing"),
    ],
)
def test_the_line_that_tells_why(stdout: str, stderr: str, line: str) -> None:
    assert error_line(stdout, stderr) == line


def script(folder: Path, name: str, body: str) -> Tool:
    (folder / "bin").mkdir(exist_ok=True)
    (folder / "bin" / name).write_text(f"#!/bin/sh\n{body}\n")
    (folder / "bin" / name).chmod(0o755)
    return Tool("scripts", folder)


def gone(pid: int) -> bool:
    """Whether a process ended; a zombie that nobody has waited for yet counts."""
    for _ in range(300):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.1)
    os.kill(pid, signal.SIGKILL)
    return False


@contextlib.contextmanager
def silent_server() -> Iterator[tuple[int, socket.socket]]:
    """A server that takes connections and never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        yield server.getsockname()[1], server


@contextlib.contextmanager
def small_disk(folder: Path, *options: str) -> Iterator[Path]:
    folder.mkdir()
    argv = ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(folder)]
    mounted = subprocess.run(argv, capture_output=True, text=True, timeout=30)
    if mounted.returncode:
        pytest.skip(f"a small file system needs root: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True, timeout=30)
