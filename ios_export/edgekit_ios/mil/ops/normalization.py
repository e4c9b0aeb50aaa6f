"""Normalization."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit_ios.mil.args import Args, counted
from edgekit_ios.mil.registry import operator

if TYPE_CHECKING:
    Array = np.ndarray[Any, Any]


def _scaled(a: Args, y: Array, shape: tuple[int, ...]) -> Array:
    """gamma * y + beta, both reshaped to `shape`."""
    gamma, beta = a.optional("gamma"), a.optional("beta")
    if gamma is not None:
        y = y * gamma.reshape(shape)
    return y if beta is None else y + beta.reshape(shape)


@operator("batch_norm")
def _batch_norm(a: Args) -> Array:
    x = a.tensor("x")
    shape = (1, -1) + (1,) * (x.ndim - 2)
    deviation = np.sqrt(a.tensor("variance").reshape(shape) + a.number("epsilon", 1e-5))
    return _scaled(a, (x - a.tensor("mean").reshape(shape)) / deviation, shape)


@operator("instance_norm")
def _instance_norm(a: Args) -> Array:
    """Over the spatial axes of each channel."""
    x = a.tensor("x")
    y = _standardized(x, tuple(range(2, x.ndim)), a.number("epsilon", 1e-5))
    return _scaled(a, y, (1, -1) + (1,) * (x.ndim - 2))


@operator("layer_norm")
def _layer_norm(a: Args) -> Array:
    x = a.tensor("x")
    axes = sorted(counted(axis, x.ndim) for axis in a.integers("axes", range(x.ndim)))
    shape = tuple(dim if i in axes else 1 for i, dim in enumerate(x.shape))
    return _scaled(a, _standardized(x, tuple(axes), a.number("epsilon", 1e-5)), shape)


@operator("l2_norm")
def _l2_norm(a: Args) -> Array:
    """Over the last three axes."""
    x = a.tensor("x")
    total = np.sum(np.square(x), axis=(-3, -2, -1), keepdims=True)
    normal: Array = x / np.sqrt(total + a.number("epsilon", 1e-6))
    return normal


@operator("local_response_norm")
def _local_response_norm(a: Args) -> Array:
    """x / (k + alpha / size * sum of squares over `size` neighbouring channels) ^ beta"""
    x, size = a.tensor("x"), a.integer("size")
    if not 1 <= size <= 4 * x.shape[1]:
        raise ValueError(f"size {size} for {x.shape[1]} channels")
    before = size // 2
    squares = np.pad(np.square(x), [(0, 0), (before, size - 1 - before)] + [(0, 0)] * (x.ndim - 2))
    total = np.zeros(x.shape)
    for shift in range(size):
        total += squares[:, shift : shift + x.shape[1]]
    base = a.number("k", 1.0) + a.number("alpha", 1e-4) / size * total
    normal: Array = x / np.power(base, a.number("beta", 0.75))
    return normal


def _standardized(x: Array, axes: tuple[int, ...], epsilon: float) -> Array:
    centred = x - np.mean(x, axis=axes, keepdims=True)
    variance = np.mean(np.square(centred), axis=axes, keepdims=True)
    normal: Array = centred / np.sqrt(variance + epsilon)
    return normal
