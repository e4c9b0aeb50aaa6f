"""Products of matrices."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit_ios.mil.args import Args
from edgekit_ios.mil.ops.activation import softmax
from edgekit_ios.mil.registry import operator
from edgekit_ios.mil.values import check_size

if TYPE_CHECKING:
    Array = np.ndarray[Any, Any]


@operator("linear")
def _linear(a: Args) -> Array:
    """x [*, in] times weight [out, in], transposed, plus bias [out]."""
    weight, bias = a.tensor("weight"), a.optional("bias")
    y = product(a.tensor("x"), weight.T)
    return y if bias is None else y + bias


@operator("matmul")
def _matmul(a: Args) -> Array:
    x, y = a.tensor("x"), a.tensor("y")
    if a.flag("transpose_x") and x.ndim > 1:
        x = np.swapaxes(x, -1, -2)
    if a.flag("transpose_y") and y.ndim > 1:
        y = np.swapaxes(y, -1, -2)
    return product(x, y)


@operator("einsum")
def _einsum(a: Args) -> Array:
    x, y = a.many("values")
    equation = a.text("equation").replace(" ", "")
    left, _, result = equation.partition("->")
    sizes: dict[str, int] = {}
    for letters, value in zip(left.split(","), (x, y), strict=True):
        for letter, size in zip(letters, value.shape, strict=True):
            sizes[letter] = max(size, sizes.get(letter, 1))
    check_size(tuple(sizes[letter] for letter in result))
    made: Array = np.einsum(equation, x, y)
    return made


@operator("scaled_dot_product_attention")
def _attention(a: Args) -> Array:
    """softmax(query key^T / sqrt(E) + mask) value; a mask of bools lets through where it is true."""
    query, key, value = a.tensor("query"), a.tensor("key"), a.tensor("value")
    scores = product(query, np.swapaxes(key, -1, -2)) / math.sqrt(query.shape[-1])
    mask = a.optional("attn_mask")
    if mask is not None:
        scores = scores + (np.where(mask, 0.0, -np.inf) if mask.dtype == bool else mask)
    return product(softmax(scores, -1), value)


def product(x: Array, y: Array) -> Array:
    """np.matmul, refused where the result would be absurdly large."""
    rows, columns = x.shape[-2:-1], y.shape[-1:] if y.ndim > 1 else ()
    check_size((*np.broadcast_shapes(x.shape[:-2], y.shape[:-2]), *rows, *columns))
    made: Array = np.asarray(np.matmul(x, y))
    return made
