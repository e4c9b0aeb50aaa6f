#!/usr/bin/env python3
"""How slowly does this machine change its pace? Prints a Markdown table.

One long launch of edgekit's runner, cut into windows: the spread (standard deviation of logarithms) of the windows' medians.
Noise that is independent from one iteration to the next would shrink with the root of the window's length; what
does not shrink is the machine's own pace, and no tool that measures for so long has a smaller spread. The correlation
of neighbouring windows says the same: near 1, a longer measurement helps little, near 0 it helps as much as theory says.

    python benchmarks/machine_pace.py [--seconds 120] [--threads 1,2] [--nice 0] [--model NAME]
"""

from __future__ import annotations

import argparse
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import edgekit
from benchmarks.runner_vs_python import cpu_name, load
from benchmarks.side_by_side import MODELS
from edgekit.benchmarking import BenchOptions
from edgekit.benchmarking.measure import measure
from edgekit.deployment import release_on_device
from tests.runner.models import model_path

WINDOWS_S = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0)
LEAST_WINDOWS = 8


def windows(samples_us: NDArray[np.float64], length_s: float) -> NDArray[np.float64]:
    """Medians of the windows of this length, in order; the last, short one is left out."""
    number = (np.cumsum(samples_us) / 1e6 // length_s).astype(int)
    return np.array(
        [np.median(samples_us[number == i]) for i in range(int(number[-1])) if (number == i).any()]
    )


def rows(name: str, threads: int, samples_us: NDArray[np.float64]) -> list[str]:
    made = []
    for length_s in WINDOWS_S:
        medians = np.log(windows(samples_us, length_s))
        if len(medians) < LEAST_WINDOWS:
            continue
        expected = float(np.std(np.log(samples_us))) * np.sqrt(
            np.pi / 2 * np.median(samples_us) / 1e6 / length_s
        )
        neighbours = float(np.corrcoef(medians[:-1], medians[1:])[0, 1])
        made.append(
            f"| {name} | {threads} | {length_s:g} s | {len(medians)} | {np.std(medians, ddof=1):.2%} | {expected:.2%} "
            f"| {neighbours:.2f} |"
        )
    return made


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--nice", type=int, default=0, help="of the runner; below 0 needs root")
    parser.add_argument("--model", choices=MODELS, default=MODELS[0])
    options = parser.parse_args()
    os.setpriority(os.PRIO_PROCESS, 0, options.nice)
    before, made = load(), []
    with edgekit.connect("local:") as device:
        sent = edgekit.push(model_path(options.model), device, name="machine-pace", smoke=False)
        release = release_on_device(device, sent.name, sent.version)
        for threads in map(int, options.threads.split(",")):
            cpus = ",".join(map(str, sorted(os.sched_getaffinity(0))[:threads]))
            plan = BenchOptions(
                launches=1, min_seconds=options.seconds, iterations=1, threads=threads, cpus=cpus
            )
            _, samples = measure(release, device, profile=None, options=plan)
            made += rows(options.model, threads, samples.launches[0])
        edgekit.remove(device, sent.name)
    print(f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {cpu_name()}, {os.cpu_count()} processors")
    print(f"load before {before}, after {load()}; nice {options.nice}, {options.seconds:g} s each\n")
    print(
        "| model | threads | window | windows | spread of medians | if iterations were independent | correlation of neighbours |"
    )
    print("|---|---|---|---|---|---|---|")
    print("\n".join(made))


if __name__ == "__main__":
    main()
