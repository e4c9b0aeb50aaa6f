"""The steps of a conversion: its job read, the model made by the first recipe that can, verified, and brought back where it failed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgekit.conversion.calibration import CalibrationData, far_apart, load_calibration
from edgekit.conversion.checks import require_runnable
from edgekit.conversion.datasets import load_dataset
from edgekit.conversion.extras import is_function
from edgekit.conversion.hosts.base import to_stored
from edgekit.conversion.job import Job, Result, Weigh
from edgekit.conversion.layout import Pairing, pair, with_sizes
from edgekit.conversion.options import ConvertOptions
from edgekit.conversion.recipes import Choice, ProfileLike, Recipe, choose
from edgekit.conversion.samples import Samples, samples_for_verification
from edgekit.conversion.sources.base import LoadOptions, find_source
from edgekit.conversion.targets.base import Made, Prepared, Request, Stream, Target
from edgekit.conversion.task import load_metric
from edgekit.conversion.verify import compare, judge
from edgekit.errors import BugError, VerificationError
from edgekit.events import Event, Sink
from edgekit.models.info import Signature, TensorSpec
from edgekit.models.manifest import Verification


def read_job(
    source: str | Path,
    target: Target,
    recipe: Recipe | None,
    profile: ProfileLike | None,
    options: ConvertOptions,
    sink: Sink,
) -> Job:
    began = time.monotonic()
    sink(Event("convert", f"reading {source}"))
    plugin = find_source(source)
    loaded = plugin.load(str(source), LoadOptions(options.trust, dict(options.shapes), sink))
    specs = loaded.signature.inputs
    evaluation = str(options.evaluation) if options.evaluation is not None else None
    own = evaluation is not None and is_function(evaluation)
    job = Job(
        source=loaded,
        target=target,
        options=options,
        recipe=recipe,
        profile=profile,
        calibration=load_calibration(
            options.calibration, specs, preprocess=options.preprocess, trust=options.trust, sink=sink
        )
        if options.calibration is not None
        else None,
        evaluation=load_dataset(Path(evaluation), specs, role="evaluation")
        if evaluation is not None and not own
        else None,
        metric=load_metric(evaluation, trust=options.trust) if evaluation is not None and own else None,
        sink=sink,
    )
    job.seconds["read"] = time.monotonic() - began
    return job


def make_model(job: Job, scratch: Path) -> tuple[Prepared, Result, Samples]:
    """The converted model. Inputs to judge it by are made up first: text inputs end here, not after the work."""
    samples = samples_for_verification(
        job.source.signature.inputs, job.evaluation, job.calibration, job.source.token_limits
    )
    prepared = job.target.prepare(Request(job.source, job.options.layout, scratch, job.sink))
    choice = choose(
        prepared.info,
        requested=job.recipe,
        profile=job.profile,
        has_calibration=job.calibration is not None,
        possible=job.target.recipes,
        target=job.target.name,
        came=prepared.came.info if prepared.came else None,
        untaken=prepared.untaken,
    )
    if prepared.info is not None:
        require_runnable(job.profile, job.target, prepared.info, choice.recipes[0])
    recipe, made, notes = _first_possible(job, prepared, choice)
    return prepared, _opened(job, recipe, made, notes), samples


def _opened(job: Job, recipe: Recipe, made: Made, notes: tuple[str, ...]) -> Result:
    """What was made, loaded on this host, and whether the profile's runtimes can run it."""
    notes = (*notes, *require_runnable(job.profile, job.target, made.info, recipe.name))
    if job.calibration is not None and job.evaluation is not None:
        notes = (*notes, *far_apart(job.calibration, job.evaluation.arrays))
    pairing = pair(job.source.signature, made.signature, job.options.layout)
    sized = with_sizes(made.signature, job.source.signature, job.options.layout)
    host = job.target.open(made.path, sized, f"the {recipe.name} model")
    return Result(recipe, made, host, pairing, notes)


def rescued_result(
    job: Job,
    prepared: Prepared,
    result: Result,
    samples: Samples,
    verification: Verification,
    weigh: Weigh | None,
) -> tuple[Result, Verification]:
    """A result that passes in place of one that failed, and its price; the same one where there is none."""
    from edgekit.conversion.rescue import Edit, Outcome, rescued, weighed  # not needed where all is well

    def attempt(prepared: Prepared, recipe: Recipe, edit: Edit | None = None) -> Outcome:
        made = job.target.make(prepared, recipe, _stored(job, prepared))
        if edit is not None:
            made.path.write_bytes(edit(made.path.read_bytes()))
        again = _opened(job, recipe, made, result.notes)
        return Outcome(again, verified(job, again, samples))

    found = rescued(job, prepared, samples, Outcome(result, verification), attempt)
    if found is None:
        return result, verification
    return weighed(found.result, result.made.path, weigh), found.verification


def _first_possible(job: Job, prepared: Prepared, choice: Choice) -> tuple[Recipe, Made, tuple[str, ...]]:
    """Make the model with the first recipe that changes it; a recipe the user asked for is the only one."""
    notes, fixed = list(choice.notes), job.options.recipe is not None
    samples = _stored(job, prepared)
    for recipe in choice.loaded:
        try:
            return recipe, job.target.make(prepared, recipe, samples), tuple(notes)
        except VerificationError as error:
            if fixed or recipe == choice.loaded[-1] or error.code != "E_NOTHING_QUANTIZED":
                raise
            notes.append(f"not {recipe.name}: {error.message}")
    raise BugError("no recipe was chosen")


def _stored(job: Job, prepared: Prepared) -> Stream:
    """The calibration data as the prepared model takes them."""
    if job.calibration is None:
        return ()
    if prepared.info is None or prepared.info.signature is None:
        return job.calibration
    pairing = pair(job.source.signature, prepared.info.signature, job.options.layout)
    return _Stored(job.calibration, pairing, prepared.info.signature.inputs)


@dataclass(frozen=True)
class _Stored:
    """The source's samples as the prepared model takes them, one at a time."""

    data: CalibrationData
    pairing: Pairing
    specs: tuple[TensorSpec, ...]

    def __len__(self) -> int:
        return len(self.data)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        for sample in self.data:
            given = self.pairing.to_result(sample)
            yield tuple(to_stored(v, s) for v, s in zip(given, self.specs, strict=True))


def verified(job: Job, result: Result, samples: Samples) -> Verification:
    max_drop = job.profile.recipe.max_accuracy_drop if job.profile else None
    names = [spec.name for spec in job.source.signature.outputs]
    compared = compare(job.source.run, result.run, samples, names, max_drop, job.sink)
    if job.metric is not None:
        signature = job.source.signature
        accuracy = job.metric.accuracy(
            _by_name(job.source.run, signature), _by_name(result.run, signature), max_drop
        )
        compared = replace(compared, accuracy=accuracy)
    return judge(compared, result.recipe.arithmetic, samples)


def _by_name(
    run: Callable[[Any], list[Any]], signature: Signature
) -> Callable[[Mapping[str, Any]], Mapping[str, Any]]:
    def by_name(given: Mapping[str, Any]) -> Mapping[str, Any]:
        import numpy as np

        values = [np.asarray(given[spec.name], dtype=spec.dtype) for spec in signature.inputs]
        return dict(zip([spec.name for spec in signature.outputs], run(values), strict=True))

    return by_name
