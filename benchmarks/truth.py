"""Truth tests of the statistics (D1-b1): what edgekit says of simulated devices whose truth is known.

    python benchmarks/truth.py [--runs 1000] [--gates 200000] [--seed 1] [--only PARTS]

Parts: coverage, detection, pauses, compare, gates. Latencies come from `edgekit.transports.sim.latency`, in virtual time; they go through the same pure functions as the
samples of a real device. Prints the tables of docs/measuring.md and exits 1 where a bar is missed. The same seed prints
the same numbers.
"""

from __future__ import annotations

import argparse
import math
import platform
import sys
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from edgekit.benchmarking.comparison import (
    MAX_PAIRS,
    PILOT_PAIRS,
    SIGNIFICANCE,
    compare_pairs,
    pair_order,
    planned_pairs,
)
from edgekit.benchmarking.regression import is_worse
from edgekit.stats import median_interval
from edgekit.transports.sim.latency import LatencyDraw, LatencyShape

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from benchmarks.truth_devices import (  # noqa: E402
    GAP_S,
    USUAL,
    Floats,
    not_valid,
    paused,
    scenarios,
    simulate,
    timed,
)


def upper_bound(count: int, of: int, confidence: float = 0.95) -> float:
    """One-sided upper bound of a rate (Clopper and Pearson, 1934), by bisection of the binomial distribution."""
    low, high = count / of, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        logs = [
            math.lgamma(of + 1) - math.lgamma(k + 1) - math.lgamma(of - k + 1)
            + k * math.log(middle) + (of - k) * math.log1p(-middle)
            for k in range(count + 1)
        ]  # fmt: skip
        if math.fsum(map(math.exp, logs)) > 1 - confidence:
            low = middle
        else:
            high = middle
    return high


@dataclass
class Report:
    """Prints rows; remembers whether a bar was missed."""

    missed: int = 0

    def head(self, title: str, *names: str) -> None:
        print(f"\n### {title}\n\n| {' | '.join(names)} |\n{'|---' * len(names)}|")

    def row(self, *cells: str, held: bool | None) -> None:
        """`held`: None where no bar is set for the row."""
        self.missed += held is False
        mark = {None: "-", True: "held", False: "**missed**"}[held]
        print(f"| {' | '.join((*cells, mark))} |", flush=True)


COVERAGE_RATIOS = (0.0, 0.3, 1.0, 3.0)
COVERAGE_LAUNCHES = (3, 5, 10, 20)


def coverage_of(launches: int, ratio: float, runs: int, seed: int) -> tuple[float, float]:
    """Share of 95 % intervals that hold the true median, and their mean width as a share of it."""
    shape = replace(USUAL, launch_sd=ratio * USUAL.within_sd, outlier_share=0.0)
    held, width = 0, 0.0
    for i in range(runs):
        run = simulate(shape, seed * 1_000_000 + i, launches)
        low, high = median_interval([float(np.median(one)) for one in run.samples])
        assert low is not None
        assert high is not None
        held += low <= shape.median_us <= high
        width += (high - low) / shape.median_us
    return held / runs, width / runs


def coverage(report: Report, runs: int, seed: int) -> None:
    report.head(
        f"Coverage of the 95 % interval of the median, {runs} runs a cell (bar: 92 to 98 %)",
        "launches", "sd between / within launches", "coverage", "mean width", "bar",
    )  # fmt: skip
    for launches in COVERAGE_LAUNCHES:
        for ratio in COVERAGE_RATIOS:
            share, width = coverage_of(launches, ratio, runs, seed)
            report.row(
                str(launches), f"{ratio:g}", f"{share:.1%}", f"{width:.2%}", held=0.92 <= share <= 0.98
            )


def detection(report: Report, runs: int, seed: int) -> None:
    report.head(
        f"Verdicts, {runs} runs a row (bars: bad runs not valid in at least 99 %, healthy ones valid in at least 98 %)",
        "device", "launches", "suspect or invalid", "valid", "bar",
    )  # fmt: skip
    for what, shape_of, launches, kind in scenarios(runs, seed):
        share = not_valid(shape_of, runs, seed, launches)
        held = {"bad": share >= 0.99, "healthy": 1 - share >= 0.98}.get(kind)
        report.row(what, str(launches), f"{share:.1%}", f"{1 - share:.1%}", held=held)


