"""Cross-layer equalization: factors by which the channels between two layers are made alike. Pure.

After Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", 2019 (arXiv:1906.04721),
equation 11, with the range of the values between the layers in place of the first layer's weights: weights have a scale per
channel here, what lies between the layers has one for all channels. The factors are powers of two, so that the float model
gives the same values bit for bit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

MAX_EXPONENT = 12
"""Factors from 2^-12 to 2^12: more would bring weights near float32's ends."""


def equalizing_scales(values: Array, weights: Array) -> Array:
    """For each channel the power of two by which its values are to be divided, and the next layer's weights multiplied.

    `values`: largest magnitude of each channel between the layers; `weights`: of the next layer's weights that read it. The
    result is nearest to sqrt(values / weights) over the channels' geometric mean of that: what is large on one side beside other
    channels is shared out between both. Channels without values or weights get 1.
    """
    import numpy as np

    scales = np.ones(values.shape, np.float64)
    alive = (values > 0) & (weights > 0) & np.isfinite(values) & np.isfinite(weights)
    if not alive.any():
        return scales
    wanted = 0.5 * (np.log2(values[alive].astype(np.float64)) - np.log2(weights[alive].astype(np.float64)))
    exponents = np.rint(wanted - wanted.mean())
    scales[alive] = np.exp2(np.clip(exponents, -MAX_EXPONENT, MAX_EXPONENT))
    return scales


def divided(weights: Array, scales: Array, axis: int) -> Array:
    """Weights or a bias whose channels along `axis` are divided by `scales`."""
    return _along(weights, 1.0 / scales, axis)


def multiplied(weights: Array, scales: Array, axis: int) -> Array:
    return _along(weights, scales, axis)


def channel_range(weights: Array, axis: int) -> Array:
    """Largest magnitude of each channel along `axis`."""
    import numpy as np

    others = tuple(dim for dim in range(weights.ndim) if dim != axis % weights.ndim)
    found: Array = np.abs(weights).max(axis=others, initial=0.0)
    return found


def _along(weights: Array, factors: Array, axis: int) -> Array:
    shape = [1] * weights.ndim
    shape[axis] = -1
    scaled: Array = (weights.astype("f8") * factors.reshape(shape)).astype(weights.dtype)
    return scaled
