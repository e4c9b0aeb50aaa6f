#!/usr/bin/env python3
"""How fast edgekit's push is (C1-b1): Markdown tables, every way to push interleaved with the usual tools.

    .venv-test/bin/python benchmarks/push.py [--links loopback,100mbit] [--sizes 1,25] [--updates first,all] [--rounds 7]
        [--tools rsync,cat] [--slow] [--details] [--clocks] [--devices 16] [--memory] [--quick] [--seed 1]

Links: loopback, 100mbit, 20mbit (25 MB there only with --slow), adb36, adb29; sizes in MB; updates: see push_models.py.
Each round of a cell runs every tool and edgekit once, in a random order whose seed is printed, on new bytes; a round
before them, which does not count, says which tool is run twice (A/A). `edgekit` is compared with the best tool of the same
kind of connection: the one with the smallest median. More than 1.00 means that edgekit is faster.

Needs root, and what the tests' targets need (scripts/test sets it up), rsync and zstd. Reading the tables: benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
import edgekit  # noqa: E402
from benchmarks import push_extras  # noqa: E402
from benchmarks.push_links import LINKS, Place, SshPlace, environment, opened  # noqa: E402
from benchmarks.push_models import UPDATES, Draw, write_model  # noqa: E402
from benchmarks.push_table import (  # noqa: E402
    fastest,
    header,
    median_or_none,
    megabytes,
    ratio,
    row,
    seconds_text,
)
from benchmarks.push_ways import (  # noqa: E402
    COMMAND,
    CONNECTING,
    GROUPS,
    OPENED,
    TOOLS,
    Group,
    Job,
    Sample,
    ToolWay,
    Way,
    edgekit_ways,
    tools_of,
)
from benchmarks.startup import cpu_name  # noqa: E402
from tests.targets.cachefolder import test_roots  # noqa: E402

SLOW_LINK, SLOW_FROM_MB, NEVER_FROM_MB = "20mbit", 25, 200
TRANSFER = "transfer and check"
AGAIN = "A/A"
HOPELESS = 2.0
"""A tool that took so many times as long as the best one, in the round that does not count, is left out of the others."""
Key = tuple[Group, str]


@dataclass
class Cell:
    """One link, size and update. `again`: the tool of each group that ran twice a round; its second samples are under
    the name AGAIN. `patch_bytes`: what `zstd --patch-from` makes of the update."""

    link: str
    size_mb: int
    update: str
    best_possible: list[Key] = field(default_factory=list)
    again: dict[Group, str] = field(default_factory=dict)
    samples: dict[Key, list[Sample]] = field(default_factory=dict)
    patch_bytes: int | None = None

    def seconds(self, key: Key) -> list[float]:
        return [sample.seconds for sample in self.samples[key]]

    def best(self, group: Group) -> str:
        return fastest({name: self.seconds((g, name)) for g, name in self.best_possible if g == group})


def make_jobs(folder: Path, cell: Cell, rounds: int, seed: int) -> list[Job]:
    """One for the round that does not count, and one a round: each with new bytes."""
    size, int8 = cell.size_mb * 1_000_000, cell.update == "recalibrated"
    if cell.update == "first":
        draws = [Draw(seed * 1000 + index) for index in range(rounds + 1)]
        return [
            Job(None, write_model(folder / f"new-{i}.tflite", size, draw, int8=int8))
            for i, draw in enumerate(draws)
        ]
    old = write_model(folder / "old.tflite", size, Draw(seed), int8=int8)
    os.utime(old, (1_700_000_000, 1_700_000_000))  # not the time of the new one: rsync goes by it
    if cell.update == "unchanged":
        return [Job(old, old)] * (rounds + 1)
    draws = [Draw(seed, cell.update, index + 1) for index in range(rounds + 1)]
    return [
        Job(old, write_model(folder / f"new-{i}.tflite", size, draw, int8=int8))
        for i, draw in enumerate(draws)
    ]


def measure(
    ways: Sequence[Way],
    tools: Sequence[ToolWay],
    cell: Cell,
    jobs: Sequence[Job],
    order: random.Random,
    *,
    all_tools: bool,
) -> None:
    keyed: dict[Key, Way] = {(way.group, way.name): way for way in [*ways, *tools]}
    cell.samples = {key: [way.run(jobs[0])] for key, way in keyed.items()}
    cell.best_possible = [(tool.group, tool.name) for tool in tools if tool.may_be_best]
    for group in GROUPS:
        cell.again[group] = cell.best(group)
    for tool in tools:
        key, best = (tool.group, tool.name), (tool.group, cell.again[tool.group])
        if not all_tools and cell.seconds(key)[0] > HOPELESS * cell.seconds(best)[0]:
            del keyed[key]
    cell.best_possible = [key for key in cell.best_possible if key in keyed]
    for group, name in cell.again.items():
        keyed[group, AGAIN] = keyed[group, name]
    cell.samples = {key: [] for key in keyed}
    for job in jobs[1:]:
        for key in order.sample(list(keyed), len(keyed)):
            cell.samples[key].append(keyed[key].run(job))
    cell.patch_bytes = patch_bytes(jobs[-1])


def patch_bytes(job: Job) -> int | None:
    if job.old in (None, job.new) or not shutil.which("zstd"):
        return None
    argv = ["zstd", "-q", "-3", f"--patch-from={job.old}", str(job.new), "-c"]
    with tempfile.TemporaryFile() as out:
        subprocess.run(argv, stdout=out, stderr=subprocess.DEVNULL, timeout=job.deadline_s, check=True)
        return os.fstat(out.fileno()).st_size


COLUMNS = (
    "link", "MB", "update", "edgekit", "s", "connection", "best tool", "s", "edgekit faster by", "A/A", "sent MB",
    "patch MB", "wire MB: tool, edgekit", "round trips",
)  # fmt: skip


def summary(cell: Cell) -> list[str]:
    """A line for each way of edgekit, against the best tool with the same kind of connection."""
    kinds: list[tuple[str, Key]] = [
        (COMMAND, ("new", COMMAND)),
        (CONNECTING, ("new", CONNECTING)),
        (OPENED, ("reused", OPENED)),
        (TRANSFER, ("reused", OPENED)),
    ]
    return [_line(cell, title, key) for title, key in kinds]


def _line(cell: Cell, title: str, key: Key) -> str:
    group, ours = key[0], cell.samples[key]
    best = cell.best(group)
    tool = cell.seconds((group, best))
    edge = [s.transfer_seconds or s.seconds for s in ours] if title == TRANSFER else cell.seconds(key)
    again = ratio(cell.seconds((group, cell.again[group])), cell.seconds((group, AGAIN)))
    wires = [median_or_none([s.wire_bytes for s in samples]) for samples in (cell.samples[group, best], ours)]
    return row(
        LINKS[cell.link].title,
        cell.size_mb,
        cell.update,
        title,
        seconds_text(statistics.median(edge)),
        group,
        best,
        seconds_text(statistics.median(tool)),
        ratio(tool, edge),
        again if cell.again[group] == best else f"{again} ({cell.again[group]})",
        megabytes(median_or_none([s.sent_bytes for s in ours])),
        megabytes(cell.patch_bytes),
        ", ".join(megabytes(wire) for wire in wires) if None not in wires else "",
        f"{median_or_none([s.round_trips for s in ours]):.0f}",
    )


def details(cell: Cell) -> str:
    lines = [header("way", "connection", "median s", "MB/s", "all rounds, s", "wire MB")]
    for (group, name), samples in sorted(cell.samples.items()):
        middle = statistics.median(s.seconds for s in samples)
        rounds = " ".join(seconds_text(s.seconds) for s in samples)
        wire = megabytes(median_or_none([s.wire_bytes for s in samples]))
        lines.append(row(name, group, seconds_text(middle), f"{cell.size_mb / middle:.1f}", rounds, wire))
    return "\n".join(lines)


def cells(options: argparse.Namespace, link: str) -> list[Cell]:
    """What is measured on a link, small files first."""
    largest = NEVER_FROM_MB if options.slow else SLOW_FROM_MB
    return [
        Cell(link, size, update)
        for size in options.sizes
        for update in options.updates
        if link != SLOW_LINK or size < largest
    ]


def describe_link(place: Place) -> str:
    if not isinstance(place, SshPlace):
        return f"{place.kind.title}: no shaping\n"
    size = 2_000_000 if place.kind.name == SLOW_LINK else 25_000_000
    facts = place.wire_facts(size)
    return (
        f"{place.kind.title}: a plain TCP stream of {size / 1e6:.0f} MB gets {facts.tcp_bytes_per_s / 1e6:.2f} MB/s"
        f" ({facts.tcp_bytes_per_s * 8 / 1e6:.1f} Mbit/s), connects in {facts.connect_ms:.1f} ms; of 2000 datagrams"
        f" {facts.lost:.1%} were lost\n"
    )


def run_link(options: argparse.Namespace, link: str, folder: Path, order: random.Random) -> None:
    with opened(LINKS[link], folder / link) as place:
        print(describe_link(place), flush=True)
        found: list[Cell] = []
        print(header(*COLUMNS), flush=True)
        tools = [tool for tool in tools_of(place) if tool.kind in (options.tools or [tool.kind])]
        if {tool.group for tool in tools if tool.may_be_best} != set(GROUPS):
            raise SystemExit(f"no tool to compare with on {link}: {', '.join(options.tools)}")
        with edgekit.connect(place.address) as device:
            for cell in cells(options, link):
                with tempfile.TemporaryDirectory(dir=folder) as work:
                    jobs = make_jobs(Path(work), cell, options.rounds, options.seed)
                    measure(edgekit_ways(place, device), tools, cell, jobs, order, all_tools=options.details)
                print("\n".join(summary(cell)), flush=True)
                found.append(cell)
        print()
        if options.details:
            for cell in found:
                print(f"{LINKS[link].title}, {cell.size_mb} MB, {cell.update}:\n\n{details(cell)}\n")
        if options.clocks:
            print(push_extras.clocks(place, folder, options.rounds), flush=True)
        if isinstance(place, SshPlace) and options.devices:
            print(push_extras.many(place, folder, options.devices, options.rounds, order), flush=True)
        if isinstance(place, SshPlace) and options.memory and link == "loopback":
            print(push_extras.memory(place, folder), flush=True)


def words(allowed: Sequence[str]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        chosen = text.split(",")
        if unknown := [word for word in chosen if word not in allowed]:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: not one of {', '.join(allowed)}")
        return chosen

    return parse


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--links", type=words(tuple(LINKS)), default=["loopback", "100mbit", "20mbit"])
    parser.add_argument(
        "--sizes", type=lambda t: [int(word) for word in t.split(",")], default=[1, 25], help="MB"
    )
    parser.add_argument("--updates", type=words(UPDATES), default=list(UPDATES))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tools", type=words(TOOLS), default=[], help="only these")
    parser.add_argument("--slow", action="store_true", help=f"25 MB on {SLOW_LINK} as well")
    parser.add_argument("--details", action="store_true", help="every round of every way, none left out")
    parser.add_argument("--clocks", action="store_true", help="bootstrap, transfer and smoke run apart")
    parser.add_argument("--devices", type=int, default=0, help="so many at once, against as many scp")
    parser.add_argument(
        "--memory", action="store_true", help="of a push of 2 GB; needs 7 GB of disk, loopback only"
    )
    parser.add_argument("--quick", action="store_true", help="a minute: does it work?")
    options = parser.parse_args(arguments)
    if options.quick:
        options.links, options.sizes, options.rounds = ["loopback"], [1], 2
        options.updates = ["first", "unchanged", "recalibrated"]
    return options


def main() -> int:
    options = parse(sys.argv[1:])
    test_roots()  # found in the user's cache, before the pushes get one of their own
    control = Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip()
    with tempfile.TemporaryDirectory(prefix="edgekit-bench-") as name:
        folder = Path(name)
        print(
            f"{datetime.date.today()}, {cpu_name()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}, Python "
            f"{platform.python_version()}, edgekit {edgekit.__version__}, TCP {control}, {options.rounds} rounds,"
            f" seed {options.seed}\n"
        )
        own = {"EDGEKIT_CACHE_DIR": f"{name}/cache", "EDGEKIT_DATA_DIR": f"{name}/data"}
        own |= {"XDG_CONFIG_HOME": f"{name}/config", "PYTHONPYCACHEPREFIX": f"{name}/pyc"}
        with environment({**own, "EDGEKIT_DEVICE": None, "PYTHONDONTWRITEBYTECODE": None}):
            order = random.Random(options.seed)
            for link in options.links:
                run_link(options, link, folder, order)
        print(f"load at the end {os.getloadavg()[0]:.1f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
