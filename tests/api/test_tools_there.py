"""Tools of the user's behind --runtime, through the command line: D1.1, D1.8.

litert-benchmark is run for real, on this machine. benchmark_model and trtexec are *replayed*: a small program
prints what the real one was seen to print, which shows the wiring and nothing of the tool.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.api.places import Place, make_place
from tests.cli.running import DIGITS, MODEL, Ran, edgekit
from tests.conversion.models import real_models
from tests.parse.outputs import output
from tests.runtimes.test_tools import times_of

PROGRAM = Path(sys.executable).parent / "litert-benchmark"
LITERT = pytest.mark.skipif(not PROGRAM.exists(), reason="ai-edge-litert is not installed")
FEW = ("--launches", "3", "--iterations", "30", "--warmup-iterations", "3")
REPLAY = r"""
#include <stdio.h>
#include <string.h>
static int say(const char *path) {
    FILE *said = fopen(path, "r");
    int c;
    if (!said) return 1;
    while ((c = getc(said)) != EOF) putchar(c);
    return 0;
}
int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++)
        if (!strcmp(argv[i], "--use_profiler=true")) return say(PROFILED);
    return say(SAID);
}
"""


@pytest.fixture(params=["local", "ssh"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return make_place(request, request.param, tmp_path)


@pytest.fixture
def here(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return make_place(request, "local", tmp_path)


def settings(place: Place, **runtimes: Any) -> None:
    """Say in the place's edgekit.yaml where its tools are."""
    file = place.folder / "edgekit.yaml"
    document = yaml.safe_load(file.read_text())
    file.write_text(yaml.safe_dump({**document, "runtimes": runtimes}))


def run(place: Place, *arguments: str | Path) -> Ran:
    return edgekit(*arguments, *place.device, env=place.env, cwd=place.folder)


@LITERT
@pytest.mark.timeout(300)
def test_litert_benchmark_measures_and_the_record_says_what_is_not_known(here: Place) -> None:
    """Really run. Its summaries are kept as they are; nothing is made up from them."""
    settings(here, **{"litert-benchmark": {"program": str(PROGRAM)}})
    model = real_models()["mediapipe/iris_landmark"]
    record = (
        run(here, "bench", model, "--runtime", "litert-benchmark", "--require-accelerator", *FEW, "--json")
        .ok()
        .json()
    )
    runtime, latency, launches = record["runtime"], record["latency"], record["launches"]
    assert (runtime["name"], runtime["version"], runtime["sha256"]) == ("litert-benchmark", None, None)
    assert (runtime["requested_accelerator"], runtime["actual_accelerator"]) == ("cpu", "cpu")
    assert "called from Python" in runtime["measures"]
    assert (latency["source"], latency["resolution_us"], latency["count"]) == ("summaries", 10.0, 90)
    told = [launch["told"]["latency"] for launch in launches]
    assert len(told) == 3
    assert [launch["median_us"] for launch in launches] == [one["median_us"] for one in told]
    assert latency["median"] == sorted(one["median_us"] for one in told)[1]
    assert latency["ci95_low"] <= latency["median"] <= latency["ci95_high"]
    assert (latency["stddev"], latency["outliers"], latency["drift"], latency["p99"]) == (None,) * 4
    assert all(launch["memory"]["peak_rss_bytes"] > 1 << 20 for launch in launches)
    assert record["accuracy"]["golden"] == "unchecked"
    assert any("no samples" in note for note in record["verdict"]["notes"])
    assert "does not tell when its timed inferences" in record["energy"]["unavailable"]
    raw = edgekit("results", "export", "--samples", env=here.env, cwd=here.folder).ok().json()
    assert raw["samples"]["launches"] == [[], [], []]


