"""Reductions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit_ios.mil.args import Args, counted
from edgekit_ios.mil.registry import operator

if TYPE_CHECKING:
    Array = np.ndarray[Any, Any]
    Reduce = Callable[[Array, tuple[int, ...]], Array]


def _log_sum_exp(x: Array, axes: tuple[int, ...]) -> Array:
    top = np.max(x, axis=axes, keepdims=True)
    top = np.where(np.isfinite(top), top, 0)
    made: Array = np.log(np.sum(np.exp(x - top), axis=axes, keepdims=True)) + top
    return made


_REDUCE: dict[str, Reduce] = {
    "reduce_l1_norm": lambda x, axes: np.sum(np.abs(x), axis=axes, keepdims=True),
    "reduce_l2_norm": lambda x, axes: np.sqrt(np.sum(np.square(x), axis=axes, keepdims=True)),
    "reduce_log_sum": lambda x, axes: np.log(np.sum(x, axis=axes, keepdims=True)),
    "reduce_log_sum_exp": _log_sum_exp,
    "reduce_max": lambda x, axes: np.max(x, axis=axes, keepdims=True),
    "reduce_mean": lambda x, axes: np.mean(x, axis=axes, keepdims=True),
    "reduce_min": lambda x, axes: np.min(x, axis=axes, keepdims=True),
    "reduce_prod": lambda x, axes: np.prod(x, axis=axes, keepdims=True),
    "reduce_sum": lambda x, axes: np.sum(x, axis=axes, keepdims=True),
    "reduce_sum_square": lambda x, axes: np.sum(np.square(x), axis=axes, keepdims=True),
}


def _register(name: str, reduce: Reduce) -> None:
    @operator(name)
    def compute(a: Args) -> Array:
        x = a.tensor("x")
        given = a.integers("axes") if "axes" in a else tuple(range(x.ndim))
        axes = tuple(sorted({counted(axis, x.ndim) for axis in given}))
        y = np.asarray(reduce(x, axes))
        return y if a.flag("keep_dims") else y.reshape([d for i, d in enumerate(y.shape) if i not in axes])


for _name, _reduce in _REDUCE.items():
    _register(_name, _reduce)


@operator("reduce_argmax")
def _argmax(a: Args) -> Array:
    """Of several that are equal, the first."""
    x = a.tensor("x")
    return np.asarray(np.argmax(x, axis=a.axis("axis", x.ndim, -1), keepdims=a.flag("keep_dims")))


@operator("reduce_argmin")
def _argmin(a: Args) -> Array:
    x = a.tensor("x")
    return np.asarray(np.argmin(x, axis=a.axis("axis", x.ndim, -1), keepdims=a.flag("keep_dims")))
