"""Whether a converted model does what its source does: run both, compare, judge.

Rules (also in docs/formats.md):
- float32: largest difference at most 1e-5 of the largest output of the source; float16: 2e-3;
- integer recipes: where labels (or targets, or a metric of the user's) exist, the accuracy may drop by the profile's `max_accuracy_drop` (1 % where it
  says nothing); SNR at least 10 dB on every output that labels do not judge (they judge the first, from 20 samples on);
- a result that answers the same input differently the second time, where its source does not, is wrong;
- an output that is NaN, constant or varies by less than 1e-3 makes the answer "inconclusive", never "passed".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgekit.conversion.metrics import LEAST_STD, OutputGatherer
from edgekit.conversion.samples import Samples
from edgekit.conversion.task import task_for
from edgekit.events import Event, Sink
from edgekit.models.manifest import Accuracy, OutputError, Verification, VerificationState

if TYPE_CHECKING:
    import numpy as np

    Run = Callable[[Sequence[np.ndarray[Any, Any]]], list[np.ndarray[Any, Any]]]

TOLERANCES = {"float32": 1e-5, "as-is": 1e-5, "float16": 2e-3}
"""Largest difference as a share of the largest output, for recipes that compute in floating point."""
LEAST_SNR_DB = 10.0
LEAST_LABELLED = 20
"""Fewer labelled samples than this say nothing about an output."""
POOR_SHARE = 0.1
DEFAULT_MAX_DROP = 0.01
REPEATS = 1e-6
"""Largest share of the largest output by which the same input may give another answer the second time."""


@dataclass(frozen=True)
class Compared:
    """Figures of every output, and the accuracy where there are labels."""

    outputs: tuple[OutputError, ...]
    accuracy: Accuracy | None
    remembers: str | None = None


def compare(
    source: Run, result: Run, samples: Samples, names: Sequence[str], max_drop: float | None, sink: Sink
) -> Compared:
    """Run both on every sample. Raises InputError E_DATA_LABELS where labels or targets do not fit the first output."""
    gatherers = [OutputGatherer(name) for name in names]
    remembers = _remembers(source, result, samples.inputs[0], names)
    task = task_for(samples, names[0])
    for index, inputs in enumerate(samples.inputs):
        before, after = source(inputs), result(inputs)
        for gatherer, a, b in zip(gatherers, before, after, strict=True):
            gatherer.add(a, b)
        if task is not None:
            task.add(index, before[0], after[0])
        if index % 50 == 0 or index + 1 == len(samples.inputs):
            sink(Event("verify", done=index + 1, total=len(samples.inputs), unit="samples"))
    accuracy = None if task is None else task.result(max_drop)
    return Compared(tuple(g.result() for g in gatherers), accuracy, remembers)


def _remembers(source: Run, result: Run, sample: Any, names: Sequence[str]) -> str | None:
    """Whether the result answers the same input differently the second time, which the source does not: a converter
    has made a state that outlives the inference. On other inputs that can hide inside a tolerance.

    Both are run equally often, so that a source with a state of its own stays in step with the result.
    """
    import numpy as np

    before, after = ([run(sample) for _ in range(2)] for run in (source, result))
    for name, a, b, c, d in zip(names, *before, *after, strict=True):
        same = np.array_equal(a, b, equal_nan=True)
        apart = float(np.abs(d.astype(np.float64) - c.astype(np.float64)).max(initial=0.0))
        largest = float(np.abs(c.astype(np.float64)).max(initial=0.0))
        if same and apart > REPEATS * largest:
            return (
                f"output '{name}' is another one for the same input the second time (off by {apart:.2g}): the result keeps a"
                " state from one inference to the next, which its source does not"
            )
    return None


def judge(compared: Compared, recipe: str, samples: Samples) -> Verification:
    """The verdict on the figures. `recipe`: what the result computes in (Recipe.arithmetic). Pure."""
    outputs, accuracy = compared.outputs, compared.accuracy
    failures = [*_output_failures(outputs, recipe, judged_by_task(accuracy)), *_accuracy_failures(accuracy)]
    if compared.remembers is not None:
        failures.insert(0, compared.remembers)
    doubts = [f"output '{o.name}': {o.degenerate}" for o in outputs if o.degenerate]
    if accuracy is not None and (doubt := _guessing(accuracy)):
        doubts.append(doubt)
    state: VerificationState = "failed" if failures else "inconclusive" if doubts else "passed"
    return Verification(
        state=state,
        reasons=tuple(failures or doubts),
        inputs=samples.origin,
        samples=len(samples.inputs),
        max_abs_error=_worst(max, [o.max_abs_error for o in outputs]),
        rms_error=_worst(max, [o.rms_error for o in outputs]),
        relative_error=_worst(max, [o.relative_error for o in outputs]),
        snr_db=_worst(min, [o.snr_db for o in outputs]),
        cosine=_worst(min, [o.cosine for o in outputs]),
        flips=_worst(max, [o.flips for o in outputs]),
        outputs=outputs,
        accuracy=accuracy,
    )


def _worst(pick: Callable[[list[Any]], Any], values: Sequence[Any]) -> Any:
    known = [value for value in values if value is not None]
    return pick(known) if known else None


def judged_by_task(accuracy: Accuracy | None) -> bool:
    """Whether the task says enough about the first output for its SNR not to matter: labels or targets that the
    source does well on, and not a handful of them. Other outputs it says nothing about."""
    if accuracy is None or accuracy.samples < LEAST_LABELLED:
        return False
    return _guessing(accuracy) is None


def _output_failures(outputs: Sequence[OutputError], recipe: str, first_is_judged: bool) -> list[str]:
    found = []
    for index, output in enumerate(outputs):
        problem = output.degenerate or ""
        if "became" in problem or "the result gives NaN" in problem:
            found.append(f"output '{output.name}': {problem}")
        elif output.degenerate is None:
            found += _distance_failures(output, recipe, waived=first_is_judged and index == 0)
        elif (error := output.max_abs_error) is not None and error > _allowed_where_poor(output, recipe):
            # Too poor to pass by, but not too poor to be wrong by.
            found.append(f"output '{output.name}' ({problem} in the source) is off by {error:.2g}")
    return found


def _allowed_where_poor(output: OutputError, recipe: str) -> float:
    """An output that hardly varies may be off by as much as it may vary, and by the recipe's share of its size."""
    return LEAST_STD + TOLERANCES.get(recipe, POOR_SHARE) * output.largest_output


