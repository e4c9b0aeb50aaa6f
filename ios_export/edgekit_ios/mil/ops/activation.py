"""Activations."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit_ios.mil.args import Args
from edgekit_ios.mil.errors import unsupported
from edgekit_ios.mil.registry import operator

if TYPE_CHECKING:
    Array = np.ndarray[Any, Any]


def erf(x: Array) -> Array:
    """The error function, by the C library: numpy has none."""
    return np.fromiter(map(math.erf, x.reshape(-1)), np.float64, x.size).reshape(x.shape)


def sigmoid(x: Array) -> Array:
    """1 / (1 + e^-x), without overflow."""
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + e), e / (1 + e))


def relu(x: Array) -> Array:
    return np.maximum(x, 0)


@operator("relu")
def _relu(a: Args) -> Array:
    return relu(a.tensor("x"))


@operator("relu6")
def _relu6(a: Args) -> Array:
    return np.clip(a.tensor("x"), 0, 6)


@operator("clamped_relu")
def _clamped_relu(a: Args) -> Array:
    x = a.tensor("x")
    return np.minimum(a.number("beta"), np.where(x >= 0, x, a.number("alpha") * x))


@operator("leaky_relu")
def _leaky_relu(a: Args) -> Array:
    x = a.tensor("x")
    return np.where(x >= 0, x, a.number("alpha") * x)


@operator("thresholded_relu")
def _thresholded_relu(a: Args) -> Array:
    x = a.tensor("x")
    return np.where(x >= a.number("alpha"), x, 0)


@operator("prelu")
def _prelu(a: Args) -> Array:
    x = a.tensor("x")
    return np.where(x > 0, x, _by_channel(a, "alpha", x) * x)


@operator("elu")
def _elu(a: Args) -> Array:
    x = a.tensor("x")
    return np.where(x > 0, x, a.number("alpha") * np.expm1(x))


@operator("gelu")
def _gelu(a: Args) -> Array:
    x, mode = a.tensor("x"), a.text("mode", "EXACT")
    if mode == "EXACT":
        share = 0.5 * (1 + erf(x / math.sqrt(2)))
    elif mode == "TANH_APPROXIMATION":
        share = 0.5 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    elif mode == "SIGMOID_APPROXIMATION":
        share = sigmoid(1.702 * x)
    else:
        raise unsupported("gelu", f"mode {mode}")
    return np.multiply(x, share)


@operator("sigmoid")
def _sigmoid(a: Args) -> Array:
    return sigmoid(a.tensor("x"))


@operator("sigmoid_hard")
def _sigmoid_hard(a: Args) -> Array:
    return np.clip(a.number("alpha") * a.tensor("x") + a.number("beta"), 0, 1)


@operator("silu")
def _silu(a: Args) -> Array:
    x = a.tensor("x")
    return x * sigmoid(x)


@operator("softplus")
def _softplus(a: Args) -> Array:
    return np.logaddexp(0, a.tensor("x"))


@operator("softplus_parametric")
def _softplus_parametric(a: Args) -> Array:
    x = a.tensor("x")
    made: Array = _by_channel(a, "alpha", x) * np.logaddexp(0, _by_channel(a, "beta", x) * x)
    return made


@operator("softsign")
def _softsign(a: Args) -> Array:
    x = a.tensor("x")
    made: Array = x / (1 + np.abs(x))
    return made


@operator("scaled_tanh")
def _scaled_tanh(a: Args) -> Array:
    return np.multiply(a.number("alpha"), np.tanh(a.number("beta") * a.tensor("x")))


@operator("linear_activation")
def _linear_activation(a: Args) -> Array:
    return np.add(a.tensor("x") * a.number("alpha"), a.number("beta", 0.0))


def softmax(x: Array, axis: int) -> Array:
    e = np.exp(x - np.max(x, axis=axis, keepdims=True))
    summed: Array = e / np.sum(e, axis=axis, keepdims=True)
    return summed


@operator("softmax")
def _softmax(a: Args) -> Array:
    x = a.tensor("x")
    return softmax(x, a.axis("axis", x.ndim, -1))


def _by_channel(a: Args, name: str, x: Array) -> Array:
    """One number for each channel (axis 1)."""
    return a.tensor(name).reshape((1, -1) + (1,) * (x.ndim - 2))
