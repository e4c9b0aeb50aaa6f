"""How windows lie on the spatial axes: what convolution and pooling share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit_ios.mil.args import Args
from edgekit_ios.mil.errors import unsupported
from edgekit_ios.mil.values import check_size

if TYPE_CHECKING:
    Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Windows:
    """For each spatial axis: size of the window, stride, dilation, padding before and after, number of windows."""

    size: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    count: tuple[int, ...]

    def taps(self, padded: Array) -> Iterator[tuple[tuple[int, ...], Array]]:
        """For each place in the window: its index, and the elements of [n, C, *spatial] that lie under it."""
        for tap in np.ndindex(*self.size):
            spans = tuple(
                slice(t * d, t * d + (c - 1) * s + 1, s)
                for t, d, c, s in zip(tap, self.dilation, self.count, self.stride, strict=True)
            )
            yield tap, padded[(slice(None), slice(None), *spans)]

    def padded(self, x: Array, value: float) -> Array:
        """x with padding; after it as much more as the last window needs."""
        widths = [(0, 0), (0, 0)]
        for axis, (before, after) in enumerate(zip(self.before, self.after, strict=True)):
            reach = (
                (self.size[axis] - 1) * self.dilation[axis] + 1 + (self.count[axis] - 1) * self.stride[axis]
            )
            size = before + x.shape[axis + 2]
            widths.append((before, max(after, reach - size)))
        check_size(tuple(d + b + e for d, (b, e) in zip(x.shape, widths, strict=True)))
        return np.pad(x, widths, constant_values=value)


def windows(a: Args, spatial: Sequence[int], size: Sequence[int], *, ceil_mode: bool = False) -> Windows:
    """From strides, dilations, pad_type and pad of an operation.

    same: as many windows as ceil(input / stride), padding split in half, the odd one after (same_lower: before).
    """
    rank = len(spatial)
    stride = _positive(a.integers("strides", (1,) * rank), rank)
    dilation = _positive(a.integers("dilations", (1,) * rank), rank)
    reach = [(k - 1) * d + 1 for k, d in zip(size, dilation, strict=True)]
    kind = a.text("pad_type", "valid")
    if kind in ("same", "same_lower"):
        total = [max(0, (-(-i // s) - 1) * s + r - i) for i, s, r in zip(spatial, stride, reach, strict=True)]
        less, more = [t // 2 for t in total], [t - t // 2 for t in total]
        before, after = (less, more) if kind == "same" else (more, less)
    elif kind == "custom":
        pad = a.integers("pad", (0,) * 2 * rank)
        if len(pad) != 2 * rank or min(pad) < 0:
            raise ValueError(f"pad is {list(pad)}")
        before, after = list(pad[0::2]), list(pad[1::2])
    elif kind == "valid":
        before, after = [0] * rank, [0] * rank
    else:
        raise unsupported(a.operator, f"pad_type {kind}")
    count = []
    for i, r, s, b, e in zip(spatial, reach, stride, before, after, strict=True):
        room = i + b + e - r
        number = (-(-room // s) if ceil_mode else room // s) + 1
        if ceil_mode and (number - 1) * s >= i + b and b + e > 0:
            number -= 1  # a window that would begin in the padding behind
        if number < 1:
            raise ValueError(f"a window of {r} on {i} elements padded by {b} and {e}")
        count.append(number)
    return Windows(tuple(size), stride, dilation, tuple(before), tuple(after), tuple(count))


def _positive(values: tuple[int, ...], rank: int) -> tuple[int, ...]:
    if len(values) != rank or min(values) < 1:
        raise ValueError(f"{list(values)} for {rank} spatial axes")
    return values
