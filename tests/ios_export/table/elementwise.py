"""Rows of operators that work element by element, against PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from coremltools.converters.mil import Builder as mb  # noqa: N813
from torch.nn import functional as F  # noqa: N812

from tests.ios_export.table.row import Row, normal, whole

X = normal(2, 3, 4, seed=1)
POSITIVE = np.abs(X) + 0.1
UNIT = np.tanh(X) * 0.95
IMAGE = normal(2, 3, 4, 5, seed=2)
ALPHAS = np.array([0.1, 0.5, 2.0], np.float32)
BETAS = np.array([0.7, 1.5, 2.5], np.float32)


def by_torch(function: Callable[..., Any], *more: Any) -> Callable[..., Any]:
    """The function on float64 tensors."""

    def expect(*arrays: Any) -> Any:
        given = [torch.from_numpy(a.astype(np.float64) if a.dtype.kind == "f" else a) for a in arrays]
        return function(*given, *more).numpy()

    return expect


def unary(operator: str, function: Callable[..., Any], x: Any = X) -> Row:
    return Row(operator, (x,), lambda x: getattr(mb, operator)(x=x), by_torch(function))


UNARY = [
    unary("abs", torch.abs),
    unary("acos", torch.acos, UNIT),
    unary("asin", torch.asin, UNIT),
    unary("atan", torch.atan),
    unary("atanh", torch.atanh, UNIT),
    unary("ceil", torch.ceil, X * 5),
    unary("cos", torch.cos),
    unary("cosh", torch.cosh),
    unary("erf", torch.erf),
    unary("exp", torch.exp),
    unary("exp2", torch.exp2),
    unary("floor", torch.floor, X * 5),
    unary("identity", lambda x: x),
    unary("round", torch.round, np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 0.49, 1.51], np.float32)),
    unary("sign", torch.sign, np.array([-3.0, 0.0, 2.0], np.float32)),
    unary("sin", torch.sin),
    unary("sinh", torch.sinh),
    unary("sqrt", torch.sqrt, POSITIVE),
    unary("square", torch.square),
    unary("tan", torch.tan, UNIT),
    unary("tanh", torch.tanh),
    unary("relu", torch.relu),
    unary("relu6", F.relu6, X * 5),
    unary("sigmoid", torch.sigmoid, X * 30),
    unary("silu", F.silu),
    unary("softplus", F.softplus, X * 10),
    unary("softsign", F.softsign),
    Row(
        "logical_not", (X,), lambda x: mb.cast(x=mb.logical_not(x=mb.cast(x=x, dtype="bool")), dtype="int32"),
        lambda x: np.zeros_like(x),
    ),
]  # fmt: skip


def binary(operator: str, function: Callable[..., Any], x: Any = X, y: Any = None, name: str = "") -> Row:
    y = normal(3, 1, seed=3) if y is None else y
    return Row(operator, (x, y), lambda x, y: getattr(mb, operator)(x=x, y=y), by_torch(function), name=name)


def comparison(operator: str, function: Callable[..., Any]) -> Row:
    x, y = whole(4, 5, high=3), whole(5, high=3, seed=1)
    return Row(
        operator,
        (x, y),
        lambda x, y: mb.cast(x=getattr(mb, operator)(x=x, y=y), dtype="int32"),
        by_torch(function),
    )


def logical(operator: str, function: Callable[..., Any]) -> Row:
    x, y = whole(4, 5, high=2), whole(4, 5, high=2, seed=1)

    def build(x: Any, y: Any) -> Any:
        made = getattr(mb, operator)(x=mb.cast(x=x, dtype="bool"), y=mb.cast(x=y, dtype="bool"))
        return mb.cast(x=made, dtype="int32")

    return Row(operator, (x, y), build, by_torch(function))


INTEGERS = (whole(4, 5, low=-20, high=20), whole(5, low=1, high=7, seed=1))

BINARY = [
    binary("add", torch.add),
    binary("add", torch.add, *INTEGERS, name="int"),
    binary("sub", torch.sub),
    binary("mul", torch.mul),
    binary("real_div", torch.div, X, POSITIVE),
    binary("floor_div", torch.floor_divide, X * 5, POSITIVE),
    binary("floor_div", torch.floor_divide, *INTEGERS, name="int"),
    binary("mod", torch.remainder, X * 5, POSITIVE),
    binary("mod", torch.remainder, *INTEGERS, name="int"),
    binary("pow", torch.pow, POSITIVE, X),
    binary("maximum", torch.maximum),
    binary("minimum", torch.minimum),
    comparison("equal", torch.eq),
    comparison("not_equal", torch.ne),
    comparison("greater", torch.gt),
    comparison("greater_equal", torch.ge),
    comparison("less", torch.lt),
    comparison("less_equal", torch.le),
    logical("logical_and", torch.logical_and),
    logical("logical_or", torch.logical_or),
    logical("logical_xor", torch.logical_xor),
]


def gelu(mode: str, function: Callable[..., Any]) -> Row:
    return Row("gelu", (X * 3,), lambda x: mb.gelu(x=x, mode=mode), by_torch(function), name=mode)


WITH_NUMBERS = [
    Row("clip", (X,), lambda x: mb.clip(x=x, alpha=-0.5, beta=0.4), by_torch(torch.clip, -0.5, 0.4)),
    Row("threshold", (X,), lambda x: mb.threshold(x=x, alpha=0.2), by_torch(lambda x: torch.clip(x, min=0.2))),
    Row("inverse", (POSITIVE,), lambda x: mb.inverse(x=x, epsilon=0.01), lambda x: 1 / (x.astype(float) + 0.01)),
    Row("inverse", (POSITIVE,), lambda x: mb.inverse(x=x), lambda x: 1 / (x.astype(float) + 1e-4), name="default"),
    Row("rsqrt", (POSITIVE,), lambda x: mb.rsqrt(x=x, epsilon=0.1), by_torch(lambda x: torch.rsqrt(x + 0.1))),
    Row("log", (POSITIVE,), lambda x: mb.log(x=x, epsilon=0.1), by_torch(lambda x: torch.log(x + 0.1))),
    Row("log", (POSITIVE,), lambda x: mb.log(x=x), by_torch(torch.log), name="default"),
    Row("leaky_relu", (X,), lambda x: mb.leaky_relu(x=x, alpha=0.1), by_torch(F.leaky_relu, 0.1)),
    Row("elu", (X,), lambda x: mb.elu(x=x, alpha=0.7), by_torch(F.elu, 0.7)),
    Row(
        "thresholded_relu", (X,), lambda x: mb.thresholded_relu(x=x, alpha=0.4),
        by_torch(lambda x: F.threshold(x, 0.4, 0.0)),
    ),
    Row(
        "clamped_relu", (X,), lambda x: mb.clamped_relu(x=x, alpha=0.2, beta=0.6),
        by_torch(lambda x: torch.clip(F.leaky_relu(x, 0.2), max=0.6)),
    ),
    Row(
        "linear_activation", (X,), lambda x: mb.linear_activation(x=x, alpha=2.0, beta=-0.5), lambda x: 2 * x - 0.5
    ),
    Row(
        "scaled_tanh", (X,), lambda x: mb.scaled_tanh(x=x, alpha=1.7, beta=0.6),
        by_torch(lambda x: 1.7 * torch.tanh(0.6 * x)),
    ),
    Row(
        "sigmoid_hard", (X * 4,), lambda x: mb.sigmoid_hard(x=x, alpha=0.2, beta=0.5),
        by_torch(lambda x: torch.clip(0.2 * x + 0.5, 0, 1)),
    ),
    Row(
        "prelu", (IMAGE,), lambda x: mb.prelu(x=x, alpha=ALPHAS),
        by_torch(lambda x: F.prelu(x, torch.from_numpy(ALPHAS).double())),
    ),
    Row(
        "softplus_parametric", (IMAGE,), lambda x: mb.softplus_parametric(x=x, alpha=ALPHAS, beta=BETAS),
        lambda x: np.stack([a * np.log1p(np.exp(b * x[:, i].astype(float)))
                            for i, (a, b) in enumerate(zip(ALPHAS, BETAS, strict=True))], 1),
    ),
    *(
        gelu(mode, function)
        for mode, function in (
            ("EXACT", F.gelu),
            ("TANH_APPROXIMATION", lambda x: F.gelu(x, approximate="tanh")),
            ("SIGMOID_APPROXIMATION", lambda x: x * torch.sigmoid(1.702 * x)),
        )
    ),
    Row("softmax", (X * 9,), lambda x: mb.softmax(x=x, axis=1), by_torch(torch.softmax, 1)),
    Row("softmax", (X,), lambda x: mb.softmax(x=x), by_torch(torch.softmax, -1), name="default"),
    Row("cast", (X * 5,), lambda x: mb.cast(x=x, dtype="int32"), by_torch(lambda x: x.int())),
    Row(
        "cast", (X,), lambda x: mb.cast(x=mb.cast(x=x, dtype="fp16"), dtype="fp32"), lambda x: x.astype(np.float16),
        name="fp16",
    ),
    Row("cast", (X,), lambda x: mb.cast(x=mb.cast(x=x, dtype="bool"), dtype="int32"), lambda x: x != 0, name="bool"),
    Row(
        "select", (whole(3, 1, high=2), X), lambda c, x: mb.select(cond=mb.cast(x=c, dtype="bool"), a=x, b=np.float32(7)),
        lambda c, x: np.where(c == 1, x, 7),
    ),
    Row(
        "quantize", (X,),
        lambda x: mb.cast(x=mb.quantize(input=x, scale=np.float32(0.02), zero_point=np.int8(5), output_dtype="int8"),
                          dtype="int32"),
        lambda x: np.clip(np.round(x.astype(float) / np.float32(0.02)) + 5, -128, 127),
    ),
    Row(
        "dequantize", (whole(2, 3, 4, low=-100, high=100),),
        lambda x: mb.dequantize(input=mb.cast(x=x, dtype="int8"), scale=ALPHAS, zero_point=np.array([1, -2, 3], np.int8),
                                axis=1),
        lambda x: (x - np.array([1, -2, 3]).reshape(1, 3, 1)) * ALPHAS.astype(float).reshape(1, 3, 1),
    ),
]  # fmt: skip

ROWS = [*UNARY, *BINARY, *WITH_NUMBERS]
