"""A-b5: SIGINT, SIGTERM, SIGHUP and kill -9 at any point. Nothing strays on either side, settings are restored:
shown on an injected tree through the production path, and on one real kernel setting."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.agent.starting import kernel_setting
from tests.cli.running import MODEL, QUICK, edgekit
from tests.failures.under_way import UnderWay, big_model, cpufreq, launch_started, sending

EXIT = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
SETTING = Path("/proc/sys/vm/vfs_cache_pressure")


def wait_for(happened: Callable[[], bool], what: str, timeout: float = 30.0) -> None:
    end = time.monotonic() + timeout
    while not happened():
        assert time.monotonic() < end, f"not in {timeout} s: {what}"
        time.sleep(0.02)


def processes_below(root: Path) -> list[str]:
    """Command lines of this machine's processes that mention the device's root."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if str(root) in words and state != "Z":
            found.append(words)
    return found


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A recorded /sys with cpufreq and a thermal zone, as a board has it."""
    root = tmp_path / "tree"
    cpufreq(root)
    zone = root / "sys/class/thermal/thermal_zone0"
    zone.mkdir(parents=True)
    (zone / "type").write_text("cpu-thermal\n")
    (zone / "temp").write_text("45000\n")
    return root


@pytest.fixture
def project(tmp_path: Path, tree: Path) -> Path:
    """Devices on this machine, each with a root of its own: `it` has the tree for its /sys and a governor to
    set; `kernel` has this machine's own settings, and a knob for one of them."""
    (tmp_path / "mine.yaml").write_text(
        "schema: edgekit.profile/1\nname: mine\nextends: host-x86-64\n"
        "bench:\n  governor: performance\n  min_seconds: 3\n"
    )
    (tmp_path / "real.yaml").write_text(
        "schema: edgekit.profile/1\nname: real\nextends: host-x86-64\n"
        "bench:\n  min_seconds: 3\n  knobs: {/proc/sys/vm/vfs_cache_pressure: '99'}\n"
    )
    (tmp_path / "edgekit.yaml").write_text(
        "devices:\n"
        f'  it: {{address: "local:", root: "{tmp_path}/device", sysroot: "{tree}", profile: mine.yaml}}\n'
        f'  kernel: {{address: "local:", root: "{tmp_path}/device", profile: real.yaml}}\n'
    )
    return tmp_path


@pytest.fixture
def setting() -> Iterator[str]:
    """The kernel's own value before, certainly restored after."""
    with kernel_setting(SETTING) as before:
        yield before.decode().strip()


