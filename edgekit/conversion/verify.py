"""Whether a converted model does what its source does: run both, compare, judge.

Rules (also in docs/formats.md):
- float32: largest difference at most 1e-5 of the largest output of the source; float16: 2e-3;
- integer recipes: where labels exist, the accuracy may drop by the profile's `max_accuracy_drop` (1 % where it
  says nothing); without labels, SNR at least 10 dB on every output;
- an output that is NaN, constant or varies by less than 1e-3 makes the answer "inconclusive", never "passed".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgekit.conversion.metrics import OutputGatherer
from edgekit.conversion.samples import Samples
from edgekit.errors import InputError
from edgekit.events import Event, Sink
from edgekit.models.artifact import Accuracy, OutputError, Verification, VerificationState

if TYPE_CHECKING:
    import numpy as np

    Run = Callable[[Sequence[np.ndarray[Any, Any]]], list[np.ndarray[Any, Any]]]

TOLERANCES = {"float32": 1e-5, "as-is": 1e-5, "float16": 2e-3}
"""Largest difference as a share of the largest output, for recipes that compute in floating point."""
LEAST_SNR_DB = 10.0
DEFAULT_MAX_DROP = 0.01


@dataclass(frozen=True)
class Compared:
    """Figures of every output, and the accuracy where there are labels."""

    outputs: tuple[OutputError, ...]
    accuracy: Accuracy | None


def compare(
    source: Run, result: Run, samples: Samples, names: Sequence[str], max_drop: float | None, sink: Sink
) -> Compared:
    """Run both on every sample. Raises InputError E_DATA_LABELS where labels do not fit the first output."""
    gatherers = [OutputGatherer(name) for name in names]
    right_before = right_after = flips = classes = 0
    for index, inputs in enumerate(samples.inputs):
        before, after = source(inputs), result(inputs)
        for gatherer, a, b in zip(gatherers, before, after, strict=True):
            gatherer.add(a, b)
        if samples.labels is not None:
            label = samples.labels[index]
            guess_before, guess_after = _guess(before[0], label, names[0]), _guess(after[0], label, names[0])
            classes = before[0].size
            right_before += guess_before == label
            right_after += guess_after == label
            flips += guess_before != guess_after
        if index % 50 == 0 or index + 1 == len(samples.inputs):
            sink(Event("verify", done=index + 1, total=len(samples.inputs), unit="samples"))
    count, accuracy = len(samples.inputs), None
    if samples.labels is not None:
        accuracy = Accuracy(
            metric="top1",
            classes=classes,
            source_value=right_before / count,
            value=right_after / count,
            drop=(right_before - right_after) / count,
            max_drop=max_drop,
            samples=count,
            flips=flips,
        )
    return Compared(tuple(g.result() for g in gatherers), accuracy)


def _guess(output: np.ndarray[Any, Any], label: int, name: str) -> int:
    if output.size < 2 or not 0 <= label < output.size or output.shape[-1] != output.size:
        raise InputError(
            f"labels need a classifier: output '{name}' is {list(output.shape)}, a label is {label}",
            code="E_DATA_LABELS",
            hint="leave `labels` out to compare outputs only",
        )
    return int(output.argmax())


def judge(compared: Compared, recipe: str, samples: Samples) -> Verification:
    """The verdict on the figures. Pure."""
    outputs, accuracy = compared.outputs, compared.accuracy
    failures = [*_output_failures(outputs, recipe, accuracy), *_accuracy_failures(accuracy)]
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


def _output_failures(outputs: Sequence[OutputError], recipe: str, accuracy: Accuracy | None) -> list[str]:
    found = []
    for output in outputs:
        problem = output.degenerate or ""
        if "became" in problem or ("the result gives NaN" in problem and "the source gives" not in problem):
            found.append(f"output '{output.name}': {problem}")
        elif output.degenerate is None:
            found += _distance_failures(output, recipe, accuracy)
    return found


def _distance_failures(output: OutputError, recipe: str, accuracy: Accuracy | None) -> list[str]:
    tolerance = TOLERANCES.get(recipe)
    if tolerance is not None:
        relative = output.relative_error or 0.0
        if relative > tolerance:
            return [
                f"output '{output.name}' is off by {relative:.2g} of its largest value (limit {tolerance:g})"
            ]
    elif accuracy is None and output.snr_db is not None and output.snr_db < LEAST_SNR_DB:
        return [f"output '{output.name}' has an SNR of {output.snr_db:.1f} dB (limit {LEAST_SNR_DB:g} dB)"]
    return []


def _accuracy_failures(accuracy: Accuracy | None) -> list[str]:
    if accuracy is None:
        return []
    limit = DEFAULT_MAX_DROP if accuracy.max_drop is None else accuracy.max_drop
    if accuracy.drop <= limit + 1e-12:
        return []
    return [
        f"accuracy fell from {accuracy.source_value:.4f} to {accuracy.value:.4f} on {accuracy.samples} samples,"
        f" by {accuracy.drop:.4f} (limit {limit:g})"
    ]


def _guessing(accuracy: Accuracy) -> str | None:
    """Labels that belong to other samples or classes look like a source that guesses."""
    if accuracy.samples < 20 or accuracy.source_value > min(0.5, 2 / accuracy.classes):
        return None
    right = f"{accuracy.source_value:.4f} of the samples"
    return f"the source itself is right on {right}: do the labels belong to it?"
