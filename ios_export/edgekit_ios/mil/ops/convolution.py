"""Convolution and its transpose, as sums over the places of the kernel."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit_ios.mil.args import Args
from edgekit_ios.mil.errors import unsupported
from edgekit_ios.mil.ops.windows import windows
from edgekit_ios.mil.registry import operator
from edgekit_ios.mil.values import check_size

if TYPE_CHECKING:
    Array = np.ndarray[Any, Any]


@operator("conv")
def _conv(a: Args) -> Array:
    """x [n, C_in, *spatial], weight [C_out, C_in / groups, *kernel]; what is padded is zero."""
    x, weight, groups = a.tensor("x"), a.tensor("weight"), a.integer("groups", 1)
    lie = windows(a, x.shape[2:], weight.shape[2:])
    made, taken = weight.shape[:2]
    if groups < 1 or taken * groups != x.shape[1] or made % groups:
        raise ValueError(f"{x.shape[1]} channels, a weight {list(weight.shape)} and {groups} groups")
    places = math.prod(lie.count)
    check_size((len(x), made, places))
    kernels = weight.reshape(groups, made // groups, taken, *weight.shape[2:])
    total = np.zeros((len(x), groups, made // groups, places))
    for tap, under in lie.taps(lie.padded(x, 0)):
        grouped = under.reshape(len(x), groups, taken, places)
        total += _product(_at(kernels, tap), grouped)
    return _biased(a, total.reshape(len(x), made, *lie.count))


@operator("conv_transpose")
def _conv_transpose(a: Args) -> Array:
    """weight [C_in, C_out / groups, *kernel]: what conv's gradient does. Each input element adds its kernel to the
    output, `strides` apart; `pad` is what is cut off."""
    x, weight, groups = a.tensor("x"), a.tensor("weight"), a.integer("groups", 1)
    rank = x.ndim - 2
    stride, dilation = a.integers("strides", (1,) * rank), a.integers("dilations", (1,) * rank)
    if len(weight) != x.shape[1] or groups < 1 or x.shape[1] % groups or min(stride + dilation) < 1:
        raise ValueError(f"{x.shape[1]} channels, a weight {list(weight.shape)} and {groups} groups")
    size = [
        (d - 1) * s + (k - 1) * e + 1
        for d, s, k, e in zip(x.shape[2:], stride, weight.shape[2:], dilation, strict=True)
    ]
    made, taken = weight.shape[1], x.shape[1] // groups
    before, wanted = _cut(a, size, x.shape[2:], stride)
    check_size((len(x), groups * made, math.prod(size)))
    check_size((len(x), groups * made, math.prod(wanted)))
    whole = np.zeros((len(x), groups, made, *size))
    kernels = np.swapaxes(weight.reshape(groups, taken, made, *weight.shape[2:]), 1, 2)
    grouped = x.reshape(len(x), groups, taken, -1)
    for tap in np.ndindex(*weight.shape[2:]):
        spans = tuple(
            slice(t * e, t * e + (d - 1) * s + 1, s)
            for t, e, d, s in zip(tap, dilation, x.shape[2:], stride, strict=True)
        )
        part = _product(_at(kernels, tap), grouped)
        under = whole[(slice(None), slice(None), slice(None), *spans)]
        under += part.reshape(len(x), groups, made, *x.shape[2:])
    whole = whole.reshape(len(x), groups * made, *size)
    room = [(0, 0), (0, 0), *((0, max(0, b + w - s)) for b, w, s in zip(before, wanted, size, strict=True))]
    spans = tuple(slice(b, b + w) for b, w in zip(before, wanted, strict=True))
    return _biased(a, np.pad(whole, room)[(slice(None), slice(None), *spans)])


def _cut(
    a: Args, size: list[int], spatial: tuple[int, ...], stride: tuple[int, ...]
) -> tuple[list[int], list[int]]:
    """What is cut off in front, and the size that is wanted."""
    kind = a.text("pad_type", "valid")
    pad = a.integers("pad", (0,) * 2 * len(size))
    if kind == "same":
        wanted = [d * s for d, s in zip(spatial, stride, strict=True)]
        before = [max(0, s - w) // 2 for s, w in zip(size, wanted, strict=True)]
    elif kind in ("valid", "custom"):
        before = list(pad[0::2]) if kind == "custom" else [0] * len(size)
        after = list(pad[1::2]) if kind == "custom" else [0] * len(size)
        wanted = [s - b - e for s, b, e in zip(size, before, after, strict=True)]
    else:
        raise unsupported(a.operator, f"pad_type {kind}")
    if "output_shape" in a:
        wanted = list(a.integers("output_shape"))[2:]
    return before, wanted


def _at(kernels: Array, tap: tuple[int, ...]) -> Array:
    """[groups, out, in] of one place in the kernel."""
    place: tuple[Any, ...] = (slice(None), slice(None), slice(None), *tap)
    matrices: Array = kernels[place]
    return matrices


def _product(kernel: Array, x: Array) -> Array:
    """[groups, out, in] x [n, groups, in, places] -> [n, groups, out, places]"""
    if kernel.shape[2] == 1:  # depthwise: many small matrices are slow
        return kernel * x
    product: Array = np.matmul(kernel, x)
    return product


def _biased(a: Args, y: Array) -> Array:
    bias = a.optional("bias")
    return y if bias is None else y + bias.reshape((1, -1) + (1,) * (y.ndim - 2))
