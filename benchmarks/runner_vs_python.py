#!/usr/bin/env python3
"""Does the native runner measure what Python's Interpreter.invoke() takes? Prints a Markdown table.

Each round of a model starts three processes in a random order, on the same processor: the runner, Python, and
the runner again. The first two give one ratio of medians; the two runners give the A/A ratio, which shows how
much two equal things differ on this machine. How to read it: benchmarks/README.md.

    python benchmarks/runner_vs_python.py [--rounds 21] [--seconds 0.4] [--seed 1] [--nice 0] [--model NAME]...
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from edgekit.runtimes.base import LibcFacts, RunnerJob
from edgekit.runtimes.litert import LiteRtRuntime
from edgekit.runtimes.result import check_launch
from tests.runner.launching import LOCAL_ABI, TFLITE, Launcher, random_inputs
from tests.runner.models import model_path

MODELS = (
    "face_detection_short_range",
    "face_landmark",
    "iris_landmark",
    "selfie_segmentation",
    "hand_landmark_lite",
)
WARMUP = 5
LEAST_ITERATIONS = 20
PROCESS_SECONDS = 60
LOW, HIGH = 0.97, 1.03
HERE = LibcFacts(glibc=(99, 0), libstdcxx=(99, 0, 0))


@dataclass(frozen=True)
class Round:
    """Medians in microseconds of one round's three processes."""

    runner_us: float
    python_us: float
    again_us: float


