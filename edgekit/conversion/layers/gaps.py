"""The third pass of matching: operators whose values no longer tell what they are. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edgekit.conversion.layers.kinds import MOVES
from edgekit.conversion.layers.layout import Layout
from edgekit.conversion.layers.tensors import Graph, Tensor, nearest_known, nearest_layout, same_values

MAX_HOPS = 10
"""So many operators of the source may have become one of the target."""

_HEAVY = frozenset({"conv", "matmul", "attention", "recurrent", "embedding"})
_TAIL = frozenset({"norm", "relu", "gelu", "silu", "tanh", "sigmoid", "add", "mul", "hardswish"}) | MOVES
"""What converters fuse behind a heavy operator."""
_ACTIVATIONS = frozenset({"norm", "relu", "gelu", "silu", "tanh", "sigmoid", "hardswish"})
_ALIKE = (
    frozenset({"conv", "matmul"}),
    frozenset({"pool", "mean", "sum"}),
    frozenset({"shape", "slice", "transpose", "concat"}),
    frozenset({"norm", "mul", "add"}),
)


@dataclass(frozen=True)
class Found:
    source: int
    layout: Layout


def pair_by_kind(
    source: Graph, target: Graph, found: dict[int, Found], region: Sequence[int]
) -> dict[int, Found]:
    """Pairs for the target's steps in `region` (in execution order), forward from what is `found`."""
    taken = {one.source for one in found.values()}
    known = dict(found)
    guesses: dict[int, Found] = {}
    for position in region:
        tensor = target.tensors[position]
        roots = {known[near].source for near in nearest_known(target.parents, position, known)}
        guess = _guess(source, tensor, roots, taken) if tensor.values else None
        if guess is None and tensor.values and tensor.kind in MOVES:
            guess = _moved(source, tensor, roots)
        if guess is None:
            continue
        known[position] = guesses[position] = guess
        taken.add(guess.source)
    return guesses


def _guess(source: Graph, tensor: Tensor, roots: set[int], taken: set[int]) -> Found | None:
    best: tuple[float, Found] | None = None
    for number, way in _forward(source, roots):
        other = source.tensors[number]
        if number in taken or not other.values or other.size != tensor.size:
            continue
        nearest = nearest_layout(tensor, other)
        if nearest is None:
            continue
        layout, apart = nearest
        kinds = [source.tensors[step].kind for step in way]
        if not _could_become(tensor.kind, kinds) and not same_values(tensor, other, 0.01):
            continue
        # values that are not finite say nothing: then the longest chain that can be fused
        cost = apart if tensor.is_finite else -float(len(way))
        cost += 0.0 if other.kind == tensor.kind else 0.01
        if best is None or cost < best[0]:
            best = cost, Found(number, layout)
    return best[1] if best else None


def _moved(source: Graph, tensor: Tensor, roots: set[int]) -> Found | None:
    """The tensor that was moved, where the source has no step that moves it."""
    for root in sorted(roots):
        other = source.tensors[root]
        if other.values and other.size == tensor.size and (nearest := nearest_layout(tensor, other)):
            return Found(root, nearest[0])
    return None


def _could_become(kind: str, way: Sequence[str]) -> bool:
    """Whether the source's operators on this way could be one of the target's of this kind."""
    main = [one for one in way if one not in MOVES]
    if kind in MOVES:
        return not main
    main = main[len(leading(kind, main)) :]
    if not main or not _alike(kind, main[0]):
        return False
    if sum(one in _HEAVY for one in main) > (kind in _HEAVY):
        return False
    return all(one in _TAIL for one in main[1:])


def leading(kind: str, way: Sequence[str]) -> list[str]:
    """Activations on the way that come before the operator of this kind: they should have been done already."""
    main = [one for one in way if one not in MOVES]
    first = next((i for i, one in enumerate(main) if _alike(kind, one)), 0)
    return main[:first] if all(one in _ACTIVATIONS for one in main[:first]) else []


def way_between(source: Graph, root: int, end: int) -> list[str]:
    """Kinds of the operators from behind one step to another, by the shortest way; empty where there is none."""
    way = dict(_forward(source, [root])).get(end, ())
    return [source.tensors[step].kind for step in way]


def _alike(kind: str, other: str) -> bool:
    return kind == other or any(kind in group and other in group for group in _ALIKE)


def _forward(source: Graph, roots: Iterable[int]) -> list[tuple[int, tuple[int, ...]]]:
    """Steps within reach behind the roots, each with the shortest way to it (the roots left out)."""
    ways: dict[int, tuple[int, ...]] = {}
    front: list[tuple[int, tuple[int, ...]]] = [(root, ()) for root in sorted(roots)]
    for _ in range(MAX_HOPS):
        following = []
        for number, way in front:
            for child in source.children[number]:
                if child not in ways:
                    ways[child] = (*way, child)
                    following.append((child, ways[child]))
        front = following
    return sorted(ways.items())