def _distance_failures(output: OutputError, recipe: str, *, waived: bool) -> list[str]:
    tolerance = TOLERANCES.get(recipe)
    if tolerance is not None:
        relative = output.relative_error or 0.0
        if relative > tolerance:
            return [
                f"output '{output.name}' is off by {relative:.2g} of its largest value (limit {tolerance:g})"
            ]
    elif not waived and output.snr_db is not None and output.snr_db < LEAST_SNR_DB:
        return [f"output '{output.name}' has an SNR of {output.snr_db:.1f} dB (limit {LEAST_SNR_DB:g} dB)"]
    return []


def _limit(accuracy: Accuracy) -> float:
    return DEFAULT_MAX_DROP if accuracy.max_drop is None else accuracy.max_drop


def past_limit(accuracy: Accuracy) -> bool:
    """Whether the task's metric fell by more than is allowed."""
    return accuracy.drop > _limit(accuracy) + 1e-12


def _accuracy_failures(accuracy: Accuracy | None) -> list[str]:
    if accuracy is None:
        return []
    if not past_limit(accuracy):
        return []
    limit = _limit(accuracy)
    what = "accuracy" if accuracy.metric == "top1" else accuracy.metric
    on = f" on {accuracy.samples} samples," if accuracy.samples else ","
    return [
        f"{what} fell from {accuracy.source_value:.4f} to {accuracy.value:.4f}{on}"
        f" by {accuracy.drop:.4f} (limit {limit:g})"
    ]


def _guessing(accuracy: Accuracy) -> str | None:
    """Labels that belong to other samples or classes look like a source that guesses."""
    if accuracy.metric == "r2":
        return (
            None
            if accuracy.source_value > 0
            else "the source itself explains nothing of the targets (R2 <= 0)"
        )
    if (
        not accuracy.classes
        or accuracy.samples < LEAST_LABELLED
        or accuracy.source_value > min(0.5, 2 / accuracy.classes)
    ):
        return None
    right = f"{accuracy.source_value:.4f} of the samples"
    return f"the source itself is right on {right}: do the labels belong to it?"