def pauses(report: Report, runs: int, seed: int) -> None:
    report.head(
        f"Verdicts where launches have pauses between them, {runs} runs a row, 5 launches (bars as above)",
        "device", "suspect or invalid", "valid", "bar",
    )  # fmt: skip
    for what, shape, gap_s, pause_s, kind in paused(seed):
        share = not_valid(lambda _, shape=shape: shape, runs, seed, 5, gap_s, pause_s)  # type: ignore[misc]
        held = {"bad": share >= 0.99, "healthy": 1 - share >= 0.98}.get(kind)
        report.row(what, f"{share:.1%}", f"{1 - share:.1%}", held=held)


def compare_once(
    shape: LatencyShape, slowdown: float, resolution: float | None, seed: int
) -> tuple[bool, int]:
    """Whether a difference was told, and after how many pairs."""
    draws = {
        "a": LatencyDraw(shape, 2 * seed),
        "b": LatencyDraw(replace(shape, median_us=shape.median_us * (1 + slowdown)), 2 * seed + 1),
    }
    now_s, medians = 0.0, []

    def run_to(pairs: int) -> None:
        nonlocal now_s
        while len(medians) < pairs:
            done = {}
            for name in pair_order(seed, len(medians)):
                one = draws[name].launch(len(medians), now_s)
                done[name] = float(np.median(timed(one)))
                now_s = one.now_us / 1e6 + GAP_S
            medians.append((done["a"], done["b"]))

    run_to(PILOT_PAIRS)
    if resolution is not None:
        wanted = planned_pairs([a for a, _ in medians], [b for _, b in medians], resolution)
        run_to(PILOT_PAIRS + min(MAX_PAIRS, wanted))
        del medians[:PILOT_PAIRS]
    found = compare_pairs([a for a, _ in medians], [b for _, b in medians])
    assert found is not None
    assert found.p_value is not None
    return found.p_value < SIGNIFICANCE, found.pairs


def compare_rate(
    shape: LatencyShape, slowdown: float, resolution: float | None, runs: int, seed: int
) -> tuple[float, float]:
    """(share of runs that told a difference, mean number of pairs)."""
    found = [compare_once(shape, slowdown, resolution, seed * 1_000_000 + i) for i in range(runs)]
    return sum(told for told, _ in found) / runs, sum(pairs for _, pairs in found) / runs


def compare(report: Report, runs: int, seed: int) -> None:
    report.head(
        f"compare, {runs} runs a row, {4 * runs} where nothing differs (bars: at no difference at most 6.5 % told, a slowdown of 3 % told in at least 90 %)",
        "device", "truth", "plan", "mean pairs after the pilot", "difference told", "bar",
    )  # fmt: skip
    drifting = replace(USUAL, drift=0.05, drift_seconds=12.0)
    for what, shape in (
        ("0.3 % between launches", USUAL),
        ("1 % between launches", replace(USUAL, launch_sd=0.01)),
        ("2 % between launches", replace(USUAL, launch_sd=0.02)),
        ("drifts by 5 %", drifting),
    ):
        # the bar is near the 5 % that are meant: many runs, or chance alone would miss it
        share, pairs = compare_rate(shape, 0.0, None, 4 * runs, seed)
        report.row(what, "no difference", "5 pairs", f"{pairs:.1f}", f"{share:.1%}", held=share <= 0.065)
        share, pairs = compare_rate(shape, 0.0, 0.03, 4 * runs, seed + 1)
        report.row(what, "no difference", "3 %", f"{pairs:.1f}", f"{share:.1%}", held=share <= 0.065)
        share, pairs = compare_rate(shape, 0.03, 0.03, runs, seed + 2)
        report.row(what, "b 3 % slower", "3 %", f"{pairs:.1f}", f"{share:.1%}", held=share >= 0.90)


GATE_FACTOR = 1.03
GATE_ITERATIONS = 50


