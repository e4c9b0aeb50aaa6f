"""How the axes of one tensor lie in another one. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import permutations
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

MAX_RANK = 5
"""Axes longer than 1 of which all orders are tried; of more, only the usual ones."""


@dataclass(frozen=True)
class Layout:
    """`target = source.reshape(unfold or as it is).transpose(axes).reshape(the target's shape)`.

    `usual`: the order of axes is kept, or channels moved between the second place and the last.
    """

    axes: tuple[int, ...]
    unfold: tuple[int, ...] | None = None
    usual: bool = True

    @property
    def keeps_order(self) -> bool:
        return self.axes == tuple(range(len(self.axes)))

    def apply(self, source: Array, shape: Sequence[int]) -> Array:
        """The source's values in the target's order and shape."""
        opened = source if self.unfold is None else source.reshape(self.unfold)
        return opened.transpose(self.axes).reshape(tuple(shape))

    def places(self, flat: Array, source_shape: Sequence[int]) -> Array:
        """Where the target's values, by flat index, lie in the flat source."""
        import numpy as np

        shape = tuple(source_shape) if self.unfold is None else self.unfold
        if not shape or self.keeps_order:
            return flat
        turned = tuple(shape[axis] for axis in self.axes)
        coordinates = np.unravel_index(flat, turned)
        back = [coordinates[self.axes.index(axis)] for axis in range(len(shape))]
        return np.ravel_multi_index(back, shape)


def layouts(source: Sequence[int], target: Sequence[int], *, usual_only: bool = False) -> Iterator[Layout]:
    """Ways in which a tensor of the source's shape may lie in the target's; the likeliest first. Nothing where the
    numbers of elements differ."""
    yield from _layouts(tuple(source), tuple(target), usual_only)


@cache
def _layouts(source: tuple[int, ...], target: tuple[int, ...], usual_only: bool) -> tuple[Layout, ...]:
    if math.prod(source) != math.prod(target):
        return ()
    found: dict[tuple[object, ...], Layout] = {}

    def offer(layout: Layout, shape: tuple[int, ...]) -> None:
        # axes of length 1 can lie anywhere: two orders that move no value are the same
        key = (layout.unfold, tuple(axis for axis in layout.axes if shape[axis] != 1))
        found.setdefault(key, layout)

    same = _squeezed(source) == _squeezed(target)
    if same:
        offer(Layout(tuple(range(len(source)))), source)
    orders = list(_orders(source, usual_only))
    fitting = [o for o in orders if _squeezed([source[a] for a in o.axes]) == _squeezed(target)]
    for order in [*fitting, *orders]:
        offer(_as_target(order, source, target), source)
    if len(_squeezed(target)) > len(_squeezed(source)):
        for order in _orders(target, usual_only):
            if not order.keeps_order:
                unfolded = tuple(target[order.axes.index(axis)] for axis in range(len(target)))
                offer(Layout(order.axes, unfolded, order.usual), unfolded)
    return tuple(found.values())


def _as_target(order: Layout, source: tuple[int, ...], target: tuple[int, ...]) -> Layout:
    """Axes of length 1 where the target has its own, so that the order reads as (0, 2, 3, 1)."""
    if len(source) != len(target):
        return order
    real = [axis for axis in order.axes if source[axis] != 1]
    ones = [axis for axis in range(len(source)) if source[axis] == 1]
    if [source[axis] for axis in real] != [size for size in target if size != 1]:
        return order
    axes = tuple(ones.pop(0) if size == 1 else real.pop(0) for size in target)
    return Layout(axes, None, order.usual)


def _orders(shape: tuple[int, ...], usual_only: bool) -> Iterator[Layout]:
    """Orders of the axes: as they are, channels to the end, channels from the end, then all others."""
    rank = len(shape)
    yield Layout(tuple(range(rank)))
    for kept in (1, 0):
        if rank - kept >= 2:
            head, rest = tuple(range(kept)), tuple(range(kept, rank))
            yield Layout((*head, *rest[1:], rest[0]))
            yield Layout((*head, rest[-1], *rest[:-1]))
    if usual_only:
        return
    ones = tuple(axis for axis in range(rank) if shape[axis] == 1)
    real = tuple(axis for axis in range(rank) if shape[axis] != 1)
    if len(real) <= MAX_RANK:
        for order in permutations(real):
            yield Layout((*ones, *order), None, usual=False)


def _squeezed(shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(size for size in shape if size != 1)
