"""Which layers stay float, and how many of them. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

_T = TypeVar("_T")


@dataclass(frozen=True)
class Candidate:
    """A layer that could stay float. `gain`: how much error it adds (its own error squared: errors of different layers add up
    so); `cost_bytes`: what its weights would take more; `parts`: what was made one operator with it, and becomes float with it."""

    name: str
    gain: float
    cost_bytes: int
    parts: tuple[str, ...] = ()


def in_order(candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """The layers that are worth most first: gain for its cost, where a layer without weights is not free but costs as much as an
    average one, because it has to be converted to float and back. Those without gain are left out."""
    useful = [one for one in candidates if one.gain > 0]
    if not useful:
        return ()
    least = max(1.0, sum(one.cost_bytes for one in useful) / len(useful))
    return tuple(sorted(useful, key=lambda one: (-one.gain / (least + one.cost_bytes), one.name)))


def fewest(failed: int, passed: int, attempt: Callable[[int], _T | None]) -> tuple[int, _T] | None:
    """The smallest number of layers between `failed` and `passed` with which `attempt` succeeds (gives something), and what it
    gives; None where it is `passed` itself, which is known already. More layers are taken not to make it worse."""
    best: tuple[int, _T] | None = None
    while passed - failed > 1:
        middle = (passed + failed) // 2
        tried = attempt(middle)
        if tried is None:
            failed = middle
        else:
            passed, best = middle, (middle, tried)
    return best
