"""The part of a report with all numbers of the latency, and the reasons for those that are missing."""

from __future__ import annotations

from edgekit.records import Record
from edgekit.results import wording as w
from edgekit.results.markup import Html, el
from edgekit.results.parts import card, centre_us, facts


def latency_facts(record: Record) -> Html:
    """All numbers of the summary in one unit, with the reasons for those that are missing."""
    one = record.latency
    scale = w.time_scale(centre_us(record))
    named = [
        ("Shortest", one.min),
        ("Median", one.median),
        ("Mean", one.mean),
        ("90th percentile", one.p90),
        ("95th percentile", one.p95),
        ("99th percentile", one.p99),
        ("99.9th percentile", one.p999),
        ("Longest", one.max),
        ("Standard deviation", one.stddev),
        ("Median absolute deviation", one.mad),
    ]
    keys = {
        "Shortest": "min",
        "Median": "median",
        "Mean": "mean",
        "Longest": "max",
        "Standard deviation": "stddev",
        "Median absolute deviation": "mad",
        "90th percentile": "p90",
        "95th percentile": "p95",
        "99th percentile": "p99",
        "99.9th percentile": "p999",
    }
    left = [
        (name, scale.show(value) if value is not None else one.unavailable.get(keys.get(name, ""), w.UNKNOWN))
        for name, value in named
    ]
    interval = one.unavailable.get("ci95", w.UNKNOWN)
    if one.ci95_low is not None and one.ci95_high is not None:
        interval = f"{scale.number(one.ci95_low)} to {scale.number(one.ci95_high)} {scale.unit}"
    right = [
        (f"95 % interval of the {one.ci95_of}", interval),
        ("Samples", _samples(record)),
        ("Steps of the tool's numbers", None if one.resolution_us is None else w.time(one.resolution_us)),
        ("What one latency covers", record.runtime.measures),
        (
            "Variation between launches",
            one.unavailable.get("between_launch_cv") or w.percent(one.between_launch_cv),
        ),
        ("Far-out samples", one.unavailable.get("outliers") or _outliers(one.outliers, one.count)),
        ("Largest drift in a launch", one.unavailable.get("drift") or _drift(one.drift)),
        (
            "Autocorrelation",
            None if one.autocorrelation is None else f"{one.autocorrelation:.2f} at lag 1".replace("-", "−"),
        ),
    ]
    columns = el("div", facts(left), facts(right), class_="grid")
    return card("All numbers", columns)


def _samples(record: Record) -> str:
    one = record.latency
    where = f"{w.count(one.count)} in {w.plural(one.launches, 'launch', 'launches')}"
    if one.source == "samples":
        return f"{where}; every one is kept"
    return f"{where}; the tool keeps them, and told a summary of each launch"


def _outliers(found: int | None, total: int) -> str | None:
    if not total or found is None:
        return None
    share = f" ({w.percent(found / total, 2)})" if found else ""
    return f"{w.count(found)}{share}, counted in every number"


def _drift(ratio: float | None) -> str | None:
    if ratio is None:
        return None
    if abs(ratio - 1) < 0.0005:
        return "none"
    direction = "slower" if ratio > 1 else "faster"
    return f"its last half is {w.significant(abs(ratio - 1) * 100, 2)} % {direction} than its first"
