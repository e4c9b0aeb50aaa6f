"""Gather and scatter."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit_ios.mil.args import Args
from edgekit_ios.mil.errors import unsupported
from edgekit_ios.mil.registry import operator
from edgekit_ios.mil.values import check_size

if TYPE_CHECKING:
    Array = np.ndarray[Any, Any]
    Write = Callable[[Array, Any, Array], Any]


def _assign(target: Array, place: Any, updates: Array) -> None:
    target[place] = updates


_WRITE: dict[str, Write] = {
    "update": _assign,
    "add": np.add.at,
    "sub": np.subtract.at,
    "mul": np.multiply.at,
    "div": np.divide.at,
    "max": np.maximum.at,
    "min": np.minimum.at,
}


@operator("gather")
def _gather(a: Args) -> Array:
    """x.shape[:axis] + indices.shape[batch_dims:] + x.shape[axis + 1:]"""
    x, indices = a.tensor("x"), a.tensor("indices")
    axis, batch = a.axis("axis", x.ndim, 0), a.integer("batch_dims", 0)
    if not 0 <= batch <= min(axis, indices.ndim) or x.shape[:batch] != indices.shape[:batch]:
        raise ValueError(f"batch_dims {batch}, axis {axis}, x {list(x.shape)}, indices {list(indices.shape)}")
    shape = x.shape[:axis] + indices.shape[batch:] + x.shape[axis + 1 :]
    check_size(shape)
    if batch == 0:
        return np.take(x, indices, axis=axis)
    made = np.empty(shape, x.dtype)
    for place in np.ndindex(*x.shape[:batch]):
        made[place] = np.take(x[place], indices[place], axis=axis - batch)
    return made


@operator("gather_along_axis")
def _gather_along_axis(a: Args) -> Array:
    x, indices = a.tensor("x"), a.tensor("indices")
    axis = a.axis("axis", x.ndim, 0)
    return x[_along(indices, axis)]


@operator("gather_nd")
def _gather_nd(a: Args) -> Array:
    """The last axis of `indices` is an index into the first axes of x, after batch_dims of them."""
    x, indices = a.tensor("x"), a.tensor("indices")
    batch = a.integer("batch_dims", 0)
    if not 0 <= batch < indices.ndim or x.shape[:batch] != indices.shape[:batch]:
        raise ValueError(f"batch_dims {batch}, x {list(x.shape)}, indices {list(indices.shape)}")
    shape = indices.shape[:-1] + x.shape[batch + indices.shape[-1] :]
    check_size(shape)
    if math.prod(indices.shape[:batch]) == 0:
        return np.empty(shape, x.dtype)
    made = [x[place][_last(indices[place])] for place in np.ndindex(*x.shape[:batch])]
    return np.stack(made).reshape(shape)


@operator("scatter")
def _scatter(a: Args) -> Array:
    data = a.tensor("data").copy()
    axis = a.axis("axis", data.ndim, 0)
    indices = a.tensor("indices")
    _write(a, "update")(np.moveaxis(data, axis, 0), indices, np.moveaxis(a.tensor("updates"), axis, 0))
    return data


@operator("scatter_along_axis")
def _scatter_along_axis(a: Args) -> Array:
    data = a.tensor("data").copy()
    indices = a.tensor("indices")
    _write(a, "add")(data, _along(indices, a.axis("axis", data.ndim, 0)), a.tensor("updates"))
    return data


@operator("scatter_nd")
def _scatter_nd(a: Args) -> Array:
    data = a.tensor("data").copy()
    _write(a, "add")(data, _last(a.tensor("indices")), a.tensor("updates"))
    return data


@operator("one_hot")
def _one_hot(a: Args) -> Array:
    """A new axis of `one_hot_vector_size`; an index outside it leaves all at off_value."""
    indices, size = a.tensor("indices"), a.integer("one_hot_vector_size")
    axis = a.axis("axis", indices.ndim + 1, -1)
    check_size((*indices.shape, size))
    hit = np.expand_dims(indices, axis) == np.arange(size).reshape(
        [-1 if i == axis else 1 for i in range(indices.ndim + 1)]
    )
    return np.where(hit, a.number("on_value", 1.0), a.number("off_value", 0.0))


def _along(indices: Array, axis: int) -> tuple[Array, ...]:
    """For each element of `indices` its own place, the index in place of `axis`."""
    places: list[Array] = list(np.indices(indices.shape, sparse=True))
    places[axis] = indices
    return tuple(places)


def _last(indices: Array) -> tuple[Array, ...]:
    return tuple(np.moveaxis(indices, -1, 0))


def _write(a: Args, default: str) -> Write:
    mode = a.text("mode", default)
    if mode not in _WRITE:
        raise unsupported(a.operator, f"mode {mode}")
    return _WRITE[mode]
