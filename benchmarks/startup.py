#!/usr/bin/env python3
"""How long edgekit itself takes to start (A-b4): a Markdown table, every command interleaved with `python -c pass`.

    python benchmarks/startup.py [--rounds 21] [--device ADDRESS] [--seed 1]

Each round runs every command once, in a random order whose seed is printed. A/A is `python -c pass` against itself.
The device is `local:` unless one is given: there a round trip costs next to nothing, so the whole time of `releases` and
of an unchanged `push` is edgekit's own start-up, and the time that the device took is told beside it.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MODEL = ROOT / "examples" / "digits" / "digits.tflite"
BARE = [sys.executable, "-c", "pass"]


def edgekit(*arguments: str) -> list[str]:
    return [str(Path(sys.executable).parent / "edgekit"), *arguments]


def once(argv: list[str], env: dict[str, str]) -> tuple[float, float | None]:
    """(wall seconds, seconds that a push says it spent with the device)."""
    start = time.perf_counter()
    done = subprocess.run(argv, env=env, capture_output=True, timeout=120, check=True)
    wall = time.perf_counter() - start
    try:
        return wall, float(json.loads(done.stdout)["seconds"])
    except (ValueError, KeyError, TypeError):
        return wall, None


def cpu_name() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith(("model name", "Model")):
            return line.partition(":")[2].strip()
    return platform.machine()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--device", default="local:")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        # a user's Python keeps compiled modules; measuring without would time the compiler
        env = {**os.environ, "EDGEKIT_DATA_DIR": folder, "PYTHONPYCACHEPREFIX": f"{folder}/pyc"}
        env.pop("PYTHONDONTWRITEBYTECODE", None)
        on = ("-d", options.device)
        commands = {
            "`python -c pass`": BARE,
            "`python -c pass` (A/A)": BARE,
            "`edgekit --help`": edgekit("--help"),
            "`edgekit --version`": edgekit("--version"),
            "`edgekit releases`": edgekit("releases", *on, "--json"),
            "`edgekit push`, unchanged": edgekit("push", str(MODEL), *on, "--json"),
            "`edgekit devices`": edgekit("devices", "--json"),
        }
        for argv in commands.values():  # caches warm, the model on the device
            once(argv, env)
        walls: dict[str, list[float]] = {name: [] for name in commands}
        inside: dict[str, list[float]] = {name: [] for name in commands}
        order = random.Random(options.seed)
        for _ in range(options.rounds):
            for name in order.sample(list(commands), len(commands)):
                wall, device = once(commands[name], env)
                walls[name].append(wall)
                if device is not None:
                    inside[name].append(device)
    bare = statistics.median(walls["`python -c pass`"])
    load = os.getloadavg()[0]
    print(
        f"{datetime.date.today()}, {cpu_name()}, {os.cpu_count()} CPUs, load {load:.1f}, Python"
        f" {platform.python_version()}, device {options.device}, {options.rounds} rounds, seed {options.seed}\n"
    )
    print(
        "| command | median ms | quartiles ms | of bare Python | with the device, ms |\n|---|---|---|---|---|"
    )
    for name, values in walls.items():
        low, middle, high = statistics.quantiles(values, n=4)
        device = f"{statistics.median(inside[name]) * 1000:.1f}" if inside[name] else ""
        print(
            f"| {name} | {middle * 1000:.0f} | {low * 1000:.0f} to {high * 1000:.0f} | {middle / bare:.2f}x | {device} |"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
