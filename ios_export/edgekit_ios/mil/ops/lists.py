"""Lists of tensors, which loops write into."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit_ios.mil.args import Args
from edgekit_ios.mil.registry import operator
from edgekit_ios.mil.values import check_size

if TYPE_CHECKING:
    Array = np.ndarray[Any, Any]
    Items = list[Array | None]

_MAX_ITEMS = 1 << 20


@operator("make_list")
def _make_list(a: Args) -> Items:
    return [None] * _length(a.integer("init_length", 1))


@operator("list_length")
def _list_length(a: Args) -> Array:
    return np.asarray(len(_items(a)))


@operator("list_write")
def _list_write(a: Args) -> Items:
    """A copy with one item replaced; a dynamic list grows to the index."""
    return _written(_items(a), a.integer("index"), a.raw("value"))


@operator("list_read")
def _list_read(a: Args) -> Array:
    return _read(_items(a), a.integer("index"))


@operator("list_gather")
def _list_gather(a: Args) -> Array:
    items, indices = _items(a), a.integers("indices")
    read = [_read(items, index) for index in indices]
    check_size((len(read), *read[0].shape))
    return np.stack(read)


@operator("list_scatter")
def _list_scatter(a: Args) -> Items:
    items = _items(a)
    for index, value in zip(a.integers("indices"), a.raw("value"), strict=True):
        items = _written(items, index, np.asarray(value))
    return items


def _items(a: Args) -> Items:
    items = a.raw("ls")
    if not isinstance(items, list):
        raise TypeError("'ls' is no list")
    return items


def _read(items: Items, index: int) -> Array:
    value = items[index] if 0 <= index < len(items) else None
    if value is None:
        raise IndexError(f"item {index} of a list of {len(items)} was never written")
    return value


def _written(items: Items, index: int, value: Array) -> Items:
    if index < 0:
        raise IndexError(f"item {index} of a list")
    grown = items + [None] * (_length(index + 1) - len(items))
    return [*grown[:index], value, *grown[index + 1 :]]


def _length(length: int) -> int:
    if not 0 <= length <= _MAX_ITEMS:
        raise ValueError(f"a list of {length} items")
    return length
