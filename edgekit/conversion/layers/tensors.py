"""Tensors of several inferences side by side, made ready to be compared quickly. Pure."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from edgekit.conversion.layers.kinds import kind_of
from edgekit.conversion.layers.layout import Layout, layouts
from edgekit.conversion.layers.trace import INPUT, Step, Trace

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

PROBES = 256
"""Elements looked at before all of them are."""


@dataclass(frozen=True)
class Tensor:
    """The same step of several inferences."""

    position: int
    steps: tuple[Step, ...]

    @property
    def step(self) -> Step:
        return self.steps[0]

    @cached_property
    def kind(self) -> str:
        return kind_of(self.step.op)

    @property
    def is_input(self) -> bool:
        return self.step.op == INPUT

    @cached_property
    def values(self) -> tuple[Array, ...]:
        """One array per inference; empty where one is missing, empty or has another shape than the first."""
        found = [step.value for step in self.steps if step.value is not None]
        if len(found) != len(self.steps) or not found[0].size:
            return ()
        return tuple(found) if len({value.shape for value in found}) == 1 else ()

    @property
    def size(self) -> int:
        return int(self.values[0].size) if self.values else 0

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.values[0].shape) if self.values else ()

    @cached_property
    def summary(self) -> Array:
        """Per inference: mean, rms, least and largest of the finite values, largest magnitude, how many are not
        finite. None of it depends on the order of the values."""
        import numpy as np

        return np.array([_summary(value) for value in self.values])

    @cached_property
    def is_finite(self) -> bool:
        return bool(self.values) and not bool(self.summary[:, 5].any())

    @cached_property
    def is_constant(self) -> bool:
        """Whether all inferences gave the same: it does not depend on the input, or too little to be told apart."""
        import numpy as np

        if not self.values or not self.is_finite:
            return False
        first = self.values[0]
        same = len(self.values) > 1 and all(np.array_equal(first, value) for value in self.values[1:])
        return same or bool((self.summary[:, 2] == self.summary[:, 3]).all() and self.size > 1)


@dataclass(frozen=True)
class Graph:
    """A model's tensors over several inferences, and which was made from which. Where a trace does not say what an
    operator read, it is taken to have read what the one before it made."""

    tensors: tuple[Tensor, ...]
    parents: tuple[tuple[int, ...], ...]
    outputs: tuple[int, ...]
    knows_edges: bool

    @cached_property
    def children(self) -> tuple[tuple[int, ...], ...]:
        found: list[list[int]] = [[] for _ in self.tensors]
        for child, parents in enumerate(self.parents):
            for parent in parents:
                found[parent].append(child)
        return tuple(tuple(one) for one in found)


def graph_of(traces: Sequence[Trace]) -> Graph:
    """Traces of one model; those whose steps differ from the first's are left out."""
    first = traces[0]
    names = [step.name for step in first.steps]
    alike = [trace for trace in traces if [step.name for step in trace.steps] == names]
    tensors = tuple(Tensor(i, tuple(trace.steps[i] for trace in alike)) for i in range(len(names)))
    place = {name: i for i, name in enumerate(names)}
    parents = []
    for i, step in enumerate(first.steps):
        read = tuple(place[name] for name in step.inputs if place.get(name, i) < i)
        chained = not first.has_edges and step.op != INPUT and i > 0
        parents.append((i - 1,) if chained else read)
    outputs = tuple(place[name] for name in first.outputs if name in place)
    return Graph(tensors, tuple(parents), outputs, first.has_edges)


def nearest_known(parents: Sequence[tuple[int, ...]], position: int, known: Container[int]) -> set[int]:
    """The nearest ancestors of a step that are among the known ones."""
    found: set[int] = set()
    seen: set[int] = set()
    waiting = list(parents[position])
    while waiting:
        one = waiting.pop()
        if one in seen:
            continue
        seen.add(one)
        if one in known:
            found.add(one)
        else:
            waiting.extend(parents[one])
    return found


