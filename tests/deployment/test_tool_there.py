"""Tools of the user's on a real device (this machine, through the agent): D1.1, D1-b3.

litert-benchmark runs for real. benchmark_model is replayed: a program built here prints what the real one was seen to
print, so that all but the tool itself is exercised: the pinned binary, its way to the device, launches that crash, hang
or vanish.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgekit.config import Config, DeviceEntry
from edgekit.deployment.tool_there import InstalledTool, install_tool, launch_tool, prepare_tool
from edgekit.devices import Device, open_device
from edgekit.errors import InputError, RemoteError
from edgekit.parse import ParseError
from edgekit.runtimes.benchmark_model import BenchmarkModelRuntime
from edgekit.runtimes.litert_benchmark import LitertBenchmarkRuntime
from edgekit.runtimes.tool import ToolJob
from edgekit.runtimes.trtexec import TrtexecRuntime
from edgekit.runtimes.user_binary import UserBinary
from tests.cli.running import MODEL
from tests.parse.outputs import output

PROGRAM = Path(sys.executable).parent / "litert-benchmark"
REPLAY = r"""
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++)
        if (!strncmp(argv[i], "--graph=", 8)) {
            FILE *said = fopen(argv[i] + 8, "r");
            int c, hangs = strstr(argv[i], ".sleep") != 0;
            if (!said) { fprintf(stderr, "no model\n"); return 1; }
            while ((c = getc(said)) != EOF) putchar(c);
            fflush(stdout);
            if (strstr(argv[i], ".segv")) raise(SIGSEGV);
            if (hangs) sleep(60);
            return 0;
        }
    return 2;
}
"""


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    config = Config(devices={"it": DeviceEntry(address="local:", root=str(tmp_path / "device"))})
    with open_device("it", config=config) as opened:
        yield opened


@pytest.fixture(scope="module")
def replay(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("ziglang")
    folder = tmp_path_factory.mktemp("replay")
    (folder / "replay.c").write_text(REPLAY)
    made = folder / "benchmark_model"
    command = [sys.executable, "-m", "ziglang", "cc", "-O1", str(folder / "replay.c"), "-o", str(made)]
    subprocess.run(command, check=True, timeout=240, capture_output=True)
    return made


@pytest.mark.skipif(not PROGRAM.exists(), reason="ai-edge-litert is not installed")
def test_litert_benchmark_runs_there_and_its_numbers_come_back(device: Device) -> None:
    installed = install_tool(device, LitertBenchmarkRuntime(str(PROGRAM)))
    assert installed.bundle.files == ()
    with device.scratch() as scratch:
        job = ToolJob(model=str(MODEL), scratch=scratch, iterations=40, warmup_iterations=4)
        prepare_tool(device, installed, job)
        done = launch_tool(device, installed, job)
    assert (done.result.latency.count, done.result.threads, done.result.actual_accelerator) == (40, 1, "cpu")
    assert done.process.max_rss_bytes > 1 << 20
    assert done.argv[0] == str(PROGRAM)


def test_a_tool_that_is_not_there_says_so(device: Device) -> None:
    with device.scratch() as scratch:
        job = ToolJob(model=str(MODEL), scratch=scratch, accelerator="gpu")
        installed = install_tool(device, TrtexecRuntime("/nowhere/trtexec"))
        for step in (prepare_tool, launch_tool):
            with pytest.raises(RemoteError) as caught:
                step(device, installed, job)
            assert (caught.value.code, caught.value.device) == ("E_TOOL_MISSING", device.address)


def put(device: Device, scratch: str, name: str, text: str) -> str:
    path = f"{scratch}/{name}"
    device.agent.put(text.encode(), path)
    return path


@pytest.fixture
def installed(device: Device, replay: Path) -> InstalledTool:
    return install_tool(device, BenchmarkModelRuntime(UserBinary(path=replay, version="2.17")))


def test_the_users_binary_is_put_under_its_hash_and_run(device: Device, installed: InstalledTool) -> None:
    assert installed.bundle.sha256 in installed.folder
    with device.scratch() as scratch:
        model = put(device, scratch, "model", output("benchmark_model_percentiles"))
        done = launch_tool(device, installed, ToolJob(model=model, scratch=scratch, accelerator="gpu"))
    assert (done.result.latency.median_us, done.result.actual_accelerator) == (115350, "gpu")
    assert (done.result.version, done.result.samples_us) == ("2.17", None)


def test_a_tool_that_crashes_hangs_or_prints_half_gives_no_number(
    device: Device, installed: InstalledTool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D1-b3: each a clear error, even where all of the result was printed before."""
    whole = output("benchmark_model_2024")
    with device.scratch() as scratch:
        crashes = put(device, scratch, "model.segv", whole)
        with pytest.raises(RemoteError) as crashed:
            launch_tool(device, installed, ToolJob(model=crashes, scratch=scratch))
        assert (crashed.value.code, crashed.value.device) == ("E_RUNNER_CRASH", device.address)
        assert crashed.value.argv[0].endswith("/benchmark_model")
        monkeypatch.setattr("edgekit.deployment.tool_there.START_SECONDS", 1.5)
        hangs = put(device, scratch, "model.sleep", whole)
        with pytest.raises(RemoteError) as hung:
            launch_tool(device, installed, ToolJob(model=hangs, scratch=scratch, max_seconds=0.5))
        assert hung.value.code == "E_RUNNER_TIMEOUT"
        assert "Inference timings" in hung.value.stdout
        half = put(device, scratch, "half", whole[: whole.index("INFO: count=74")])
        with pytest.raises(ParseError) as cut:
            launch_tool(device, installed, ToolJob(model=half, scratch=scratch))
        assert cut.value.device == device.address


def test_a_changed_binary_is_put_anew_and_a_wrong_one_refused(
    device: Device, installed: InstalledTool, replay: Path, tmp_path: Path
) -> None:
    changed = tmp_path / "benchmark_model"
    changed.write_bytes(replay.read_bytes() + b"\0")
    again = install_tool(device, BenchmarkModelRuntime(UserBinary(path=changed, version="2.17")))
    assert again.folder != installed.folder
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\nexit 0\n")
    with pytest.raises(InputError) as caught:
        install_tool(device, BenchmarkModelRuntime(UserBinary(path=script)))
    assert caught.value.code == "E_ABI"


@pytest.mark.skipif(not PROGRAM.exists(), reason="ai-edge-litert is not installed")
def test_files_of_the_launch_before_are_not_taken_for_this_ones(device: Device) -> None:
    installed = install_tool(device, LitertBenchmarkRuntime(str(PROGRAM)))
    with device.scratch() as scratch:
        stale = put(
            device,
            scratch,
            "result.json",
            output("litert_benchmark_json").replace('"num_threads": 1', '"num_threads": 9'),
        )
        job = ToolJob(model=str(MODEL), scratch=scratch, iterations=3)
        assert launch_tool(device, installed, job).result.threads == 1
        assert device.agent.stat(stale) is not None  # the new one
