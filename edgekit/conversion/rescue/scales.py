"""Cross-layer equalization: factors by which the channels between two layers are made alike. Pure.

After Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", 2019 (arXiv:1906.04721),
equation 11, with the range of the values between the layers in place of the first layer's weights: weights have a scale per
channel here, what lies between the layers has one for all channels. The factors are powers of two, so that the float model
gives the same values bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_Link = TypeVar("_Link")
_ROUNDS = 3
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


def rescaled(
    ranges: Mapping[_Link, Array],
    weights: Callable[[_Link, Array], Array],
    rescale: Callable[[_Link, Array], None],
) -> int:
    """Rescale links of layers until their channels are alike; gives how many were. A few rounds, as a layer may be in two links.

    `ranges`: largest magnitude of each channel between the layers of a link; `weights`: of the weights that read each channel as
    they are by now, for a link and its range; `rescale`: divides by these factors what makes a link's values, and multiplies what
    reads them.
    """
    known, changed = dict(ranges), set()
    for _ in range(_ROUNDS):
        for link in ranges:
            scales = equalizing_scales(known[link], weights(link, known[link]))
            if (scales == 1).all():
                continue
            rescale(link, scales)
            known[link] = known[link] / scales
            changed.add(link)
    return len(changed)


def reading_range(held: Sequence[Array], by_channel: Sequence[bool], values: Array) -> Array:
    """Largest magnitude of the weights that read each channel, of one or several layers.

    `held`: each layer's; `by_channel`: whether its weights have a scale for each of these channels (depthwise). Of several layers
    each counts by its own largest weight: they have scales of their own. `values`: largest magnitude of each channel.
    """
    import numpy as np

    found = [
        one / one.max() if len(held) > 1 and one.max() > 0 else one
        for one, apart in zip(held, by_channel, strict=True)
        if not apart
    ]
    if found:
        return np.asarray(np.max(found, axis=0))
    # Weights with a scale for each of these channels take any factor at no cost.
    alive = np.any([one > 0 for one in held], axis=0)
    return np.asarray(1 / np.maximum(values, np.finfo(np.float32).tiny) * alive)


def divided(weights: Array, scales: Array, axis: int, groups: int = 1, repeat: int = 1) -> Array:
    """Weights or a bias whose channels are divided by `scales`: those along `axis`, `repeat` neighbours for each. `groups` above 1: the
    first axis comes in so many blocks, and each has other channels along the second (a grouped convolution)."""
    return _along(weights, 1.0 / scales, axis, groups, repeat)


def multiplied(weights: Array, scales: Array, axis: int, groups: int = 1, repeat: int = 1) -> Array:
    return _along(weights, scales, axis, groups, repeat)


def channel_range(weights: Array, axis: int, groups: int = 1, repeat: int = 1) -> Array:
    """Largest magnitude of each channel, where `divided` looks for them."""
    import numpy as np

    if groups > 1:
        weights, axis = _with_channels_first(weights, groups), 0
    others = tuple(dim for dim in range(weights.ndim) if dim != axis % weights.ndim)
    found: Array = np.abs(weights).max(axis=others, initial=0.0)
    return found.reshape(-1, repeat).max(axis=1) if repeat > 1 else found


def _with_channels_first(weights: Array, groups: int) -> Array:
    """Grouped weights as channels x layers of a group x the rest."""
    blocks = weights.reshape(groups, weights.shape[0] // groups, *weights.shape[1:])
    swapped: Array = blocks.swapaxes(1, 2).reshape(
        groups * weights.shape[1], blocks.shape[1], *weights.shape[2:]
    )
    return swapped


def _along(weights: Array, factors: Array, axis: int, groups: int, repeat: int) -> Array:
    import numpy as np

    factors = np.repeat(factors, repeat)
    if groups > 1:
        rows = np.repeat(factors.reshape(groups, -1), weights.shape[0] // groups, axis=0)
        spread = rows.reshape(*rows.shape, *[1] * (weights.ndim - 2))
    else:
        shape = [1] * weights.ndim
        shape[axis] = -1
        spread = factors.reshape(shape)
    scaled: Array = (weights.astype("f8") * spread).astype(weights.dtype)
    return scaled
