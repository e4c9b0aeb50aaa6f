"""What an operator is given: its inputs by name, in the types in which the evaluator computes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit_ios.mil.values import Declared

if TYPE_CHECKING:
    Array = np.ndarray[Any, Any]


class Args:
    """The inputs of one operation.

    Floating-point values arrive as float64, integers as int64, so that an operator is computed once and exactly and
    rounded once, to the type its output is declared with. Inputs that are absent take the documented default, which
    the operator passes here. Raises KeyError, TypeError or ValueError for what cannot be meant; the evaluator says
    which operation it was.
    """

    def __init__(
        self, operator: str, values: Mapping[str, Sequence[Any]], outputs: tuple[Declared, ...] = ()
    ) -> None:
        self.operator = operator
        self._values = values
        self.outputs = outputs

    def __contains__(self, name: str) -> bool:
        return bool(self._values.get(name))

    def raw(self, name: str) -> Any:
        """The value as it is: an array in its own type, text, or a list."""
        given = self._values.get(name)
        if not given:
            raise KeyError(f"the input '{name}' is missing")
        if len(given) != 1:
            raise ValueError(f"the input '{name}' has {len(given)} values")
        return given[0]

    def tensor(self, name: str) -> Array:
        """Float64, int64 or bool."""
        return widened(self.raw(name))

    def optional(self, name: str) -> Array | None:
        return self.tensor(name) if name in self else None

    def many(self, name: str) -> list[Array]:
        """A variadic input."""
        given = list(self._values.get(name, ()))
        if len(given) == 1 and isinstance(given[0], list):
            given = given[0]
        if not given:
            raise KeyError(f"the input '{name}' is missing")
        return [widened(value) for value in given]

    def number(self, name: str, default: float | None = None) -> float:
        if name not in self and default is not None:
            return default
        return float(self.tensor(name).reshape(-1)[0]) if self.tensor(name).size == 1 else _no_scalar(name)

    def integer(self, name: str, default: int | None = None) -> int:
        if name not in self and default is not None:
            return default
        return int(self.tensor(name).reshape(-1)[0]) if self.tensor(name).size == 1 else int(_no_scalar(name))

    def integers(self, name: str, default: Sequence[int] | None = None) -> tuple[int, ...]:
        if name not in self and default is not None:
            return tuple(default)
        return tuple(int(value) for value in self.tensor(name).reshape(-1))

    def flag(self, name: str, default: bool = False) -> bool:
        return bool(self.integer(name, int(default)))

    def flags(self, name: str, length: int) -> tuple[bool, ...]:
        given = self.integers(name, (0,) * length)
        if len(given) != length:
            raise ValueError(f"the input '{name}' has {len(given)} values, not {length}")
        return tuple(map(bool, given))

    def text(self, name: str, default: str | None = None) -> str:
        if name not in self and default is not None:
            return default
        value = self.raw(name)
        if not isinstance(value, str):
            raise TypeError(f"the input '{name}' is no text")
        return value

    def axis(self, name: str, rank: int, default: int | None = None) -> int:
        """An axis counted from the front."""
        return counted(self.integer(name, default), rank)


def counted(axis: int, rank: int) -> int:
    """An axis from the front; a negative one counts from the end."""
    if not -rank <= axis < rank:
        raise ValueError(f"axis {axis} of a tensor of rank {rank}")
    return axis % rank


def widened(value: Any) -> Array:
    """An array in the type in which it is computed with."""
    if not isinstance(value, np.ndarray):
        raise TypeError(f"a tensor is wanted, not {type(value).__name__}")
    if value.dtype.kind == "f":
        return value.astype(np.float64)
    return value.astype(np.int64) if value.dtype.kind in "iu" else value


def _no_scalar(name: str) -> float:
    raise ValueError(f"the input '{name}' is no single number")