@LITERT
def test_litert_benchmark_in_terminal_report_gate_and_comparison(here: Place) -> None:
    settings(here, **{"litert-benchmark": {"program": str(PROGRAM)}})
    model = real_models()["mediapipe/iris_landmark"]
    tool = ("--runtime", "litert-benchmark", *FEW)
    gated = run(here, "bench", model, *tool, "--gate", "p99_latency<1s", "--gate", "mean_latency<9s")
    assert gated.code == 5
    assert "inferences that the tool timed" in gated.stdout
    assert "not measured, the tool does not tell it" in " ".join(gated.stdout.split())
    page = here.folder / "report.html"
    edgekit("report", "-o", page, env=here.env, cwd=here.folder).ok()
    html = page.read_text(encoding="utf-8")
    assert "the tool keeps them, and told a summary of each launch" in html
    assert "every one is kept" not in html
    compared = run(here, "compare", model, model, *tool, "--json").ok().json()
    assert (compared["ratio_of"], compared["pairs"]) == ("median", 3)
    assert 0.02 < compared["ratio"] < 50  # the same model twice, whatever else this machine does


@LITERT
def test_what_a_tool_cannot_do_ends_before_anything_is_measured(here: Place) -> None:
    settings(here, **{"litert-benchmark": {"program": str(PROGRAM)}})
    tool = ("bench", MODEL, "--runtime", "litert-benchmark", "--json")
    for more, code, words in (
        (("--runtime-flag=--num_runs=3",), "E_TOOL_FLAG", "is not a flag"),
        (("--accelerator", "tpu"), "E_TOOL_OPTION", "no accelerator 'tpu'"),
        (("--op-profile",), "E_TOOL_OPTION", "cannot time the operators"),
        (("--sustained", "1"), "E_TOOL_OPTION", "by the minute"),
        (("--evaluation", DIGITS / "evaluation.npz"), "E_TOOL_OPTION", "nothing can be scored"),
        (("--streams", "2"), "E_STREAMS", "begin together"),
        (("--meter", "sim"), "E_METER", "when its timed inferences"),
    ):
        refused = run(here, *tool, *more)
        assert (refused.code, refused.error()["code"]) == (1, code)
        assert words in refused.error()["message"]
    listed = edgekit("results", "list", "--json", env=here.env, cwd=here.folder).ok().json()
    assert listed["runs"] == []
    there = run(here, "releases", "--json").ok().json()
    assert there["releases"] == [], "told before the model was sent"


def test_a_tool_that_no_one_named_or_that_is_not_there_says_so(place: Place) -> None:
    settings(place, **{"litert-benchmark": {"program": "/nowhere/litert-benchmark"}})
    missing = run(place, "bench", MODEL, "--runtime", "litert-benchmark", "--json")
    assert (missing.code, missing.error()["code"]) == (3, "E_TOOL_MISSING")
    unnamed = run(place, "bench", MODEL, "--runtime", "benchmark-model", "--json")
    assert (unnamed.code, unnamed.error()["code"]) == (1, "E_TOOL_BINARY")
    assert "edgekit.yaml" in unnamed.error()["hint"]
    listed = edgekit("plugins", "--json", env=place.env, cwd=place.folder).ok().json()["plugins"]
    names = {row["name"] for row in listed if row["group"] == "runtimes"}
    assert {"benchmark-model", "litert-benchmark", "trtexec", "litert"} <= names


def replayed_benchmark_model(folder: Path, said: str, profiled: str) -> Path:
    pytest.importorskip("ziglang")
    (folder / "replay.c").write_text(REPLAY)
    (folder / "said").write_text(said)
    (folder / "profiled").write_text(profiled)
    made = folder / "benchmark_model"
    texts = [f'-DSAID="{folder / "said"}"', f'-DPROFILED="{folder / "profiled"}"']
    command = [
        sys.executable,
        "-m",
        "ziglang",
        "cc",
        "-O1",
        *texts,
        str(folder / "replay.c"),
        "-o",
        str(made),
    ]
    subprocess.run(command, check=True, timeout=240, capture_output=True)
    return made


