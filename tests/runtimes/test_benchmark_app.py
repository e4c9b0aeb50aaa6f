"""TFLite's benchmark app (D1.1). *Replayed*: there is no Android runtime here. `am`, `pidof` and `logcat` are scripts that
print what a phone's were seen to print, so that the script, the agent and the reading are real and the app is not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgekit.api.devices import connect
from edgekit.config import RuntimeEntry
from edgekit.deployment.launching import launch
from edgekit.deployment.runtime_there import RuntimeWish, choose, install
from edgekit.devices import Device
from edgekit.errors import EdgekitError, InputError
from edgekit.events import ignore
from edgekit.runtimes.base import RunnerJob, make_bundle
from edgekit.runtimes.benchmark_app import ACTIVITY, BenchmarkAppRuntime
from edgekit.runtimes.tool import ToolJob, ToolOutput, ToolResult
from tests.parse.outputs import output

pytestmark = pytest.mark.usefixtures("own_local")

BUNDLE = make_bundle("t", "1", [])
JOB = ToolJob(
    model="/m/model.tflite", scratch="/s", threads=4, iterations=50, min_seconds=1.5, accelerator="nnapi"
)
AM = """#!/bin/sh
echo "$@" >> "$HERE/am.txt"
case $1 in
  force-stop) rm -f "$HERE/running"; exit 0;;
  start) [ -e "$HERE/installed" ] || { echo "Error: Activity class {$4} does not exist."; exit 0; }
         touch "$HERE/running";;
esac
"""
PIDOF = """#!/bin/sh
[ -e "$HERE/running" ] && echo 3380
"""
LOGCAT = """#!/bin/sh
echo "$@" >> "$HERE/logcat.txt"
cat "$HERE/log"
"""


@pytest.fixture
def phone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose programs stand in for Android's; `log` is what the log holds, `installed` says that the app is."""
    for name, text in (("am", AM), ("pidof", PIDOF), ("logcat", LOGCAT)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "installed").touch()
    (tmp_path / "log").write_text(output("benchmark_logcat"))
    monkeypatch.setenv("HERE", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return tmp_path


def launched(device: Device, max_seconds: float = 5.0) -> ToolResult:
    chosen = choose(device, "tflite", None, RuntimeWish(name="benchmark-app", accelerator="nnapi"))
    installed = install(device, chosen, ignore)
    with device.scratch() as scratch:
        job = RunnerJob(model="/data/local/tmp/model.tflite", samples="s", max_seconds=max_seconds)
        found = launch(device, installed, job, cwd=scratch).result
    assert isinstance(found, ToolResult)
    return found


def test_the_app_is_started_its_log_read_and_the_app_ended(phone: Path) -> None:
    with connect("local:") as device:
        found = launched(device)
    assert (found.latency.count, found.latency.avg_us) == (69, 14575.2)
    assert found.init_us == 5685
    assert (found.requested_accelerator, found.actual_accelerator, found.fully_accelerated) == (
        "nnapi",
        "nnapi",
        False,
    )
    assert not found.own_process
    said = (phone / "am.txt").read_text().splitlines()
    assert said[0] == said[-1] == "force-stop org.tensorflow.lite.benchmark"
    assert said[1].startswith(
        f"start -W -n {ACTIVITY} --es args --graph=/data/local/tmp/model.tflite --num_threads=1"
    )
    assert "--use_nnapi=true" in said[1]
    assert (phone / "logcat.txt").read_text().splitlines()[0] == "-d -v threadtime --pid=3380 -s tflite"


@pytest.mark.parametrize(
    ("damage", "code", "words"),
    [
        ("installed", "E_TOOL_FAILED", "does not exist"),
        ("log", "E_RUNNER_TIMEOUT", "within 2 s"),
        ("crash", "E_TOOL_FAILED", "the app ended before its run did"),
        ("am", "E_TOOL_FAILED", "am"),
    ],
)
def test_an_app_that_is_missing_silent_crashed_or_no_android(
    phone: Path, damage: str, code: str, words: str
) -> None:
    """Each a clear error, and the app is ended."""
    log = output("benchmark_logcat")
    half = log[: log.index("05-30 15:16:46.366")]
    if damage in ("log", "crash"):
        (phone / "log").write_text(half)
    else:
        (phone / damage).unlink()
    if damage == "crash":  # it is gone after it was seen once
        (phone / "pidof").write_text('#!/bin/sh\n[ -e "$HERE/running" ] && rm "$HERE/running" && echo 3380\n')
    with connect("local:") as device, pytest.raises(EdgekitError, match=words) as caught:
        launched(device, max_seconds=2.0)
    assert caught.value.code == code
    assert caught.value.hint is not None
    if damage != "am":
        assert (phone / "am.txt").read_text().splitlines()[0].startswith("force-stop")


def test_a_flag_that_the_app_passed_over_is_an_error() -> None:
    """D1.1: as of the program; it goes on without."""
    log = output("benchmark_logcat")
    first = "05-30 15:16:44.801  3380  3380 I tflite  : "
    said = log.replace(first, f"{first}Unconsumed cmdline flags: --use_nnapi=true\n{first}", 1)
    with pytest.raises(InputError, match="--use_nnapi=true") as caught:
        BenchmarkAppRuntime().read(JOB, ToolOutput(exit_code=0, stdout=said.encode(), stderr=b""))
    assert caught.value.code == "E_TOOL_FLAG"


def test_flags_are_benchmark_models_in_one_text() -> None:
    argv = BenchmarkAppRuntime().command(BUNDLE, "/b", JOB).argv
    assert argv[:2] == ("sh", "-c")
    assert argv[4] == ACTIVITY
    assert argv[5].split(" ")[:2] == ["--graph=/m/model.tflite", "--num_threads=4"]
    assert argv[6] == "600"


@pytest.mark.parametrize("model", ["/m/my model", "/m/$(reboot)", '/m/"x', "/m/a;b", "/m/a'b"])
def test_what_the_one_text_cannot_hold_is_refused(model: str) -> None:
    with pytest.raises(InputError) as caught:
        BenchmarkAppRuntime().command(BUNDLE, "/b", ToolJob(model=model, scratch="/s"))
    assert caught.value.code == "E_TOOL_OPTION"


@pytest.mark.parametrize("program", ["x", "a/b; reboot", "org.x/.A --es"])
def test_an_activity_that_is_none_is_refused(program: str) -> None:
    with pytest.raises(InputError) as caught:
        BenchmarkAppRuntime.configured(RuntimeEntry(program=program))
    assert caught.value.code == "E_TOOL_OPTION"