def catches_hangup(pid: int) -> bool:
    """Python itself catches SIGINT only: who catches SIGHUP has come as far as edgekit's first lines."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = int(status.partition("SigCgt:")[2].split()[0], 16)
    return bool(caught >> (signal.SIGHUP - 1) & 1)


def test_a_signal_in_a_finalizer_is_not_lost() -> None:
    """Python drops an exception that is raised there."""
    code = (
        "import os, signal, time\n"
        "from edgekit.cli import signals\n"
        "signals.install()\n"
        "class Falls:\n"
        "    def __del__(self):\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "        time.sleep(0.01)\n"
        "try:\n"
        "    Falls()\n"
        "    time.sleep(20)\n"
        "except signals.Signalled as error:\n"
        "    print(signals.EXIT_BY_SIGNAL[error.number])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip(), done.stderr) == ("143", "")


def test_a_signal_that_c_code_turns_into_another_error_is_still_the_reason() -> None:
    """The compiler imports unicodedata for a name of a character and reports any failure of that as SyntaxError."""
    code = (
        "import os, signal, sys, time\n"
        "class Sends:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'edgekit.cli.commands.releases':\n"
        "            sys.modules.pop('unicodedata', None)\n"
        "            compile(r'\"\\N{BULLET}\"', 'text', 'eval')\n"
        "        if name == 'unicodedata':\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "            time.sleep(0.01)\n"
        "sys.meta_path.insert(0, Sends())\n"
        "sys.argv = ['edgekit', 'rollback', '-d', 'local:', 'name', '--json']\n"
        "from edgekit.cli.entry import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 130, done.stdout + done.stderr
    assert json.loads(done.stdout)["error"]["code"] == "E_INTERRUPTED"


def test_a_command_that_is_done_does_not_look_through_its_memory_once_more() -> None:
    """With PyTorch loaded that takes seconds after the last line."""
    code = (
        "import atexit, gc, sys\n"
        "from edgekit.cli.entry import main\n"
        "atexit.register(lambda: print('frozen', gc.get_freeze_count() > 0))\n"
        "sys.argv = ['edgekit', '--version']\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "frozen True")


def governor(tree: Path) -> str:
    return (tree / "sys/devices/system/cpu/cpufreq/policy0/scaling_governor").read_text().strip()


def nothing_is_left(project: Path, tree: Path) -> None:
    wait_for(lambda: governor(tree) == "ondemand", "the governor restored")
    wait_for(
        lambda: not processes_below(project / "device"), f"no process: {processes_below(project / 'device')}"
    )


def test_the_knobs_are_set_while_it_measures_and_restored_after(project: Path, tree: Path) -> None:
    done = UnderWay("bench", MODEL, "-d", "it", "--launches", "2", env={}, cwd=project)
    try:
        done.wait_until(launch_started)
        assert governor(tree) == "performance"
        record = done.ended(120).ok().json()
    finally:
        done.kill()
    nothing_is_left(project, tree)
    assert record["conditions"]["before"]["governor"] == "performance"
    assert record["conditions"]["before"]["temperature_mc"] == 45000
    assert not [note for note in record["verdict"]["notes"] if "not set" in note]


def test_a_knob_that_cannot_be_set_is_a_note(project: Path) -> None:
    """A6: without root, or where there is no such thing, the record says what was not set."""
    (project / "mine.yaml").write_text(
        "schema: edgekit.profile/1\nname: mine\nextends: host-x86-64\n"
        "bench: {min_seconds: 0, knobs: {/sys/no/such/setting: '1'}}\n"
    )
    record = edgekit("bench", MODEL, "-d", "it", "--json", *QUICK, cwd=project).ok().json()
    assert any("/sys/no/such/setting was not set" in note for note in record["verdict"]["notes"])


@pytest.mark.skipif(os.geteuid() != 0, reason="changing a kernel setting needs root")
@pytest.mark.parametrize("number", [None, signal.SIGTERM, signal.SIGKILL], ids=str)
def test_ab5_a_real_kernel_setting_is_restored(
    project: Path, tree: Path, setting: str, number: signal.Signals | None
) -> None:
    bench = UnderWay("bench", MODEL, "-d", "kernel", "--launches", "2", env={}, cwd=project)
    try:
        bench.wait_until(launch_started)
        assert SETTING.read_text().strip() == "99"
        if number is not None:
            bench.process.send_signal(number)
        done = bench.ended(60)
    finally:
        bench.kill()
    assert done.code == (EXIT.get(number, -9) if number is not None else 0)
    wait_for(lambda: SETTING.read_text().strip() == setting, "the kernel's setting restored")
    nothing_is_left(project, tree)


@pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL], ids=lambda s: s.name
)
def test_ab5_ended_while_it_measures(project: Path, tree: Path, number: signal.Signals) -> None:
    bench = UnderWay("bench", MODEL, "-d", "it", "--launches", "30", env={}, cwd=project)
    try:
        bench.wait_until(launch_started)
        assert governor(tree) == "performance"
        bench.process.send_signal(number)
        done = bench.ended(30)
    finally:
        bench.kill()
    assert done.code == EXIT.get(number, -9)
    assert "Traceback" not in done.stderr
    nothing_is_left(project, tree)
    again = (
        edgekit("bench", MODEL, "-d", "it", "--json", "-p", "host-x86-64", *QUICK, cwd=project).ok().json()
    )
    assert again["latency"]["count"] >= 60


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=lambda s: s.name)
def test_ab5_ended_while_it_pushes(project: Path, tree: Path, number: signal.Signals) -> None:
    first = edgekit("push", MODEL, "-d", "it", "--name", "m", "--json", cwd=project).ok().json()
    push = UnderWay("push", big_model(project), "-d", "it", "--name", "m", env={}, cwd=project)
    try:
        push.wait_until(sending("push m", 1.0))
        push.process.send_signal(number)
        done = push.ended(30)
    finally:
        push.kill()
    assert done.code in (EXIT.get(number, -9), 0)
    nothing_is_left(project, tree)
    rows = edgekit("releases", "m", "-d", "it", "--json", cwd=project).ok().json()["releases"]
    if done.code != 0:
        assert [(row["version"], row["active"]) for row in rows] == [(first["version"], True)]
    edgekit("push", project / "big.tflite", "-d", "it", "--name", "m", "--json", cwd=project).ok()
    assert not list((project / "device").rglob("*.ek-tmp"))


@pytest.mark.parametrize("delay_s", [0.0, 0.05, 0.15, 0.3, 0.6, 1.0, 1.6, 2.5])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda s: s.name)
def test_ab5_ended_at_any_moment(project: Path, tree: Path, number: signal.Signals, delay_s: float) -> None:
    """From the interpreter's start to the report's writing: never a traceback, never anything left."""
    arguments = ("run", MODEL, "-d", "it", "--recipe", "float32", "--launches", "2", "--no-cool")
    job = UnderWay(*arguments, env={}, cwd=project)
    try:
        wait_for(lambda: catches_hangup(job.process.pid), "edgekit's own handlers")
        time.sleep(delay_s)
        in_time = job.process.poll() is None
        job.process.send_signal(number)
        done = job.ended(60)
    finally:
        job.kill()
    assert done.code == (EXIT[number] if in_time else 0)
    assert "Traceback" not in done.stderr
    nothing_is_left(project, tree)


def test_ab5_the_agent_killed(project: Path, tree: Path) -> None:
    """kill -9 of the agent itself: its guardian ends the launch and restores the settings."""
    bench = UnderWay("bench", MODEL, "-d", "it", "--launches", "30", env={}, cwd=project)
    try:
        bench.wait_until(launch_started)
        agents = [
            int(entry.name)
            for entry in Path("/proc").iterdir()
            if entry.name.isdigit() and _is_agent(entry, project / "device", bench.process.pid)
        ]
        assert len(agents) == 1
        os.kill(agents[0], signal.SIGKILL)
        done = bench.ended(60)
    finally:
        bench.kill()
    assert done.error()["code"] == "E_DEVICE_LOST"
    nothing_is_left(project, tree)


def _is_agent(entry: Path, root: Path, parent: int) -> bool:
    try:
        words = (entry / "cmdline").read_bytes()
        ppid = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return False
    return f"{root}/agent/".encode() in words and ppid == parent
