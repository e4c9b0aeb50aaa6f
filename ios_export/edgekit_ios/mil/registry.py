"""Which function computes which operator."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from edgekit_ios.mil.args import Args

Compute = Callable[[Args], Any]
"""Takes the inputs, gives one value or a tuple of them: arrays of any numeric type, text, or a list of arrays."""

CONTROL = ("const", "cond", "while_loop")
"""Computed by the evaluator itself: they hold a value or blocks."""

_MODULES = (
    "activation",
    "compression",
    "convolution",
    "elementwise",
    "indexing",
    "linear",
    "lists",
    "normalization",
    "pooling",
    "recurrent",
    "reduction",
    "resizing",
    "shaping",
    "slicing",
    "tensors",
)
_OPERATORS: dict[str, Compute] = {}


def operator(*names: str) -> Callable[[Compute], Compute]:
    """Register a function for these operators."""

    def register(compute: Compute) -> Compute:
        for name in names:
            _OPERATORS[name] = compute
        return compute

    return register


def operators() -> dict[str, Compute]:
    """All of them, by name."""
    for module in _MODULES:
        importlib.import_module(f"edgekit_ios.mil.ops.{module}")
    return _OPERATORS


def supported_operators() -> tuple[str, ...]:
    return tuple(sorted({*operators(), *CONTROL}))