def may_be_close(target: Tensor, source: Tensor, tolerance: float) -> bool:
    """False only where no order of the values can be within the tolerance."""
    import numpy as np

    a, b = target.summary, source.summary
    if a.shape != b.shape or not np.array_equal(a[:, 5], b[:, 5]):
        return False
    room = tolerance * np.maximum(b[:, 4:5], np.finfo(np.float64).tiny)
    return bool((np.abs(a[:, :4] - b[:, :4]) <= room).all())


def distance(target: Tensor, source: Tensor, layout: Layout) -> float:
    """Largest difference over the source's largest magnitude, the worst of all inferences; infinite where one is
    not finite and the other is."""
    worst = 0.0
    for ours, theirs, summary in zip(target.values, source.values, source.summary, strict=False):
        worst = max(worst, _distance(ours, layout.apply(theirs, ours.shape), float(summary[4])))
    return worst


def best_layout(
    target: Tensor, source: Tensor, tolerance: float, *, usual_only: bool = False
) -> tuple[Layout, float] | None:
    """The first layout within the tolerance, and its distance."""
    probes = _probes(target.size)
    ours = target.values[0].reshape(-1)[probes]
    theirs, largest = source.values[0].reshape(-1), float(source.summary[0, 4])
    for layout in layouts(source.shape, target.shape, usual_only=usual_only):
        if _distance(ours, theirs[layout.places(probes, source.shape)], largest) > tolerance:
            continue
        found = distance(target, source, layout)
        if found <= tolerance:
            return layout, found
    return None


def nearest_layout(target: Tensor, source: Tensor) -> tuple[Layout, float] | None:
    """Among the usual layouts the one with the smallest rms difference, and that over the source's rms."""
    import numpy as np

    probes = _probes(target.size, 16 * PROBES)
    best: tuple[Layout, float] | None = None
    for layout in layouts(source.shape, target.shape, usual_only=True):
        apart, norm = 0.0, 0.0
        for ours, theirs in zip(target.values, source.values, strict=False):
            mine = ours.reshape(-1)[probes].astype(np.float64)
            given = theirs.reshape(-1)[layout.places(probes, source.shape)].astype(np.float64)
            use = np.isfinite(mine) & np.isfinite(given)
            apart += float(((mine - given)[use] ** 2).sum()) + float((~use).sum())
            norm += float((given[use] ** 2).sum())
        found = float(np.sqrt(apart / norm)) if norm else float("inf")
        if best is None or found < best[1]:
            best = layout, found
    return best


def same_values(target: Tensor, source: Tensor, tolerance: float) -> bool:
    """Whether the values are the same in any order at all."""
    import numpy as np

    if not may_be_close(target, source, tolerance):
        return False
    for ours, theirs, summary in zip(target.values, source.values, source.summary, strict=False):
        if _distance(np.sort(ours, axis=None), np.sort(theirs, axis=None), float(summary[4])) > tolerance:
            return False
    return True


def _probes(size: int, most: int = PROBES) -> Array:
    """Indices spread over a tensor, from a fixed seed; all of them where there are few."""
    import numpy as np

    if size <= most:
        return np.arange(size)
    return np.sort(np.random.default_rng(size).choice(size, most, replace=False))


def _distance(ours: Array, theirs: Array, largest: float) -> float:
    import numpy as np

    a, b = ours.reshape(-1).astype(np.float64), theirs.reshape(-1).astype(np.float64)
    good = np.isfinite(b)
    if not good.all():
        if not np.array_equal(a[~good], b[~good], equal_nan=True):
            return float("inf")
        a, b = a[good], b[good]
    with np.errstate(invalid="ignore"):
        apart = float(np.abs(a - b).max()) if a.size else 0.0
    if not np.isfinite(apart):
        return float("inf")
    if apart == 0:
        return 0.0
    return apart / largest if largest else float("inf")


def _summary(value: Array) -> tuple[float, float, float, float, float, float]:
    import numpy as np

    flat = value.reshape(-1).astype(np.float64)
    good = flat[np.isfinite(flat)]
    if not good.size:
        return 0.0, 0.0, 0.0, 0.0, 0.0, float(flat.size)
    low, high = float(good.min()), float(good.max())
    rms = float(np.sqrt(np.dot(good, good) / good.size))
    return float(good.mean()), rms, low, high, max(-low, high), float(flat.size - good.size)
