"""Which operator is the first bad one. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from edgekit.conversion.layers.gaps import leading, way_between
from edgekit.conversion.layers.kinds import MOVES, SPATIAL
from edgekit.conversion.layers.layout import Layout
from edgekit.conversion.layers.match import Matching, Pair
from edgekit.conversion.layers.measure import Errors
from edgekit.conversion.layers.tensors import Graph, distance, nearest_known, same_values

Reason = Literal["error", "not_finite", "axes", "missing"]

GRADUAL = 3.0
"""An operator whose error is less than so many times that of its inputs did not make it."""
_SEARCH = 24


@dataclass(frozen=True)
class Culprit:
    """`target`: position of the step; `between`: steps before it that have no counterpart, where the mistake may
    lie too; `after`: the nearest steps before it that are good."""

    target: int
    reason: Reason
    between: tuple[int, ...] = ()
    after: tuple[int, ...] = ()
    gradual: bool = False


@dataclass(frozen=True)
class Judged:
    """What the verdict rests on. `not_finite`: target steps that gave NaN or infinite values."""

    matching: Matching
    errors: Mapping[int, Errors]
    tolerance: float
    not_finite: frozenset[int]

    @property
    def pairs(self) -> dict[int, Pair]:
        return {pair.target: pair for pair in self.matching.pairs}

    def is_bad(self, target: int) -> bool:
        return self.errors[target].is_bad(self.tolerance)


def first_bad(judged: Judged, wrong_outputs: Sequence[int]) -> Culprit | None:
    """The first step in execution order that is bad though all it was computed from is good; only steps that lead
    to one of the wrong outputs count. None where no pair is bad."""
    graph, pairs = judged.matching.target, judged.pairs
    leading = _ancestors(graph, wrong_outputs) if wrong_outputs else set(range(len(graph.tensors)))
    for position in sorted(leading):
        known = position in pairs
        if known and not judged.is_bad(position):
            continue
        if not known and not _is_lost(judged, position):
            continue
        near = nearest_known(graph.parents, position, pairs)
        if any(judged.is_bad(one) for one in near):
            continue
        if not known and any(one in judged.not_finite for one in graph.parents[position]):
            continue
        return _culprit(judged, position, near)
    return None


def _culprit(judged: Judged, position: int, near: set[int]) -> Culprit:
    graph, pairs = judged.matching.target, judged.pairs
    reason: Reason = "not_finite" if position in judged.not_finite else "error"
    if reason == "error" and position in pairs:
        mover = _wrong_move(judged, pairs[position], near)
        if mover is not None:
            return Culprit(mover, "axes", after=tuple(sorted(nearest_known(graph.parents, mover, pairs))))
    between = _between(graph, position, near)
    if reason == "error" and position in pairs and not between:
        idle = _idle(judged, pairs[position], near)
        if idle is not None:
            return Culprit(idle, "missing", after=tuple(sorted(nearest_known(graph.parents, idle, pairs))))
    if reason == "not_finite":
        # what stays finite on the way is not where values were lost
        between = tuple(one for one in between if one in judged.not_finite)
    before = max((judged.errors[one].relative_error or 0.0 for one in near), default=0.0)
    here = judged.errors[position].relative_error if position in pairs else None
    gradual = here is not None and before > 0 and here < GRADUAL * before
    return Culprit(position, reason, between, tuple(sorted(near)), gradual)


def _is_lost(judged: Judged, position: int) -> bool:
    """A step without counterpart that is not finite, in a model whose source is finite everywhere."""
    return position in judged.not_finite and all(
        tensor.is_finite for tensor in judged.matching.source.tensors if tensor.values
    )


def _wrong_move(judged: Judged, pair: Pair, near: set[int]) -> int | None:
    """The operator that put the axes in an order which the bad one cannot take.

    A tensor whose axes were put in a wrong order still has the source's values, so it looks good by itself. Seen
    from the bad operator: what it reads must lie as the source's operator reads it, or, for operators that see rows
    and columns, as all others of them in this model have it.
    """
    source, target = judged.matching.source, judged.matching.target
    bad, place = target.tensors[pair.target], pair
    while bad.kind == "shape" and len(near) == 1:
        # a reshape cannot be wrong in this way: look at what it was given
        (one,) = near
        if target.tensors[one].size != bad.size or target.tensors[one].is_input:
            break
        bad, near = target.tensors[one], nearest_known(target.parents, one, judged.pairs)
        if bad.kind == "transpose":
            return bad.position
    if bad.kind in MOVES:
        return None
    for one in sorted(near):
        given = target.tensors[one]
        if not given.values or given.is_constant:
            continue
        layout = Layout(tuple(range(len(given.shape))))
        if bad.kind in SPATIAL and len(given.shape) >= 3:
            layout = Layout(_common_axes(judged, len(given.shape)) or place.layout.axes)
        for number in _back(source, place.source):
            read = source.tensors[number]
            if read.size != given.size or not same_values(given, read, judged.tolerance):
                continue
            if len(layout.axes) != len(read.shape):
                layout = Layout(tuple(range(len(read.shape))))
            if distance(given, read, layout) > judged.tolerance:
                return _mover(judged, one)
            break
    return None


def _idle(judged: Judged, pair: Pair, near: set[int]) -> int | None:
    """The operator before the bad one that should have done an activation of the source's, and gave its input or a
    result without it: what it gives is in the source too, only too early."""
    source, target = judged.matching.source, judged.matching.target
    kind = target.tensors[pair.target].kind
    if pair.how == "value" or kind in MOVES:
        return None
    for one in sorted(near):
        if not target.tensors[one].is_input and leading(
            kind, way_between(source, judged.pairs[one].source, pair.source)
        ):
            return one
    return None


def _mover(judged: Judged, position: int) -> int | None:
    """The transposition nearest before a step; of several, the first whose result lies in an unusual order."""
    graph, pairs = judged.matching.target, judged.pairs
    found: list[int] = []
    one = position
    for _ in range(_SEARCH):
        tensor = graph.tensors[one]
        if tensor.kind == "transpose":
            found.append(one)
        same = [p for p in graph.parents[one] if graph.tensors[p].size == tensor.size]
        if len(same) != 1 or (tensor.kind in ("conv", "matmul") and one != position):
            break
        one = same[0]
    odd = [one for one in found if one in pairs and not pairs[one].layout.usual]
    return odd[-1] if odd else found[0] if found else None


def _common_axes(judged: Judged, rank: int) -> tuple[int, ...] | None:
    """The order of axes in which most of the good operators that see rows and columns have their results."""
    seen = Counter(
        pair.layout.axes
        for pair in judged.matching.pairs
        if len(pair.layout.axes) == rank
        and pair.how == "value"
        and pair.layout.unfold is None
        and judged.matching.target.tensors[pair.target].kind in SPATIAL
        and len(judged.matching.target.tensors[pair.target].shape) == rank
        and len(set(judged.matching.target.tensors[pair.target].shape)) > 2
    )
    return seen.most_common(1)[0][0] if seen else None


def _back(graph: Graph, position: int) -> list[int]:
    """Ancestors, the nearest first."""
    found: list[int] = []
    front = [position]
    while front and len(found) < _SEARCH:
        front = sorted({parent for one in front for parent in graph.parents[one]} - set(found), reverse=True)
        found.extend(front)
    return found


def _between(graph: Graph, position: int, near: set[int]) -> tuple[int, ...]:
    found: set[int] = set()
    waiting = list(graph.parents[position])
    while waiting:
        one = waiting.pop()
        if one in near or one in found or graph.tensors[one].is_input:
            continue
        found.add(one)
        waiting.extend(graph.parents[one])
    return tuple(sorted(found))


def _ancestors(graph: Graph, positions: Sequence[int]) -> set[int]:
    found: set[int] = set()
    waiting = list(positions)
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.add(one)
            waiting.extend(graph.parents[one])
    return found
