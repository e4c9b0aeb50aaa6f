#!/usr/bin/env python3
"""How far do repeated measurements of one model lie apart, by edgekit and by other tools (D1-b2)? Prints Markdown tables.

Each repetition of a model and number of threads measures it with every tool once, in a random order, for equal times: `edgekit`
(`edgekit.bench` on this machine, 5 launches that share the time), `edgekit` again (A/A), `litert-benchmark` of ai-edge-litert
(one process), and a bare Python loop around `Interpreter.invoke()` (one process). What is compared is the spread of
their medians over all repetitions (standard deviation of the logarithms), with a 95 % interval from a bootstrap over
repetitions, and the ratio of medians within a repetition.

    python benchmarks/side_by_side.py [--repetitions 40] [--seconds 1] [--threads 1,2] [--seed 1] [--nice 0] [--model NAME]...
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import edgekit
from benchmarks.runner_vs_python import cpu_name, load, run_python
from edgekit.benchmarking import BenchOptions
from edgekit.deployment import Release, release_on_device
from edgekit.devices import Device
from tests.runner.launching import random_inputs
from tests.runner.models import model_path

MODELS = ("hand_landmark_lite", "selfie_segmentation")
"""1 ms and more: litert-benchmark tells hundredths of a millisecond."""
LAUNCHES = 5
WARMUP = 5
TOOL_SECONDS = 120
BOOTSTRAPS = 4000
EDGEKIT, AGAIN, TOOL, PYTHON = "edgekit", "edgekit (A/A)", "litert-benchmark", "Python loop"
KINDS = (EDGEKIT, AGAIN, TOOL, PYTHON)


@dataclass(frozen=True)
class Work:
    """One model and number of threads."""

    model: Path
    release: Release
    inputs: Path
    folder: Path
    threads: int
    seconds: float
    spread: float

    @property
    def cpus(self) -> str:
        return ",".join(map(str, sorted(os.sched_getaffinity(0))[: self.threads]))


def by_edgekit(work: Work, device: Device) -> float:
    options = BenchOptions(
        launches=LAUNCHES,
        min_seconds=work.seconds / LAUNCHES,
        iterations=1,
        warmup_iterations=WARMUP,
        threads=work.threads,
        cpus=work.cpus,
        spread_seconds=work.spread,
    )
    record = edgekit.bench(work.release, device, options=options, store=False)
    assert record.latency.median is not None
    return record.latency.median


def by_tool(work: Work, expected_us: float) -> float:
    """It takes a number of runs, not a time: as many as fill it, by what the loop took."""
    result = work.folder / "result.json"
    program = Path(sys.executable).parent / "litert-benchmark"
    argv = [
        "taskset",
        "-c",
        work.cpus,
        str(program),
        "--model",
        str(work.model),
        "--result_json",
        str(result),
    ]
    argv += ["--num_threads", str(work.threads), "--warmup_runs", str(WARMUP)]
    argv += ["--num_runs", str(max(1, round(work.seconds * 1e6 / expected_us)))]
    subprocess.run(argv, check=True, capture_output=True, timeout=TOOL_SECONDS)
    return float(json.loads(result.read_text())["latency"]["median_ms"]) * 1000


def by_python(work: Work) -> float:
    return run_python(work.model, work.inputs, work.folder / "samples", work.seconds, work.cpus, work.threads)


def measure(work: Work, device: Device, repetitions: int, rng: random.Random) -> dict[str, list[float]]:
    """Medians in microseconds, by tool."""
    expected_us = by_python(work)
    found: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for _ in range(repetitions):
        for kind in rng.sample(KINDS, len(KINDS)):
            if kind == TOOL:
                found[kind].append(by_tool(work, expected_us))
            elif kind == PYTHON:
                found[kind].append(by_python(work))
            else:
                found[kind].append(by_edgekit(work, device))
    return found


def spread(medians_us: Sequence[float]) -> float:
    return float(np.std(np.log(medians_us), ddof=1))


def spread_ratio(
    ours_us: Sequence[float], theirs_us: Sequence[float], seed: int
) -> tuple[float, float, float]:
    """(ratio of spreads, low, high): whole repetitions are drawn, as both saw the same moments of the machine."""
    rng = np.random.default_rng(seed)
    a, b = np.log(ours_us), np.log(theirs_us)
    drawn = rng.integers(0, len(a), size=(BOOTSTRAPS, len(a)))
    ratios = np.std(a[drawn], axis=1, ddof=1) / np.maximum(np.std(b[drawn], axis=1, ddof=1), 1e-12)
    low, high = np.percentile(ratios, [2.5, 97.5])
    return spread(ours_us) / max(spread(theirs_us), 1e-12), float(low), float(high)


def paired_ratio(ours_us: Sequence[float], theirs_us: Sequence[float]) -> tuple[float, float, float]:
    """Median of the ratios within repetitions, with the interval that the sign test gives (binomial, >= 95 %)."""
    from statistics import NormalDist

    ratios = np.sort(np.array(ours_us) / np.array(theirs_us))
    count = len(ratios)
    rank = max(0, int(np.floor((count - NormalDist().inv_cdf(0.975) * np.sqrt(count)) / 2)) - 1)
    return float(np.median(ratios)), float(ratios[rank]), float(ratios[count - 1 - rank])


def rows(name: str, threads: int, found: dict[str, list[float]], seed: int) -> list[str]:
    made = []
    for kind in (AGAIN, TOOL, PYTHON):
        wide, wide_low, wide_high = spread_ratio(found[EDGEKIT], found[kind], seed)
        pair, pair_low, pair_high = paired_ratio(found[EDGEKIT], found[kind])
        medians = f"{np.median(found[EDGEKIT]) / 1e3:.3f} / {np.median(found[kind]) / 1e3:.3f}"
        made.append(
            f"| {name} | {threads} | {kind} | {medians} | {spread(found[EDGEKIT]):.2%} / {spread(found[kind]):.2%} "
            f"| {wide:.2f} [{wide_low:.2f}, {wide_high:.2f}] | {pair:.3f} [{pair_low:.3f}, {pair_high:.3f}] |"
        )
    return made


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repetitions", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=1.0, help="of timed iterations by each tool")
    parser.add_argument(
        "--spread", type=float, default=0.0, help="seconds over which edgekit's launches begin"
    )
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--nice", type=int, default=0, help="of all measured processes; below 0 needs root")
    parser.add_argument("--model", action="append", choices=MODELS)
    options = parser.parse_args()
    os.setpriority(os.PRIO_PROCESS, 0, options.nice)
    rng, before, made = random.Random(options.seed), load(), []
    with tempfile.TemporaryDirectory(prefix="edgekit-bench-") as work, edgekit.connect("local:") as device:
        folder = Path(work)
        for name in options.model or MODELS:
            model, inputs = model_path(name), folder / "inputs"
            inputs.write_bytes(random_inputs(model, samples=1))
            sent = edgekit.push(model, device, name=f"side-by-side-{name.replace('_', '-')}", smoke=False)
            release = release_on_device(device, sent.name, sent.version)
            for threads in map(int, options.threads.split(",")):
                print(f"measuring {name} on {threads}", file=sys.stderr)
                one = Work(model, release, inputs, folder, threads, options.seconds, options.spread)
                made += rows(name, threads, measure(one, device, options.repetitions, rng), options.seed)
            edgekit.remove(device, sent.name)
    print(f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {cpu_name()}, {os.cpu_count()} processors")
    print(
        f"load before {before}, after {load()}; seed {options.seed}, nice {options.nice}, {options.repetitions} repetitions,"
        f" {options.seconds:g} s each by each tool (edgekit: {LAUNCHES} launches together)\n"
    )
    print(
        "| model | threads | edgekit against | median ms | spread of medians | ratio of spreads | ratio of medians |"
    )
    print("|---|---|---|---|---|---|---|")
    print("\n".join(made))


if __name__ == "__main__":
    main()
