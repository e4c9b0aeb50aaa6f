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
from typing import Any

import pytest

from edgekit.config import Config, DeviceEntry, RuntimeEntry
from edgekit.deployment.launching import Launched, launch, prepare
from edgekit.deployment.runtime_there import Installed, RuntimeWish, choose, install
from edgekit.devices import Device, open_device
from edgekit.errors import InputError, RemoteError, VerdictError
from edgekit.events import ignore
from edgekit.parse import ParseError
from edgekit.profiles import load_profile
from edgekit.runtimes.base import RunnerJob
from edgekit.runtimes.tool import ToolResult
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


def there(device: Device, name: str, entry: RuntimeEntry | None = None, **wish: Any) -> Installed:
    """A tool chosen by its name and settings, as `--runtime` does, and put there."""
    kind = "onnx" if name == "trtexec" else "tflite"
    settings = {} if entry is None else {name: entry}
    return install(
        device, choose(device, kind, None, RuntimeWish(name=name, settings=settings, **wish)), ignore
    )


def asked(model: str, scratch: str, **more: Any) -> RunnerJob:
    return RunnerJob(model=model, samples=f"{scratch}/samples", **more)


def told(done: Launched) -> ToolResult:
    assert isinstance(done.result, ToolResult)
    return done.result


@pytest.mark.skipif(not PROGRAM.exists(), reason="ai-edge-litert is not installed")
def test_litert_benchmark_runs_there_and_its_numbers_come_back(device: Device) -> None:
    installed = there(device, "litert-benchmark", RuntimeEntry(program=str(PROGRAM)), required=True)
    assert installed.bundle.files == ()
    with device.scratch() as scratch:
        job = asked(str(MODEL), scratch, iterations=40, warmup_iterations=4, cpus="0")
        prepare(device, installed, job, cwd=scratch)
        done = launch(device, installed, job, cwd=scratch)
    result = told(done)
    assert (result.latency.count, result.threads, result.actual_accelerator) == (40, 1, "cpu")
    assert done.process.max_rss_bytes > 1 << 20
    assert done.argv[0] == str(PROGRAM)


def test_a_tool_that_is_not_there_says_so(device: Device) -> None:
    with device.scratch() as scratch:
        job = asked(str(MODEL), scratch)
        installed = there(device, "trtexec", RuntimeEntry(program="/nowhere/trtexec"))
        assert installed.accelerator == "gpu"  # it has no cpu: what it is started with is what was asked
        for step in (prepare, launch):
            with pytest.raises(RemoteError) as caught:
                step(device, installed, job, cwd=scratch)
            assert (caught.value.code, caught.value.device) == ("E_TOOL_MISSING", device.address)


def put(device: Device, scratch: str, name: str, text: str) -> str:
    path = f"{scratch}/{name}"
    device.agent.put(text.encode(), path)
    return path


@pytest.fixture
def installed(device: Device, replay: Path) -> Installed:
    return there(device, "benchmark-model", entry_of(replay))


def entry_of(binary: Path, **more: Any) -> RuntimeEntry:
    return RuntimeEntry(binary=str(binary), version="2.17", **more)


def test_the_users_binary_is_put_under_its_hash_and_run(device: Device, replay: Path) -> None:
    installed = there(device, "benchmark-model", entry_of(replay), accelerator="gpu", required=True)
    assert installed.bundle.sha256 in installed.folder
    with device.scratch() as scratch:
        model = put(device, scratch, "model", output("benchmark_model_percentiles"))
        result = told(done := launch(device, installed, asked(model, scratch), cwd=scratch))
    assert (result.latency.median_us, result.actual_accelerator) == (115350, "gpu")
    assert (done.runtime_version, result.samples_us) == ("2.17", None)


def test_a_fallback_fails_where_the_accelerator_is_required(device: Device, replay: Path) -> None:
    """D1.1, replayed: the same output, for a graph that the GPU took in part, and for one that says nothing."""
    whole = output("benchmark_model_percentiles")
    partly = whole.replace(
        "will be completely executed by the delegate.",
        "will be partially executed by the delegate w/ 2 delegate kernels.",
    )
    silent = output("benchmark_model_2024")
    required = there(device, "benchmark-model", entry_of(replay), accelerator="gpu", required=True)
    free = there(device, "benchmark-model", entry_of(replay), accelerator="gpu")
    with device.scratch() as scratch:
        for text, words in ((partly, "only a part"), (silent, "does not prove")):
            model = put(device, scratch, "model", text)
            with pytest.raises(VerdictError, match=words) as caught:
                launch(device, required, asked(model, scratch), cwd=scratch)
            assert (caught.value.code, caught.value.device) == ("E_ACCELERATOR", device.address)
            assert (
                launch(device, free, asked(model, scratch), cwd=scratch).result.fully_accelerated is not True
            )


def test_a_runner_proves_that_the_cpu_ran_it(device: Device) -> None:
    """D1.1: --require-accelerator is for runners too."""
    with device.scratch() as scratch:
        installed = install(
            device, choose(device, "tflite", None, RuntimeWish(accelerator="cpu", required=True)), ignore
        )
        assert (
            launch(device, installed, asked(str(MODEL), scratch), cwd=scratch).result.actual_accelerator
            == "cpu"
        )


