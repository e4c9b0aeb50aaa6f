"""Which tensor of a converted model is which of its source. Pure.

A converter renames tensors, moves axes, fuses several operators into one and writes one as several. Three passes:

1. By value. A tensor of the target is that of the source which has the same values over all samples, in some order
   of axes. What a sample's input does not change is left out: it would fit anything.
2. The outputs, which are known to belong together, whatever their values are.
3. By kind, only in the part of the target from which a wrong output was computed: forward from what was found by
   value, an operator of the same kind and size.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from edgekit.conversion.layers.gaps import Found, pair_by_kind
from edgekit.conversion.layers.kinds import MOVES
from edgekit.conversion.layers.layout import Layout
from edgekit.conversion.layers.tensors import (
    Graph,
    Tensor,
    best_layout,
    distance,
    graph_of,
    may_be_close,
    nearest_known,
)
from edgekit.conversion.layers.trace import Trace

How = Literal["value", "output", "kind"]

FEW_VALUES = 6
"""So few values over all samples may agree by chance: the kind must agree too."""


@dataclass(frozen=True)
class Pair:
    """`target` and `source` are positions among the steps of their traces; `apart` is their largest difference over
    the source's largest magnitude in the samples that were matched."""

    target: int
    source: int
    how: How
    layout: Layout
    apart: float = math.inf


@dataclass(frozen=True)
class Matching:
    pairs: tuple[Pair, ...]
    target: Graph
    source: Graph


def match(sources: Sequence[Trace], targets: Sequence[Trace], tolerance: float, exact: float) -> Matching:
    """Pair the steps of a target with those of its source, in the target's order.

    `sources` and `targets`: traces of the same samples. `tolerance`: two tensors whose largest difference is at most
    this share of the source's largest magnitude are the same one; up to `exact` nothing is wrong with it, and what it
    was computed from is not looked into by kind.
    """
    count = min(len(sources), len(targets))
    source, target = graph_of(sources[:count]), graph_of(targets[:count])
    pairs = {pair.target: pair for pair in _by_value(source, target, tolerance)}
    for pair in _outputs(source, target, targets[0].axes):
        theirs, ours = source.tensors[pair.source], target.tensors[pair.target]
        if ours.values and theirs.values:
            apart = distance(ours, theirs, pair.layout)
            pairs[pair.target] = replace(pair, how="value" if apart <= tolerance else "output", apart=apart)
        else:
            pairs.setdefault(pair.target, pair)
    found = {number: Found(pair.source, pair.layout) for number, pair in pairs.items()}
    fine = {number for number, pair in pairs.items() if pair.apart <= exact}
    region = [number for number in _region(target, fine) if number not in pairs]
    for number, guess in pair_by_kind(source, target, found, region).items():
        pairs[number] = Pair(number, guess.source, "kind", guess.layout)
    return Matching(tuple(pairs[number] for number in sorted(pairs)), target, source)


def _by_value(source: Graph, target: Graph, tolerance: float) -> Iterator[Pair]:
    by_size: dict[int, list[Tensor]] = {}
    for tensor in source.tensors:
        if tensor.values and not tensor.is_constant:
            by_size.setdefault(tensor.size, []).append(tensor)
    chosen: dict[int, int] = {}
    for tensor in target.tensors:
        if not tensor.values or tensor.is_constant:
            continue
        after = max((chosen[p] for p in nearest_known(target.parents, tensor.position, chosen)), default=-1)
        best: tuple[float, Pair] | None = None
        for other in by_size.get(tensor.size, ()):
            if not _may_be(tensor, other) or not may_be_close(tensor, other, tolerance):
                continue
            fits = best_layout(tensor, other, tolerance)
            if fits is None:
                continue
            layout, apart = fits
            cost = _cost(tensor, other, layout, apart, after)
            if best is None or cost < best[0]:
                best = cost, Pair(tensor.position, other.position, "value", layout, apart)
        if best is not None:
            chosen[tensor.position] = best[1].source
            yield best[1]


def _may_be(target: Tensor, source: Tensor) -> bool:
    if target.is_input != source.is_input:
        return target.kind in MOVES or source.kind in MOVES
    return target.size * len(target.values) >= FEW_VALUES or target.kind == source.kind


def _cost(target: Tensor, source: Tensor, layout: Layout, apart: float, after: int) -> float:
    """Smaller is likelier. Among equals: the usual layout, the same kind, shape, and nearest behind the inputs."""
    behind = source.position - after
    return (
        2.0 * math.log10(max(apart, 1e-6) / 1e-6)
        + 3.0 * (not layout.usual)
        + 0.5 * (not layout.keeps_order)
        + 1.0 * (target.kind != source.kind)
        + 0.5 * (target.shape != source.shape)
        + (1.0 if behind < 0 else 0.0)
        + min(1.0, abs(behind) / 50)
    )


def _outputs(source: Graph, target: Graph, axes: Sequence[tuple[int, ...]]) -> Iterator[Pair]:
    if len(source.outputs) != len(target.outputs):
        return
    for number, (theirs, ours) in enumerate(zip(source.outputs, target.outputs, strict=True)):
        a, b = source.tensors[theirs], target.tensors[ours]
        if not a.values or a.size != b.size:
            continue
        order = axes[number] if number < len(axes) else ()
        yield Pair(ours, theirs, "output", Layout(order or tuple(range(len(a.shape)))))


def _region(target: Graph, fine: Container[int]) -> list[int]:
    """What wrong outputs were computed from, back to what is fine; in execution order."""
    region: set[int] = set()
    waiting = list(target.outputs)
    while waiting:
        one = waiting.pop()
        if one in region or one in fine:
            continue
        region.add(one)
        waiting.extend(target.parents[one])
    return sorted(region)
