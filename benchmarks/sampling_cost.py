#!/usr/bin/env python3
"""What does reading sensors during a measurement cost (D1-b2, D2-b3)? Prints two Markdown tables.

Thirty files of a folder, each with a number as /sys has them, are read ten times a second by the agent on this machine. First the
agent's own CPU time while it reads and nothing else runs; then launches of a model in random order, `off`, `off` once
more (A/A) and `on`, and the ratio of their medians within a round with its 95 % interval.

    python benchmarks/sampling_cost.py [--rounds 40] [--seconds 1] [--files 30] [--period-ms 100] [--seed 1] [--nice 0]
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import edgekit
from benchmarks.runner_vs_python import cpu_name, load
from benchmarks.side_by_side import MODELS
from edgekit.benchmarking import BenchOptions
from edgekit.benchmarking.launches import LaunchSeries
from edgekit.benchmarking.plan import make_plan
from edgekit.deployment import release_on_device
from edgekit.deployment.runtime_there import choose, install
from edgekit.devices import Device
from edgekit.events import ignore
from edgekit.stats.comparing import paired_ratio
from tests.runner.models import model_path

KINDS = ("off", "off (A/A)", "on")


def tree(folder: Path, files: int) -> list[str]:
    paths = [folder / f"sensor{i}" for i in range(files)]
    for i, path in enumerate(paths):
        path.write_text(f"{40_000 + 137 * i}\n")
    return list(map(str, paths))


def cpu_seconds(pid: int) -> float:
    """CPU time of a process so far, of all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def own_cost(device: Device, paths: list[str], period_ms: int, seconds: float) -> tuple[float, float, int]:
    """Share of one processor that the agent takes idle, and while it samples; how many samples it took."""
    pid, shares, taken = device.agent.hello.pid, [], 0
    for on in (False, True):
        with ExitStack() as stack:
            stream = stack.enter_context(device.agent.sample(paths, period_ms=period_ms)) if on else None
            cpu, begun = cpu_seconds(pid), time.monotonic()
            time.sleep(seconds)
            shares.append((cpu_seconds(pid) - cpu) / (time.monotonic() - begun))
            taken = len(stream.stop()) if stream is not None else 0
    return shares[0], shares[1], taken


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=1.0, help="of timed iterations by each launch")
    parser.add_argument("--idle-seconds", type=float, default=30.0, help="for the agent's own CPU time")
    parser.add_argument("--files", type=int, default=30)
    parser.add_argument("--period-ms", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--nice", type=int, default=0, help="of all processes; below 0 needs root")
    parser.add_argument("--model", choices=MODELS, default=MODELS[0])
    options = parser.parse_args()
    os.setpriority(os.PRIO_PROCESS, 0, options.nice)
    rng, before = random.Random(options.seed), load()
    plan = make_plan(None, BenchOptions(min_seconds=options.seconds, iterations=1, seed=options.seed))
    medians: dict[str, list[float]] = {kind: [] for kind in KINDS}
    with tempfile.TemporaryDirectory(prefix="edgekit-bench-") as work, edgekit.connect("local:") as device:
        paths = tree(Path(work), options.files)
        idle, busy, taken = own_cost(device, paths, options.period_ms, options.idle_seconds)
        sent = edgekit.push(model_path(options.model), device, name="sampling-cost", smoke=False)
        release = release_on_device(device, sent.name, sent.version)
        with device.leased("sampling cost", 60.0), device.scratch() as scratch:
            installed = install(device, choose(device, release.manifest.format, None), ignore)
            launches = LaunchSeries(release, plan, installed, device, scratch)
            for order in range(options.rounds):
                for kind in rng.sample(KINDS, len(KINDS)):
                    with ExitStack() as stack:
                        if kind == "on":
                            stack.enter_context(device.agent.sample(paths, period_ms=options.period_ms))
                        median_us = launches.run_one(order).median_us
                    assert median_us is not None
                    medians[kind].append(median_us)
        edgekit.remove(device, sent.name)
    print(f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {cpu_name()}, {os.cpu_count()} processors")
    print(f"load before {before}, after {load()}; seed {options.seed}, nice {options.nice}\n")
    print("| files | period ms | samples | agent idle | agent sampling |")
    print("|---|---|---|---|---|")
    print(
        f"| {options.files} | {options.period_ms} | {taken} | {idle:.2%} of a core | {busy:.2%} of a core |\n"
    )
    print(
        "| model | rounds | sampling | median ms | ratio to off | 95 % interval | smallest effect seen in 9 of 10 |"
    )
    print("|---|---|---|---|---|---|---|")
    for kind in KINDS[1:]:
        found = paired_ratio(medians["off"], medians[kind])
        middle = sorted(medians[kind])[len(medians[kind]) // 2] / 1000
        interval = f"[{found.ci95_low:.4f}, {found.ci95_high:.4f}]"
        effect = "-" if found.smallest_effect is None else f"{found.smallest_effect:.2%}"
        print(
            f"| {options.model} | {options.rounds} | {kind} | {middle:.3f} | {found.ratio:.4f} | {interval} | {effect} |"
        )


if __name__ == "__main__":
    main()
