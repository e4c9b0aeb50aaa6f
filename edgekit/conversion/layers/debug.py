"""Finding where a converted model and its source part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from edgekit.conversion.layers.kinds import MOVES
from edgekit.conversion.layers.match import Matching, Pair, match
from edgekit.conversion.layers.measure import Errors
from edgekit.conversion.layers.report import FirstBad, LayerReport, LayerRow, OpRef, State, short_op
from edgekit.conversion.layers.tensors import nearest_known
from edgekit.conversion.layers.trace import OUTPUT, Step, Trace, Tracer
from edgekit.conversion.layers.verdict import Culprit, Judged, first_bad
from edgekit.errors import ModelError

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

HELD_BYTES = 1 << 30
"""Traces up to this are held in memory at once, to find what belongs together; of two samples at least."""
MAX_SAMPLES = 4
SLACK = 10.0
"""Inside a model errors may be so many times those allowed at the outputs: they are shares of tensors that often are
differences of larger ones."""


def debug_layers(
    source: Tracer,
    target: Tracer,
    samples: Sequence[Sequence[Array]],
    tolerance: float,
    *,
    source_name: str = "source",
    target_name: str = "target",
    slack: float = SLACK,
    max_samples: int = MAX_SAMPLES,
) -> LayerReport:
    """Run both models on the same samples, pair their inner tensors, and name the first operator that is off.

    `samples`: each the source's inputs, in its order, dtypes and layout; the first `max_samples` are used.
    `tolerance`: allowed at the outputs, as a share of an output's largest magnitude; `slack` times that inside.
    Raises ModelError (E_MODEL_RUN; E_MODEL_INPUT without samples) and what the tracers raise.
    """
    used = list(samples[:max_samples])
    if not used:
        raise ModelError("there are no samples to compare layers with", code="E_MODEL_INPUT")
    held: list[tuple[Trace, Trace]] = []
    while len(held) < len(used) and (
        len(held) < 2 or sum(map(_bytes, held)) * (1 + 1 / len(held)) <= HELD_BYTES
    ):
        held.append((source(used[len(held)]), target(used[len(held)])))
    sources, targets = [one for one, _ in held], [one for _, one in held]
    matching = match(sources, targets, slack * tolerance, tolerance)
    gathered = _Gathered(matching, held[0])
    for pair in held:
        gathered.add(*pair)
    notes = tuple(dict.fromkeys((*held[0][0].notes, *held[0][1].notes)))
    for sample in used[len(held) :]:
        gathered.add(source(sample), target(sample))
    return _report(gathered, tolerance, slack, len(used), source_name, target_name, notes)


def _bytes(traces: tuple[Trace, Trace]) -> int:
    return sum(step.value.nbytes for one in traces for step in one.steps if step.value is not None)


class _Gathered:
    """Errors of all pairs; matching stays as the first samples gave it."""

    def __init__(self, matching: Matching, first: tuple[Trace, Trace]) -> None:
        self.matching = matching
        self.errors = {pair.target: Errors(pair.layout) for pair in matching.pairs}
        self.not_finite: set[int] = set()
        self._names = [step.name for step in first[1].steps]

    def add(self, source: Trace, target: Trace) -> None:
        import numpy as np

        for pair in self.matching.pairs:
            theirs = source.by_name.get(self.source_step(pair).name)
            ours = target.by_name.get(self.target_step(pair.target).name)
            self.errors[pair.target].add(theirs.value if theirs else None, ours.value if ours else None)
        for position, name in enumerate(self._names):
            step = target.by_name.get(name)
            if step is None or step.value is None or step.value.dtype.kind != "f":
                continue
            known = self.errors.get(position)
            if (known.lost > 0) if known else not np.isfinite(step.value).all():
                self.not_finite.add(position)

    def source_step(self, pair: Pair) -> Step:
        return self.matching.source.tensors[pair.source].step

    def target_step(self, position: int) -> Step:
        return self.matching.target.tensors[position].step


def _report(
    gathered: _Gathered,
    tolerance: float,
    slack: float,
    samples: int,
    source_name: str,
    target_name: str,
    notes: tuple[str, ...],
) -> LayerReport:
    matching = gathered.matching
    outputs = [n for n in matching.target.outputs if n in gathered.errors]
    wrong = [n for n in outputs if gathered.errors[n].is_bad(tolerance)]
    loosely = Judged(matching, gathered.errors, slack * tolerance, frozenset(gathered.not_finite))
    culprit = first_bad(loosely, wrong) if wrong or not outputs else None
    if culprit is not None and gathered.target_step(culprit.target).op == OUTPUT:
        culprit = None  # no operator: all that was seen of the model
    pairs = {pair.target: pair for pair in matching.pairs}
    named = _first_bad(gathered, culprit, pairs) if culprit else None
    state: State = "parted" if wrong or culprit else "agree" if outputs else "unknown"
    matched_steps = {gathered.target_step(n).index for n in pairs}
    unmatched = [
        OpRef(index=tensor.step.index, op=tensor.step.op, name=tensor.step.name)
        for tensor in matching.target.tensors
        if tensor.position not in pairs and tensor.step.index not in matched_steps
    ]
    numbers = {tensor.step.index for tensor in matching.target.tensors if not tensor.is_input}
    if not matching.target.knows_edges and len(numbers) > 1:
        notes += ("which tensor each operator read is not known: each was taken to read the one before it",)
    return LayerReport(
        source=source_name,
        target=target_name,
        samples=samples,
        tolerance=tolerance,
        layer_tolerance=slack * tolerance,
        state=state,
        summary=_summary(gathered, state, named, culprit, wrong, outputs, tolerance, slack),
        first_bad=named,
        rows=tuple(_row(gathered, loosely, pair, pairs) for pair in matching.pairs),
        unmatched=tuple(unmatched),
        operators=len(numbers),
        notes=notes,
    )


def _row(gathered: _Gathered, judged: Judged, pair: Pair, pairs: dict[int, Pair]) -> LayerRow:
    errors, step, theirs = (
        gathered.errors[pair.target],
        gathered.target_step(pair.target),
        gathered.source_step(pair),
    )
    bad = judged.is_bad(pair.target)
    near = nearest_known(gathered.matching.target.parents, pair.target, pairs)
    behind = bad and any(judged.is_bad(one) for one in near)
    return LayerRow(
        index=step.index,
        op=step.op,
        name=step.name,
        shape=gathered.matching.target.tensors[pair.target].shape,
        source_index=theirs.index,
        source_op=theirs.op,
        source_name=theirs.name,
        source_ops=_sources_of(gathered, pair, pairs),
        where=theirs.where,
        how=pair.how,
        axes=() if pair.layout.keeps_order else pair.layout.axes,
        max_abs_error=errors.max_abs_error if errors.elements else None,
        rms_error=errors.rms_error,
        relative_error=errors.relative_error,
        snr_db=errors.snr_db,
        cosine=errors.cosine,
        lost=errors.lost,
        state="behind" if behind else "bad" if bad else "good",
        degenerate=errors.degenerate(),
    )


def _sources_of(gathered: _Gathered, pair: Pair, pairs: dict[int, Pair]) -> tuple[str, ...]:
    """The source's operators between what this one read and its result; those that only move values left out where
    there are others."""
    source = gathered.matching.source
    before = {
        pairs[one].source for one in nearest_known(gathered.matching.target.parents, pair.target, pairs)
    }
    chain: list[int] = []
    one = pair.source
    while one not in before and not source.tensors[one].is_input and len(chain) < 8:
        chain.append(one)
        parents = [p for p in source.parents[one] if not source.tensors[p].is_input]
        if not parents or before.intersection(source.parents[one]):
            break
        one = max(parents)
    ops = [source.tensors[n] for n in reversed(chain)]
    doing = [tensor.step.op for tensor in ops if tensor.kind not in MOVES]
    return tuple(doing or [tensor.step.op for tensor in ops[-1:]])


def _first_bad(gathered: _Gathered, culprit: Culprit, pairs: dict[int, Pair]) -> FirstBad:
    step = gathered.target_step(culprit.target)
    pair = pairs.get(culprit.target)
    theirs = gathered.source_step(pair) if pair else None

    def refs(positions: tuple[int, ...]) -> tuple[OpRef, ...]:
        steps = [gathered.target_step(position) for position in positions]
        return tuple(OpRef(index=one.index, op=one.op, name=one.name) for one in steps)

    return FirstBad(
        index=step.index,
        op=step.op,
        name=step.name,
        source_op=theirs.op if theirs else "",
        source_name=theirs.name if theirs else "",
        source_ops=_sources_of(gathered, pair, pairs) if pair else (),
        where=theirs.where if theirs else "",
        reason=culprit.reason,
        after=refs(culprit.after),
        between=refs(culprit.between),
        gradual=culprit.gradual,
    )


def _summary(
    gathered: _Gathered,
    state: State,
    bad: FirstBad | None,
    culprit: Culprit | None,
    wrong: Sequence[int],
    outputs: Sequence[int],
    tolerance: float,
    slack: float,
) -> str:
    if bad is not None and culprit is not None:
        return _culprit_words(gathered, bad, culprit)
    if state == "unknown":
        return "no output of the target could be compared with one of the source"
    worst = max((gathered.errors[n].relative_error or 0.0 for n in outputs), default=0.0)
    if state == "agree":
        return f"the outputs agree to {worst:.1e} of the largest value, {tolerance:g} is allowed"
    if any(gathered.errors[n].is_bad(slack * tolerance) for n in wrong):
        return (
            f"the outputs differ by {worst:.1e} of the largest value, but no inner tensor could be compared"
        )
    return (
        f"the outputs differ by {worst:.1e} of the largest value, {tolerance:g} is allowed, but no operator is off by"
        f" more than {slack * tolerance:g}: the error gathers little by little"
    )


def _culprit_words(gathered: _Gathered, bad: FirstBad, culprit: Culprit) -> str:
    name = f"{bad.op} number {bad.index}"
    ops = " + ".join(short_op(op) for op in bad.source_ops)
    told = (
        f" ({ops} in the source's {bad.where})"
        if ops and bad.where
        else f" ({ops} in the source)"
        if ops
        else ""
    )
    if bad.reason == "axes":
        words = f"{name} puts the axes in a wrong order: the values are right, what reads them goes wrong"
    elif bad.reason == "missing":
        words = (
            f"{name}{told} leaves out an activation that the source has behind it: what reads it goes wrong"
        )
    elif bad.reason == "not_finite":
        words = f"{name}{told} is the first to give NaN or infinite values"
    else:
        errors = gathered.errors[culprit.target]
        apart = errors.relative_error
        size = f"{apart:.1e} of the largest value" if apart is not None else f"{errors.max_abs_error:.1e}"
        words = f"{name}{told} is the first to be off, by {size}"
    if bad.gradual:
        words += "; what it read is hardly better, so the error gathers little by little"
    if bad.between:
        before = ", ".join(f"{ref.op} {ref.index}" for ref in bad.between[:6])
        more = f" and {len(bad.between) - 6} more" if len(bad.between) > 6 else ""
        words += f"; or one of the operators before it that have no counterpart: {before}{more}"
    return words