@pytest.mark.timeout(400)
def test_benchmark_model_replayed_averages_are_no_medians_and_operators_have_a_launch_of_their_own(
    here: Place, tmp_path: Path
) -> None:
    """Replayed: TFLite's tool as it printed, averages only; then LiteRT's operators after it."""
    said = output("benchmark_model_2024")
    binary = replayed_benchmark_model(tmp_path, said, said + output("op_profile_litert"))
    settings(here, **{"benchmark-model": {"binary": str(binary), "version": "2.1", "generation": "litert"}})
    tool = ("bench", MODEL, "--runtime", "benchmark-model", "--launches", "3", "--iterations", "1")
    done = run(here, *tool, "--op-profile", "--gate", "median_latency<1h", "--json")
    assert done.code == 5, done.stderr
    record = done.json()
    latency = record["latency"]
    assert (record["runtime"]["version"], latency["median"], latency["ci95_of"]) == ("2.1", None, "mean")
    assert latency["mean"] == pytest.approx(record["launches"][0]["mean_us"])
    assert latency["ci95_low"] is not None
    assert "mean_latency" in record["gates"][0]["note"]
    assert len(record["launches"]) == 3
    operators = record["operators"]
    assert operators["runtime"] == "benchmark-model"
    assert len(operators["rows"]) == 5
    shares = [
        row["share"] for row in operators["rows"] if row["share"] is not None
    ]  # one took less than is told
    assert sum(shares) == pytest.approx(1)
    assert operators["total_us"] > 0
    assert "--use_profiler=true" in operators["argv"]
    assert "--use_profiler=true" not in record["runtime"]["argv"]
    plain = run(here, *tool, "--op-profile")
    assert "operators" in plain.stdout
    assert "mean" in plain.stdout
    page = here.folder / "report.html"
    edgekit("report", "-o", page, env=here.env, cwd=here.folder).ok()
    html = page.read_text(encoding="utf-8")
    assert "Operators, as benchmark-model tells" in html
    assert "Mean latency" in html
    fell_back = run(here, *tool, "--accelerator", "gpu", "--require-accelerator", "--json")
    assert (fell_back.code, fell_back.error()["code"]) == (4, "E_ACCELERATOR")
    pinned = {"binary": str(binary), "sha256": "0" * 64, "generation": "litert"}
    settings(here, **{"benchmark-model": pinned})
    other = run(here, *tool, "--json")
    assert (other.code, other.error()["code"]) == (7, "E_HASH")


TRTEXEC = """#!/bin/sh
# replays what trtexec printed; builds nothing, runs nothing
for flag in "$@"; do
    case "$flag" in
    --saveEngine=*) echo engine > "${flag#*=}"; exit 0 ;;
    --loadEngine=*) [ -f "${flag#*=}" ] || exit 3 ;;
    --exportTimes=*) cp "$(dirname "$0")/times.json" "${flag#*=}" ;;
    --exportProfile=*) cp "$(dirname "$0")/profile.json" "${flag#*=}" ;;
    esac
done
cat "$(dirname "$0")/said"
"""


def test_trtexec_replayed_gives_samples_builds_its_engine_once_and_is_held_to_its_accelerator(
    here: Place, tmp_path: Path
) -> None:
    pytest.importorskip("onnx")
    from tests.runner import tiny_onnx

    program = tmp_path / "trtexec"
    program.write_text(TRTEXEC)
    program.chmod(0o755)
    (tmp_path / "said").write_text(times_of(output("trtexec_10")))
    (tmp_path / "times.json").write_text(output("trtexec_times"))
    (tmp_path / "profile.json").write_text(output("trtexec_profile"))
    settings(here, trtexec={"program": str(program)})
    model = tiny_onnx.small(here.folder / "net.onnx")
    tool = ("bench", model, "--runtime", "trtexec", "--launches", "3", "--iterations", "3", "--json")
    record = (
        run(
            here,
            *tool,
            "--accelerator",
            "dla",
            "--require-accelerator",
            "--op-profile",
            "--runtime-flag=--fp16",
        )
        .ok()
        .json()
    )
    assert record["latency"]["source"] == "samples"
    assert record["latency"]["count"] == 9
    assert record["launches"][0]["told"]["latency"]["median_us"] == 7204.71
    assert record["runtime"]["version"] == "10.9.0"
    assert (record["runtime"]["requested_accelerator"], record["runtime"]["actual_accelerator"]) == (
        "dla",
    ) * 2
    assert "H2D" in record["runtime"]["measures"]
    assert len(record["operators"]["rows"]) == 3
    assert not any(flag.startswith("--exportProfile") for flag in record["runtime"]["argv"])
    # asked for nothing, it is asked for the gpu: the replayed run says that a DLA did it
    other = run(here, *tool)
    assert other.code == 4
    found = other.json()
    assert found["runtime"]["requested_accelerator"] == "gpu"
    assert "asked for gpu, but dla ran it" in found["verdict"]["reasons"]
