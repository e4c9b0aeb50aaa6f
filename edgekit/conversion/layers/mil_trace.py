"""Tracing a Core ML program, and models that only show their outputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from edgekit.conversion.hosts.base import to_stored
from edgekit.conversion.layers.trace import INPUT, OUTPUT, Recorder, Trace, ends_of
from edgekit.conversion.layout import Pairing
from edgekit.models.info import Signature

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]


@runtime_checkable
class Traced(Protocol):
    """A host model that tells what is inside: the evaluator of Core ML programs."""

    @property
    def signature(self) -> Signature: ...

    def run_traced(self, sample: Sequence[Array]) -> tuple[list[Array], Sequence[Any]]:
        """One inference: the outputs, and for each operation in execution order (operator, name of its result,
        value), as a tuple or as an object with `operator`, `output`, `value`; a fourth member or `inputs`, where there
        is one, names what the operation read."""


class TracedModel:
    """Traces any model that has `run_traced`."""

    def __init__(self, model: Traced, pairing: Pairing | None = None) -> None:
        self._model, self._pairing = model, pairing

    def __call__(self, sample: Sequence[Array]) -> Trace:
        """Raises what the model raises."""
        given = self._pairing.to_result(sample) if self._pairing else list(sample)
        specs = self._model.signature.inputs
        given = [to_stored(value, spec) for value, spec in zip(given, specs, strict=True)]
        outputs, inner = self._model.run_traced(given)
        recorder = Recorder()
        known = {}
        for spec, value in zip(specs, given, strict=True):
            name = spec.tensor or spec.name
            known[name] = recorder.add(-1, INPUT, name, value)
        for index, entry in enumerate(inner):
            op, name, value, read = _parts(entry)
            inputs = None if read is None else [known[one] for one in read if one in known]
            if inputs == []:
                continue  # made from constants alone
            known[name] = recorder.add(index, op, name, value, inputs or ())
        names = [known.get(spec.tensor or spec.name, "") for spec in self._model.signature.outputs]
        return _with_outputs(recorder, outputs, self._pairing, len(inner), names)


def _parts(entry: Any) -> tuple[str, str, Any, Sequence[str] | None]:
    """Operator, name of its result, value, and what it read, if that is told: of a tuple or an object."""
    if isinstance(entry, tuple):
        return entry[0], entry[1], entry[2], entry[3] if len(entry) > 3 else None
    return entry.operator, entry.output, entry.value, getattr(entry, "inputs", None)


class OutputsOnly:
    """Shows nothing but the outputs, for models whose runtime hides what is inside."""

    def __init__(
        self, run: Callable[[Sequence[Array]], list[Array]], why: str, pairing: Pairing | None = None
    ) -> None:
        """`run` takes the model's inputs in its own order and gives real numbers; `why` is said in the report."""
        self._run, self._why, self._pairing = run, why, pairing

    def __call__(self, sample: Sequence[Array]) -> Trace:
        """Raises what the model raises."""
        given = self._pairing.to_result(sample) if self._pairing else list(sample)
        recorder = Recorder()
        for number, value in enumerate(given):
            recorder.add(-1, INPUT, f"input_{number}", value)
        return _with_outputs(recorder, self._run(given), self._pairing, 0, note=self._why)


def _with_outputs(
    recorder: Recorder,
    outputs: Sequence[Array],
    pairing: Pairing | None,
    index: int,
    names: Sequence[str] = (),
    note: str = "",
) -> Trace:
    """Outputs that are not among the steps (`names`: where they are) get steps of their own."""
    inputs = [step.name for step in recorder.steps if step.op == INPUT]
    made: list[str] = []
    for number, value in enumerate(outputs):
        known = names[number] if number < len(names) else ""
        read = [] if index else inputs
        made.append(known or recorder.add(index + number, OUTPUT, f"output_{number}", value, read))
    order, axes = ends_of(pairing, len(made))
    return recorder.trace([made[place] for place in order], axes, [note] if note else [])