def python_child(model: str, inputs: str, samples: str, seconds: float, threads: int) -> None:
    """Times Interpreter.invoke() as a user's script would, and writes the samples as the runner does."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=model, num_threads=threads)
    interpreter.allocate_tensors()
    packed = Path(inputs).read_bytes()
    at = 0
    for detail in interpreter.get_input_details():
        values = np.frombuffer(packed, detail["dtype"], int(np.prod(detail["shape"])), at)
        interpreter.set_tensor(detail["index"], values.reshape(detail["shape"]))
        at += values.nbytes
    for _ in range(WARMUP + 1):
        interpreter.invoke()
    clock, raw, invoke = time.clock_gettime_ns, time.CLOCK_MONOTONIC_RAW, interpreter.invoke
    times: list[int] = []
    until = clock(raw) + int(seconds * 1e9)
    while len(times) < LEAST_ITERATIONS or clock(raw) < until:
        begin = clock(raw)
        invoke()
        times.append(clock(raw) - begin)
    Path(samples).write_bytes((np.array(times) / 1e3).astype("<f8").tobytes())


def run_python(
    model: Path, inputs: Path, samples: Path, seconds: float, cpus: str, threads: int = 1
) -> float:
    """The median latency in microseconds. `cpus`: as taskset takes them."""
    child = [str(model), str(inputs), str(samples), str(seconds), str(threads)]
    command = ["taskset", "-c", cpus, sys.executable, __file__, "--python-child", *child]
    subprocess.run(command, check=True, capture_output=True, timeout=PROCESS_SECONDS)
    return float(np.median(np.fromfile(samples, "<f8")))


def run_native(
    launcher: Launcher, model: Path, inputs: Path, samples: Path, seconds: float, cpu: int
) -> float:
    job = RunnerJob(
        model=str(model),
        samples=str(samples),
        inputs=str(inputs),
        warmup_iterations=WARMUP,
        iterations=LEAST_ITERATIONS,
        min_seconds=seconds,
        cpus=str(cpu),
    )
    argv, environment = launcher.command(job)
    done = subprocess.run(argv, env=environment, capture_output=True, timeout=PROCESS_SECONDS, check=False)
    check_launch(done.returncode, done.stdout, done.stderr.decode(errors="replace"))
    return float(np.median(np.fromfile(samples, "<f8")))


def measure_model(
    launcher: Launcher, name: str, rounds: int, seconds: float, rng: random.Random
) -> list[Round]:
    model = model_path(name)
    folder = launcher.folder.parent
    inputs, samples = folder / "inputs", folder / "samples"
    inputs.write_bytes(random_inputs(model, samples=1))
    found = []
    for _ in range(rounds):
        cpu = rng.choice(sorted(os.sched_getaffinity(0)))
        medians: dict[str, float] = {}
        for kind in rng.sample(("runner", "python", "again"), 3):
            if kind == "python":
                medians[kind] = run_python(model, inputs, samples, seconds, str(cpu))
            else:
                medians[kind] = run_native(launcher, model, inputs, samples, seconds, cpu)
        found.append(Round(medians["runner"], medians["python"], medians["again"]))
    return found


def empty_body_us(launcher: Launcher, folder: Path) -> tuple[float, float]:
    """Median and 99th percentile of what one timed iteration with nothing in it takes."""
    job = RunnerJob(model="none", samples=str(folder / "samples"), empty_body=True, iterations=1_000_000)
    argv, environment = launcher.command(job)
    subprocess.run(argv, env=environment, capture_output=True, timeout=PROCESS_SECONDS, check=True)
    samples = np.fromfile(folder / "samples", "<f8")
    return float(np.median(samples)), float(np.percentile(samples, 99))


def row(name: str, what: str, first_us: Sequence[float], second_us: Sequence[float]) -> str:
    ratios = [a / b for a, b in zip(first_us, second_us, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    verdict = "yes" if LOW <= middle <= HIGH else "**no**"
    medians = f"{statistics.median(first_us) / 1e3:.3f} / {statistics.median(second_us) / 1e3:.3f}"
    return f"| {name} | {what} | {medians} | {middle:.3f} | {low:.3f} .. {high:.3f} | {verdict} |"


def cpu_name() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def load() -> str:
    return " ".join(f"{value:.1f}" for value in os.getloadavg())


def main() -> None:
    if sys.argv[1:2] == ["--python-child"]:
        model, inputs, samples, seconds, threads = sys.argv[2:7]
        return python_child(model, inputs, samples, float(seconds), int(threads))
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--seconds", type=float, default=0.4, help="of timed iterations in each process")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--nice", type=int, default=0, help="of all measured processes; below 0 needs root")
    parser.add_argument("--model", action="append", choices=MODELS)
    options = parser.parse_args()
    os.setpriority(os.PRIO_PROCESS, 0, options.nice)  # inherited by both kinds of process
    rng, before, begin = random.Random(options.seed), load(), time.monotonic()
    rows = []
    with tempfile.TemporaryDirectory(prefix="edgekit-bench-") as work:
        launcher = Launcher(LiteRtRuntime(), TFLITE, Path(work) / "bundle", HERE)
        for name in options.model or MODELS:
            print(f"measuring {name}", file=sys.stderr)
            found = measure_model(launcher, name, options.rounds, options.seconds, rng)
            runner = [r.runner_us for r in found]
            rows.append(row(name, "runner / Python", runner, [r.python_us for r in found]))
            rows.append(row(name, "runner / runner (A/A)", runner, [r.again_us for r in found]))
        empty, empty_p99 = empty_body_us(launcher, Path(work))
    print(f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {cpu_name()}, {os.cpu_count()} processors, {LOCAL_ABI}")
    print(
        f"load before {before}, after {load()}; LiteRT {LiteRtRuntime.version}, 1 thread, seed {options.seed}, nice {options.nice},"
    )
    print(
        f"{options.rounds} rounds of 3 processes, {options.seconds:g} s each; {time.monotonic() - begin:.0f} s in all\n"
    )
    print(f"| model | ratio of p50 | p50 ms | median | quartiles | {LOW} to {HIGH} |")
    print("|---|---|---|---|---|---|")
    print("\n".join(rows))
    print(f"\nempty body: {empty:.3f} us median, {empty_p99:.3f} us p99 of 1,000,000 iterations")


if __name__ == "__main__":
    main()