def gate_counts(
    launch_sd: float, slowdown: float, gates: int, seed: int, modes: tuple[float, ...] = (1.0,)
) -> tuple[int, int]:
    """(gates `median_latency<=baseline*1.03` that failed at first, regressions confirmed), of so many.

    Baseline, first and second measurement of 5 launches of 50 samples each; vectorized, so the launches are drawn here
    and not by LatencyDraw: log-normal within and between, as there. What decides is `is_worse`, as in a gate.
    """
    random = np.random.default_rng([seed, round(launch_sd * 1e4), round(slowdown * 1e4), len(modes)])
    failed = confirmed = 0
    for begin in range(0, gates, 2000):
        count = min(2000, gates - begin)
        logs = random.standard_normal((count, 15, GATE_ITERATIONS)) * USUAL.within_sd
        logs += (random.standard_normal((count, 15)) * launch_sd)[:, :, None]
        logs += np.log(random.choice(modes, (count, 15)))[:, :, None]
        logs[:, 5:] += math.log1p(slowdown)
        limit = _run_median(logs[:, :5]) + math.log(GATE_FACTOR)
        first = _run_median(logs[:, 5:10]) > limit
        failed += int(np.count_nonzero(first))
        for one in logs[first & (_run_median(logs[:, 10:]) > limit)]:
            medians = np.exp(np.median(one, axis=1))
            confirmed += is_worse(medians[:5].tolist(), medians[5:].tolist())[0]
    return failed, confirmed


def _run_median(logs: Floats) -> Floats:
    found: Floats = np.median(logs.reshape(logs.shape[0], -1), axis=1)
    return found


def gates(report: Report, count: int, seed: int) -> None:
    report.head(
        f"Gate median_latency<=baseline*1.03, {count} gates a row where nothing changed, a hundredth where something did"
        " (bar: false alarms, upper 95 % bound at most 1e-4)",
        "between launches", "truth", "failed once", "regression confirmed", "upper bound", "bar",
    )  # fmt: skip
    for launch_sd, modes in (
        (0.003, (1.0,)),
        (0.01, (1.0,)),
        (0.02, (1.0,)),
        (0.05, (1.0,)),
        (0.003, (1.0, 1.05)),
    ):
        what = f"{launch_sd:.1%}" + (", two launch modes 5 % apart" if len(modes) > 1 else "")
        failed, confirmed = gate_counts(launch_sd, 0.0, count, seed, modes)
        bound = upper_bound(confirmed, count)
        report.row(
            what,
            "no change",
            f"{failed / count:.2%}",
            f"{confirmed} of {count}",
            f"{bound:.1e}",
            held=bound <= 1e-4,
        )
    for launch_sd, slowdown in (
        (0.003, 0.04),
        (0.003, 0.05),
        (0.01, 0.05),
        (0.01, 0.10),
        (0.02, 0.10),
        (0.02, 0.20),
    ):
        some = max(100, count // 100)
        failed, confirmed = gate_counts(launch_sd, slowdown, some, seed)
        share = f"{confirmed / some:.1%}"
        report.row(f"{launch_sd:.1%}", f"{slowdown:.0%} slower", f"{failed / some:.1%}", share, "", held=None)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--gates", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="coverage,detection,pauses,compare,gates")
    asked = parser.parse_args()
    parts = {"coverage": coverage, "detection": detection, "pauses": pauses, "compare": compare}
    wanted = asked.only.split(",")
    if unknown := set(wanted) - {*parts, "gates"}:
        parser.error(f"no part called {', '.join(sorted(unknown))}")
    report = Report()
    print(
        f"{datetime.now(UTC):%Y-%m-%d}, seed {asked.seed}, NumPy {np.__version__}, Python {platform.python_version()}: "
        f"`python benchmarks/truth.py --runs {asked.runs} --gates {asked.gates} --seed {asked.seed}`"
    )
    for name, part in parts.items():
        if name in wanted:
            part(report, asked.runs, asked.seed)
    if "gates" in wanted:
        gates(report, asked.gates, asked.seed)
    print(f"\n{report.missed} bars missed" if report.missed else "\nall bars held")
    return 1 if report.missed else 0


if __name__ == "__main__":
    sys.exit(main())
