"""Which of several conversions of one model to take, and why. Pure: candidates in, one out, the others with a reason.

A candidate is judged by what was measured: its size, what it lost (accuracy where evaluation data say so, else the error
of its outputs), and, where it ran on the device, latency and memory there. What is past a limit is out; what another
candidate beats in one of these and equals in the rest is out too. Of the rest, the Pareto front, the fastest is taken,
and of those as fast (within 3 %) the smallest. Where nothing was measured on a device, the profile's order of
preference decides: a smaller model may well be a slower one, and size tells nothing of that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from edgekit.units import format_size, format_time

SLACK = 0.03
"""Latencies that differ by less are taken for equal."""
SLOW_UNMEASURED = {
    "int16x8": "its kernels are known to be slow where no delegate takes them",
    "int4-weight-only": "its kernels are known to be slow",
    "int4-blockwise": "its kernels are known to be slow",
}
"""What is not taken unmeasured: on x86-64 with ai-edge-litert 2.3.0 these were several times as slow as float32."""


@dataclass(frozen=True)
class Candidate:
    """One recipe's outcome. `failed`: why there is no such model, in words; then nothing else counts.

    `drop`: accuracy lost, a share (0.01 is a point), None without evaluation data; `error`: RMS of the outputs'
    difference over the largest output. `latency_us`: geometric mean over launches on the device.
    """

    recipe: str
    failed: str | None = None
    size_bytes: int = 0
    state: Literal["passed", "inconclusive", "failed"] = "passed"
    drop: float | None = None
    error: float | None = None
    latency_us: float | None = None
    peak_rss_bytes: int | None = None


@dataclass(frozen=True)
class Limits:
    """Of the profile; None is no limit."""

    size_bytes: int | None = None
    latency_us: float | None = None
    peak_rss_bytes: int | None = None
    drop: float | None = None


@dataclass(frozen=True)
class Rejected:
    recipe: str
    reason: str


@dataclass(frozen=True)
class Picked:
    """`front`: what was not beaten, the chosen one first."""

    recipe: str
    why: str
    front: tuple[str, ...]
    rejected: tuple[Rejected, ...]
    measured: bool

    def notes(self) -> tuple[str, ...]:
        return (
            f"recipe {self.recipe}: {self.why}",
            *(f"not {one.recipe}: {one.reason}" for one in self.rejected),
        )


@dataclass(frozen=True)
class Auto:
    """What was picked, and from what."""

    picked: Picked
    candidates: tuple[Candidate, ...]


def pick(candidates: Sequence[Candidate], limits: Limits, prefer: Sequence[str] = ()) -> Picked | None:
    """None where every candidate failed or is past a limit; `reasons_against` then says why."""
    against = reasons_against(candidates, limits)
    usable = [one for one in candidates if one.recipe not in against]
    if not usable:
        return None
    measured = all(one.latency_us is not None for one in usable)
    for one in usable:
        if (better := _beaten_by(one, usable, measured=measured)) is not None:
            against[one.recipe] = _beaten_words(one, better, measured=measured)
    front = [one for one in usable if one.recipe not in against]
    if measured:
        best = _fastest(front)
        why = _why_measured(best, candidates)
    else:
        best, why = _preferred(front, prefer)
    for one in front:
        if one is not best:
            against[one.recipe] = _trade(one, best, measured=measured, prefer=prefer)
    rejected = tuple(Rejected(one.recipe, against[one.recipe]) for one in candidates if one.recipe in against)
    order = (best.recipe, *(one.recipe for one in front if one is not best))
    return Picked(best.recipe, why, order, rejected, measured)


def reasons_against(candidates: Sequence[Candidate], limits: Limits) -> dict[str, str]:
    """By recipe, why it is out whatever the others are."""
    found: dict[str, str] = {}
    conclusive = any(one.failed is None and one.state == "passed" for one in candidates)
    for one in candidates:
        reason = one.failed or _past(one, limits)
        if reason is None and one.state != "passed" and conclusive:
            reason = "its verification proved nothing, another's did"
        if reason is not None:
            found[one.recipe] = reason
    return found


def _past(one: Candidate, limits: Limits) -> str | None:
    if limits.drop is not None and one.drop is not None and one.drop > limits.drop:
        return f"it loses {one.drop:.2%} of accuracy, {limits.drop:.2%} are allowed"
    if limits.size_bytes is not None and one.size_bytes > limits.size_bytes:
        return (
            f"its {format_size(one.size_bytes)} are more than the limit of {format_size(limits.size_bytes)}"
        )
    if limits.latency_us is not None and one.latency_us is not None and one.latency_us > limits.latency_us:
        return f"it takes {format_time(one.latency_us)}, the limit is {format_time(limits.latency_us)}"
    if (
        limits.peak_rss_bytes is not None
        and one.peak_rss_bytes is not None
        and one.peak_rss_bytes > limits.peak_rss_bytes
    ):
        return f"it takes {format_size(one.peak_rss_bytes)} of memory, the limit is {format_size(limits.peak_rss_bytes)}"
    return None


def _loss(one: Candidate, other: Candidate) -> tuple[float, float]:
    """What the two lost, in the same currency: accuracy where both have it, else the error of the outputs."""
    if one.drop is not None and other.drop is not None:
        return max(0.0, one.drop), max(0.0, other.drop)
    return one.error or 0.0, other.error or 0.0


def _beaten_by(one: Candidate, all_: Sequence[Candidate], *, measured: bool) -> Candidate | None:
    """A candidate that is no worse in anything and better in something. Unmeasured, only what its kernels are known for
    stands for the latency."""
    for other in all_:
        if other is one:
            continue
        mine, theirs = _loss(one, other)
        if theirs > mine or other.size_bytes > one.size_bytes:
            continue
        better = theirs < mine or other.size_bytes < one.size_bytes
        if measured and one.latency_us is not None and other.latency_us is not None:
            if other.latency_us > one.latency_us:
                continue
            better = better or other.latency_us * (1 + SLACK) < one.latency_us
        elif other.recipe in SLOW_UNMEASURED and one.recipe not in SLOW_UNMEASURED:
            continue
        else:
            # a quantized model that is smaller may be slower: unmeasured, only what is more exact at no more bytes beats
            better = theirs < mine
        if better:
            return other
    return None


def _beaten_words(one: Candidate, better: Candidate, *, measured: bool) -> str:
    mine, theirs = _loss(one, better)
    parts = []
    if measured and one.latency_us is not None and better.latency_us is not None:
        if better.latency_us * (1 + SLACK) < one.latency_us:
            parts.append(f"{one.latency_us / better.latency_us:.2f} times as fast")
        else:
            parts.append("as fast")
    if better.size_bytes < one.size_bytes:
        parts.append(f"{better.size_bytes / one.size_bytes:.2f} of the size")
    exact = "exact" if one.drop is None or better.drop is None else "accurate"
    parts.append(f"more {exact}" if theirs < mine else f"no less {exact}")
    return f"{better.recipe} is {', '.join(parts[:-1])}{' and ' if parts[:-1] else ''}{parts[-1]}"


def _fastest(front: Sequence[Candidate]) -> Candidate:
    least = min(one.latency_us or 0.0 for one in front)
    as_fast = [one for one in front if (one.latency_us or 0.0) <= least * (1 + SLACK)]
    return min(as_fast, key=lambda one: (one.size_bytes, one.drop or 0.0, one.error or 0.0))


def _preferred(front: Sequence[Candidate], prefer: Sequence[str]) -> tuple[Candidate, str]:
    trusted = [one for one in front if one.recipe not in SLOW_UNMEASURED] or list(front)
    for recipe in prefer:
        for one in trusted:
            if one.recipe == recipe:
                return (
                    one,
                    f"the first of the profile's preferences that is left; {_figures(one)}; not measured",
                )
    best = min(trusted, key=lambda one: one.size_bytes)
    return best, f"the smallest that is left; {_figures(best)}; not measured"


def _why_measured(best: Candidate, candidates: Sequence[Candidate]) -> str:
    words = f"the fastest, {format_time(best.latency_us or 0.0)}"
    plain = next((one for one in candidates if one.recipe == "float32" and one.latency_us is not None), None)
    if plain is not None and plain is not best and plain.latency_us and best.latency_us:
        ratio = plain.latency_us / best.latency_us
        words += f", {ratio:.2f} times as fast as float32" if ratio > 1 + SLACK else ", as fast as float32"
        words += f" and {best.size_bytes / plain.size_bytes:.2f} of its size" if plain.size_bytes else ""
    return f"{words}; {_figures(best)}"


def _figures(one: Candidate) -> str:
    if one.drop is not None:
        return "it loses no accuracy" if one.drop <= 0 else f"it loses {one.drop:.2%} of accuracy"
    return (
        "its outputs are exact"
        if not one.error
        else f"its outputs are off by {one.error:.2g} of the largest (RMS)"
    )


def _trade(one: Candidate, best: Candidate, *, measured: bool, prefer: Sequence[str]) -> str:
    """Why something on the front was not taken."""
    if not measured:
        if one.recipe in SLOW_UNMEASURED:
            return f"not measured, and {SLOW_UNMEASURED[one.recipe]}"
        if best.recipe in prefer:
            return f"the profile prefers {best.recipe}; with -d they are measured"
        larger = f" ({one.size_bytes / best.size_bytes:.2f} times the size)" if best.size_bytes else ""
        return f"{best.recipe} is smaller{larger}; with -d they are measured"
    gains = []
    mine, theirs = _loss(one, best)
    if mine < theirs:
        gains.append("more exact" if one.drop is None else "more accurate")
    if one.size_bytes < best.size_bytes:
        gains.append(f"{one.size_bytes / best.size_bytes:.2f} of the size")
    ratio = (one.latency_us or 0.0) / (best.latency_us or 1.0)
    if ratio > 1 + SLACK:
        slower = f"it takes {ratio:.2f} times as long"
    elif one.size_bytes > best.size_bytes > 0:
        slower = f"it is as fast, but {one.size_bytes / best.size_bytes:.2f} times the size"
    else:
        slower = "it is as fast, but no more exact"
    return f"{slower} ({', '.join(gains)})" if gains else slower