def test_what_a_runtime_cannot_do_is_told_before_anything_is_started(device: Device, replay: Path) -> None:
    """D1.1: unknown flags fail, as accelerators that it does not have."""
    for name, wish, code in (
        ("benchmark-model", {"flags": ("--num_runs=1",)}, "E_TOOL_FLAG"),
        ("benchmark-model", {"accelerator": "npu"}, "E_TOOL_OPTION"),
        ("litert-benchmark", {"outputs": True}, "E_NO_RUNTIME"),
        ("litert", {"flags": ("--fast",)}, "E_TOOL_FLAG"),
        ("litert", {"accelerator": "gpu"}, "E_TOOL_OPTION"),
        ("nothing", {}, "E_NO_PLUGIN"),
    ):
        entry = entry_of(replay) if name == "benchmark-model" else None
        with pytest.raises(InputError) as caught:
            there(device, name, entry, **wish)
        assert caught.value.code == code, name
    with pytest.raises(InputError) as caught:
        choose(device, "tflite", None, RuntimeWish(accelerator="npu"))
    assert caught.value.code == "E_NO_RUNTIME"
    assert "litert has no accelerator 'npu'" in caught.value.message


def test_a_profile_may_name_tools_and_what_cannot_be_is_passed_over(device: Device, tmp_path: Path) -> None:
    """D1.1: no binary is named for the first, the second is on the board; a smoke run needs one with outputs."""
    file = tmp_path / "mine.yaml"
    file.write_text(
        "schema: edgekit.profile/1\nname: mine\nruntimes: [benchmark-model, litert-benchmark, litert]\nformats: [tflite]\n"
    )
    profile = load_profile(str(file))
    settings = {"litert-benchmark": RuntimeEntry(program=str(PROGRAM))}
    found = choose(device, "tflite", profile, RuntimeWish(settings=settings))
    assert found.runtime.name == "litert-benchmark"
    assert choose(device, "tflite", profile, RuntimeWish(outputs=True)).runtime.name == "litert"


def test_a_tool_that_crashes_hangs_or_prints_half_gives_no_number(
    device: Device, installed: Installed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D1-b3: each a clear error, even where all of the result was printed before."""
    whole = output("benchmark_model_2024")
    with device.scratch() as scratch:
        crashes = put(device, scratch, "model.segv", whole)
        with pytest.raises(RemoteError) as crashed:
            launch(device, installed, asked(crashes, scratch), cwd=scratch)
        assert (crashed.value.code, crashed.value.device) == ("E_RUNNER_CRASH", device.address)
        assert crashed.value.argv[0].endswith("/benchmark_model")
        monkeypatch.setattr("edgekit.deployment.launching.START_SECONDS", 6.0)
        hangs = put(device, scratch, "model.sleep", whole)
        with pytest.raises(RemoteError) as hung:
            launch(device, installed, asked(hangs, scratch, max_seconds=1.0), cwd=scratch)
        assert hung.value.code == "E_RUNNER_TIMEOUT"
        assert "Inference timings" in hung.value.stdout
        half = put(device, scratch, "half", whole[: whole.index("INFO: count=74")])
        with pytest.raises(ParseError) as cut:
            launch(device, installed, asked(half, scratch), cwd=scratch)
        assert cut.value.device == device.address


def test_a_changed_binary_is_put_anew_and_a_wrong_one_refused(
    device: Device, installed: Installed, replay: Path, tmp_path: Path
) -> None:
    changed = tmp_path / "benchmark_model"
    changed.write_bytes(replay.read_bytes() + b"\0")
    again = there(device, "benchmark-model", entry_of(changed))
    assert again.folder != installed.folder
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\nexit 0\n")
    with pytest.raises(InputError) as caught:
        there(device, "benchmark-model", entry_of(script))
    assert caught.value.code == "E_ABI"


@pytest.mark.skipif(not PROGRAM.exists(), reason="ai-edge-litert is not installed")
def test_files_of_the_launch_before_are_not_taken_for_this_ones(device: Device) -> None:
    installed = there(device, "litert-benchmark", RuntimeEntry(program=str(PROGRAM)))
    with device.scratch() as scratch:
        stale = put(
            device,
            scratch,
            "result.json",
            output("litert_benchmark_json").replace('"num_threads": 1', '"num_threads": 9'),
        )
        job = asked(str(MODEL), scratch, iterations=3)
        assert told(launch(device, installed, job, cwd=scratch)).threads == 1
        assert device.agent.stat(stale) is not None  # the new one


def test_a_tool_that_ends_well_and_says_nothing_is_an_error_that_says_how_to_look(device: Device) -> None:
    """D1-b3: no numbers are made of nothing, and the reader can start what was started."""
    installed = there(device, "litert-benchmark", RuntimeEntry(program="/bin/true"))
    with device.scratch() as scratch, pytest.raises(ParseError) as caught:
        launch(device, installed, asked(str(MODEL), scratch), cwd=scratch)
    assert "it is empty" in caught.value.message
    assert caught.value.device == device.address
    assert caught.value.hint is not None
    assert f"/bin/true --model={MODEL}" in caught.value.hint
