"""Element by element: unary and binary arithmetic, comparison, logic, casts."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit_ios.mil.args import Args
from edgekit_ios.mil.dtypes import BY_NAME
from edgekit_ios.mil.errors import unsupported
from edgekit_ios.mil.ops.activation import erf
from edgekit_ios.mil.registry import operator
from edgekit_ios.mil.values import check_size

if TYPE_CHECKING:
    Array = np.ndarray[Any, Any]

_UNARY: dict[str, Callable[[Array], Array]] = {
    "abs": np.abs,
    "acos": np.arccos,
    "asin": np.arcsin,
    "atan": np.arctan,
    "atanh": np.arctanh,
    "ceil": np.ceil,
    "cos": np.cos,
    "cosh": np.cosh,
    "erf": erf,
    "exp": np.exp,
    "exp2": np.exp2,
    "floor": np.floor,
    "identity": lambda x: x,
    "logical_not": np.logical_not,
    "round": np.round,  # halves go to the even neighbour
    "sign": np.sign,
    "sin": np.sin,
    "sinh": np.sinh,
    "sqrt": np.sqrt,
    "square": np.square,
    "tan": np.tan,
    "tanh": np.tanh,
}

_BINARY: dict[str, Callable[[Array, Array], Array]] = {
    "add": np.add,
    "equal": np.equal,
    "floor_div": np.floor_divide,
    "greater": np.greater,
    "greater_equal": np.greater_equal,
    "less": np.less,
    "less_equal": np.less_equal,
    "logical_and": np.logical_and,
    "logical_or": np.logical_or,
    "logical_xor": np.logical_xor,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "mod": np.mod,  # the sign is the divisor's
    "mul": np.multiply,
    "not_equal": np.not_equal,
    "pow": lambda x, y: np.power(x.astype(np.float64), y),
    "real_div": np.true_divide,
    "sub": np.subtract,
}


def _register_unary(name: str, function: Callable[[Array], Array]) -> None:
    @operator(name)
    def compute(a: Args) -> Array:
        return function(a.tensor("x"))


def _register_binary(name: str, function: Callable[[Array, Array], Array]) -> None:
    @operator(name)
    def compute(a: Args) -> Array:
        x, y = a.tensor("x"), a.tensor("y")
        check_size(np.broadcast_shapes(x.shape, y.shape))
        return function(x, y)


for _name, _function in _UNARY.items():
    _register_unary(_name, _function)
for _name, _pair in _BINARY.items():
    _register_binary(_name, _pair)


@operator("clip")
def _clip(a: Args) -> Array:
    return np.clip(a.tensor("x"), a.number("alpha"), a.number("beta"))


@operator("threshold")
def _threshold(a: Args) -> Array:
    return np.maximum(a.tensor("x"), a.number("alpha"))


@operator("inverse")
def _inverse(a: Args) -> Array:
    return 1 / (a.tensor("x") + a.number("epsilon", 1e-4))


@operator("rsqrt")
def _rsqrt(a: Args) -> Array:
    return 1 / np.sqrt(a.tensor("x") + a.number("epsilon", 1e-12))


@operator("log")
def _log(a: Args) -> Array:
    return np.log(a.tensor("x") + a.number("epsilon", 1e-45))


@operator("cast")
def _cast(a: Args) -> Array:
    """Floats to integers towards zero; to bool: whether it is not zero."""
    x, dtype = a.tensor("x"), a.text("dtype")
    if dtype not in BY_NAME:
        raise unsupported("cast", f"to {dtype}")
    return x.astype(BY_NAME[dtype].numpy)


@operator("select")
def _select(a: Args) -> Array:
    condition = a.tensor("cond")
    if "a" not in a:
        return np.argwhere(condition)
    yes, no = a.tensor("a"), a.tensor("b")
    check_size(np.broadcast_shapes(condition.shape, yes.shape, no.shape))
    return np.where(condition.astype(bool), yes, no)


@operator("quantize")
def _quantize(a: Args) -> Array:
    """clip(round(input / scale) + zero_point)"""
    x = a.tensor("input")
    limits = np.iinfo(BY_NAME[a.text("output_dtype")].numpy)
    scaled = np.round(x / _along(a, "scale", x)) + _along(a, "zero_point", x)
    return np.clip(scaled, limits.min, limits.max)


@operator("dequantize")
def _dequantize(a: Args) -> Array:
    """scale * (input - zero_point)"""
    x = a.tensor("input")
    made: Array = _along(a, "scale", x) * (x - _along(a, "zero_point", x))
    return made


def _along(a: Args, name: str, x: Array) -> Array:
    """A scalar, or one number for each index of the axis."""
    value = a.tensor(name) if name in a else np.zeros(())
    if value.ndim == 0:
        return value
    axis = a.axis("axis", x.ndim)
    return value.reshape([-1 if i == axis else 1 for i in range(x.ndim)])
