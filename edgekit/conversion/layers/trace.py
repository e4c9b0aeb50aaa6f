"""A trace: one inference with every tensor in between, in the order in which the operators ran."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import numpy as np

    from edgekit.conversion.layout import Pairing

    Array = np.ndarray[Any, Any]

INPUT = "input"
"""The `op` of a step that stands for an input of the model."""

OUTPUT = "output"
"""The `op` of a step of which only is known that it is an output."""

MAX_TRACE_BYTES = 3 << 30
"""Tensors beyond this, of one inference, are not kept; their steps have no value."""

Axes: TypeAlias = tuple[int, ...]


@dataclass(frozen=True)
class Step:
    """One tensor and the operator that made it.

    `index`: the operator's number in execution order, -1 for an input of the model; `op`: its type as the format
    calls it ("CONV_2D", "aten.conv2d.default"); `name`: the tensor's, unique in a trace; `value`: real numbers
    (integers with a scale are expanded), None where it was not kept; `inputs`: names of the steps it was computed
    from, constants left out; `where`: the user's own place in the model, if the format keeps it.
    """

    index: int
    op: str
    name: str
    value: Array | None = field(repr=False)
    inputs: tuple[str, ...] = ()
    where: str = ""


@dataclass(frozen=True)
class Trace:
    """`steps` in execution order, inputs of the model first. `outputs`: the names of the steps that are the model's
    outputs, in the source's order. `axes`: for each output, the source's axes in the order that this model has them;
    () where they are the same. `notes`: what could not be seen."""

    steps: tuple[Step, ...]
    outputs: tuple[str, ...]
    axes: tuple[Axes, ...] = ()
    notes: tuple[str, ...] = ()

    @cached_property
    def by_name(self) -> Mapping[str, Step]:
        return {step.name: step for step in self.steps}

    @property
    def has_edges(self) -> bool:
        """Whether it is known which tensors an operator read."""
        return any(step.inputs for step in self.steps)


Tracer: TypeAlias = Callable[[Sequence["Array"]], Trace]
"""Runs one sample (the source's inputs, in the source's order, dtypes and layout) and gives its trace."""


class Recorder:
    """Gathers steps: names made unique, memory bounded, values turned into numbers that can be compared."""

    def __init__(self, max_bytes: int = MAX_TRACE_BYTES) -> None:
        self.steps: list[Step] = []
        self._left_bytes = max_bytes
        self._names: dict[str, int] = {}
        self._dropped = 0

    def add(
        self, index: int, op: str, name: str, value: Any, inputs: Iterable[str] = (), where: str = ""
    ) -> str:
        """Append a step; gives the name under which it is known."""
        unique = self._unique(name or op)
        kept = comparable(value)
        if kept is not None:
            self._left_bytes -= kept.nbytes
            if self._left_bytes < 0:
                kept, self._dropped = None, self._dropped + 1
        self.steps.append(Step(index, op, unique, kept, tuple(dict.fromkeys(inputs)), where))
        return unique

    def _unique(self, name: str) -> str:
        seen = self._names.get(name, 0)
        self._names[name] = seen + 1
        return f"{name}#{seen + 1}" if seen else name

    def trace(self, outputs: Sequence[str], axes: Sequence[Axes] = (), notes: Sequence[str] = ()) -> Trace:
        more = [f"{self._dropped} tensors were too large to be kept"] if self._dropped else []
        return Trace(tuple(self.steps), tuple(outputs), tuple(axes), (*notes, *more))


def comparable(value: Any) -> Array | None:
    """The array if its values are numbers: half precision widened, bool as 0 and 1; None for anything else."""
    import numpy as np

    if not isinstance(value, np.ndarray | np.generic):
        return None
    array = np.asarray(value)
    if array.dtype.kind in "iu":
        return array
    if array.dtype.kind == "b":
        return array.astype(np.int8)
    if array.dtype in (np.dtype(np.float32), np.dtype(np.float64)):
        return array
    if array.dtype.kind == "f" or array.dtype.name in ("bfloat16", "float8_e4m3fn", "float8_e5m2"):
        return array.astype(np.float32)
    return None


def ends_of(pairing: Pairing | None, count: int) -> tuple[tuple[int, ...], tuple[Axes, ...]]:
    """Of a model with `count` outputs: which one is the source's first, second, ..., and the axes of each."""
    if pairing is None:
        return tuple(range(count)), ()
    return tuple(at for at, _ in pairing.outputs), tuple(axes or () for _, axes in pairing.outputs)
