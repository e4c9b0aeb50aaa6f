"""How well source and result do the task itself: classes, numbers, or what the user's own function says."""

from __future__ import annotations

import hashlib
import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from edgekit.conversion.extras import users_code, users_function
from edgekit.conversion.naming import short
from edgekit.conversion.samples import Samples
from edgekit.errors import InputError
from edgekit.models.manifest import Accuracy

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]
    ByName = Callable[[Mapping[str, Array]], Mapping[str, Array]]


class Task(Protocol):
    """Gathers the first output of both, sample by sample."""

    def add(self, index: int, before: Array, after: Array) -> None: ...
    def result(self, max_drop: float | None) -> Accuracy: ...


def task_for(samples: Samples, output: str) -> Task | None:
    """Classification where there are labels, regression where there are targets."""
    if samples.labels is not None:
        return Classification(samples.labels, output)
    if samples.targets is not None:
        return Regression(samples.targets, output)
    return None


@dataclass
class Classification:
    """Share of samples whose largest value is at the label's place."""

    labels: tuple[int, ...]
    output: str
    right_before: int = 0
    right_after: int = 0
    flips: int = 0
    classes: int = 0

    def add(self, index: int, before: Array, after: Array) -> None:
        label = self.labels[index]
        guess_before, guess_after = self._guess(before, label), self._guess(after, label)
        self.classes = before.size
        self.right_before += guess_before == label
        self.right_after += guess_after == label
        self.flips += guess_before != guess_after

    def _guess(self, output: Array, label: int) -> int:
        if output.size < 2 or not 0 <= label < output.size or output.shape[-1] != output.size:
            raise InputError(
                f"labels need a classifier: output '{self.output}' is {list(output.shape)}, a label is {label}",
                code="E_DATA_LABELS",
                hint="leave `labels` out to compare outputs only",
            )
        return int(output.argmax())

    def result(self, max_drop: float | None) -> Accuracy:
        count = len(self.labels)
        return Accuracy(
            metric="top1",
            classes=self.classes,
            source_value=self.right_before / count,
            value=self.right_after / count,
            drop=(self.right_before - self.right_after) / count,
            max_drop=max_drop,
            samples=count,
            flips=self.flips,
        )


@dataclass
class Regression:
    """Coefficient of determination: 1 - sum of squared errors / sum of squared deviations from the targets' mean,
    over all samples and elements."""

    targets: Array
    output: str
    error_before: float = 0.0
    error_after: float = 0.0

    def add(self, index: int, before: Array, after: Array) -> None:
        target = self.targets[index]
        if target.size != before.size:
            raise InputError(
                f"a target has {target.size} numbers, output '{self.output}' is {list(before.shape)}",
                code="E_DATA_LABELS",
                hint="`targets` holds what the first output should be, one entry for each sample",
            )
        wanted = target.ravel().astype("float64")
        self.error_before += float(((before.ravel() - wanted) ** 2).sum())
        self.error_after += float(((after.ravel() - wanted) ** 2).sum())

    def result(self, max_drop: float | None) -> Accuracy:
        spread = float(((self.targets - self.targets.mean()) ** 2).sum())
        before, after = 1 - self.error_before / spread, 1 - self.error_after / spread
        return Accuracy(
            metric="r2",
            source_value=before,
            value=after,
            drop=before - after,
            max_drop=max_drop,
            samples=len(self.targets),
        )


@dataclass(frozen=True)
class UserMetric:
    """The user's function: it is given a model as a function (arrays by input name -> arrays by output name, one
    inference) and returns one number, higher is better."""

    name: str
    sha256: str
    function: Callable[[ByName], Any]

    def accuracy(self, source: ByName, result: ByName, max_drop: float | None) -> Accuracy:
        before, after = self._score(source), self._score(result)
        return Accuracy(
            metric=self.name,
            source_value=before,
            value=after,
            drop=before - after,
            max_drop=max_drop,
            samples=0,
        )

    def _score(self, run: ByName) -> float:
        try:
            with users_code():
                value = float(self.function(run))
        except (Exception, SystemExit) as error:  # the user's code: anything may come out of it
            raise InputError(
                f"{self.name} failed: {type(error).__name__}: {short(error)}",
                code="E_EVALUATION",
                hint="it is called as function(run), run(dict of arrays) gives a dict of arrays; it returns a number",
            ) from error
        if not math.isfinite(value):
            raise InputError(f"{self.name} gave {value}, which is no score", code="E_EVALUATION")
        return value


def load_metric(text: str, *, trust: bool) -> UserMetric:
    """Import `package.module:function`. Raises InputError E_EVALUATION, E_UNTRUSTED."""
    if not trust:
        raise InputError(
            f"{text} is code, which would run here",
            code="E_UNTRUSTED",
            hint="where it is your own, give --trust",
        )
    try:
        with users_function(text) as found:
            pass
        file = getattr(sys.modules[text.partition(":")[0]], "__file__", None)
        digest = hashlib.sha256(Path(file).read_bytes() if file else text.encode()).hexdigest()
    except (Exception, SystemExit) as error:
        raise InputError(
            f"{text} cannot be imported: {short(error)}",
            code="E_EVALUATION",
            hint="it must be importable from here",
        ) from error
    return UserMetric(text, digest, found)
