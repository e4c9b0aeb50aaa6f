"""Interpolation over the last axes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit_ios.mil.args import Args
from edgekit_ios.mil.errors import unsupported
from edgekit_ios.mil.registry import operator
from edgekit_ios.mil.values import check_size

if TYPE_CHECKING:
    Array = np.ndarray[Any, Any]


def grid(size: int, wanted: int, mode: str) -> Array:
    """Where the `wanted` samples lie on [0, size - 1], as the documentation of resize_bilinear writes it."""
    i = np.arange(wanted, dtype=np.float64)
    if mode == "ALIGN_CORNERS" and wanted == 1:
        return np.array([(size - 1) / 2])
    if mode in ("STRICT_ALIGN_CORNERS", "ALIGN_CORNERS"):
        places = i * ((size - 1) / max(1, wanted - 1))
    elif mode == "DEFAULT":
        places = i * (size / wanted)
    elif mode == "OFFSET_CORNERS":
        delta = max(1, size - 1) / wanted
        places = 0.5 * delta + i * delta
    elif mode == "UNALIGN_CORNERS":
        places = (i + 0.5) * (size / wanted) - 0.5
    else:
        raise unsupported("resize", f"sampling mode {mode}")
    inside: Array = np.clip(places, 0, size - 1)
    return inside


def _linear(x: Array, axis: int, wanted: int, mode: str) -> Array:
    check_size(tuple(wanted if i == axis else d for i, d in enumerate(x.shape)))
    places = grid(x.shape[axis], wanted, mode)
    low = np.floor(places).astype(np.int64)
    high = np.minimum(low + 1, x.shape[axis] - 1)
    share = (places - low).reshape([-1 if i == axis else 1 for i in range(x.ndim)])
    made: Array = np.take(x, low, axis=axis) * (1 - share) + np.take(x, high, axis=axis) * share
    return made


def _nearest(x: Array, axis: int, wanted: int) -> Array:
    """Sample i is element floor(i * size / wanted)."""
    check_size(tuple(wanted if i == axis else d for i, d in enumerate(x.shape)))
    made: Array = np.take(x, np.arange(wanted) * x.shape[axis] // wanted, axis=axis)
    return made


@operator("resize_bilinear")
def _resize_bilinear(a: Args) -> Array:
    x, mode = a.tensor("x"), a.text("sampling_mode", "DEFAULT")
    y = _linear(x, x.ndim - 2, _size(a.integer("target_size_height", 1)), mode)
    return _linear(y, x.ndim - 1, _size(a.integer("target_size_width", 1)), mode)


@operator("resize_nearest_neighbor")
def _resize_nearest_neighbor(a: Args) -> Array:
    x = a.tensor("x")
    y = _nearest(x, x.ndim - 2, _size(a.integer("target_size_height")))
    return _nearest(y, x.ndim - 1, _size(a.integer("target_size_width")))


@operator("upsample_bilinear")
def _upsample_bilinear(a: Args) -> Array:
    x, align = a.tensor("x"), a.flag("align_corners", True)
    if a.flag("half_pixel_centers", not align):
        if align:
            raise unsupported("upsample_bilinear", "align_corners with half_pixel_centers")
        mode = "UNALIGN_CORNERS"
    else:
        mode = "STRICT_ALIGN_CORNERS" if align else "DEFAULT"
    for axis, name in ((-2, "scale_factor_height"), (-1, "scale_factor_width")):
        wanted = math.floor(x.shape[axis] * a.number(name, 1.0))
        x = _linear(x, x.ndim + axis, _size(wanted), mode)
    return x


@operator("upsample_nearest_neighbor")
def _upsample_nearest_neighbor(a: Args) -> Array:
    """By whole factors only: for others the documentation does not tell which element is nearest."""
    x = a.tensor("x")
    for axis, name in ((-2, "scale_factor_height"), (-1, "scale_factor_width")):
        factor = a.number(name, 1.0)
        if factor != int(factor):
            raise unsupported("upsample_nearest_neighbor", f"by {factor:g}")
        x = _nearest(x, x.ndim + axis, _size(x.shape[axis] * int(factor)))
    return x


@operator("resize")
def _resize(a: Args) -> Array:
    """The last `resized_dims` sizes of `shape`; 0 leaves an axis as it is."""
    x, shape, number = a.tensor("x"), a.integers("shape"), a.integer("resized_dims")
    kind, mode = a.text("interpolation_mode", "LINEAR"), a.text("sampling_mode", "DEFAULT")
    if kind not in ("LINEAR", "NEAREST_NEIGHBOR") or (kind != "LINEAR" and mode != "DEFAULT"):
        raise unsupported("resize", f"{kind}, {mode}")
    if not 0 <= number <= min(len(shape), x.ndim):
        raise ValueError(f"{number} axes of {len(shape)} sizes and rank {x.ndim}")
    for back in range(1, number + 1):
        wanted = shape[-back] or x.shape[-back]
        axis = x.ndim - back
        x = _linear(x, axis, _size(wanted), mode) if kind == "LINEAR" else _nearest(x, axis, _size(wanted))
    return x


def _size(wanted: int) -> int:
    if wanted < 1:
        raise ValueError(f"a size of {wanted}")
    return wanted
