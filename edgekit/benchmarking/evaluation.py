"""The task itself on the device: a data set goes through the runner there, and its outputs are scored here.

Not timed: the data goes through in processes of their own, after the launches that are. The model's signature is read from
the bytes that the device has, so what is scored is what runs there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.benchmarking.model_file import signature_there
from edgekit.conversion.datasets import DataSet, load_dataset
from edgekit.conversion.hosts.base import to_real, to_stored
from edgekit.conversion.samples import Samples, raw
from edgekit.conversion.task import task_for
from edgekit.deployment import Release
from edgekit.deployment.golden import split_outputs
from edgekit.deployment.launching import launch
from edgekit.deployment.release import OutputSpec
from edgekit.deployment.runtime_there import Installed
from edgekit.devices import Device
from edgekit.errors import InputError, RemoteError
from edgekit.events import Event, Sink
from edgekit.models.info import Signature
from edgekit.runtimes.base import RunnerJob

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

CHUNK_BYTES = 16 << 20
"""Of inputs, or of outputs, that lie on the device at a time."""
MAX_SECONDS = 3600.0
"""For one chunk."""


@dataclass(frozen=True)
class Evaluated:
    """`value` of `metric` on the device, over `samples` of the data set with this `sha256`."""

    metric: str
    value: float
    samples: int
    data_sha256: str


def load_evaluation(release: Release, device: Device, path: Path) -> tuple[Signature, DataSet]:
    """Before anything is measured: the data fits the model that the device has, and it can be scored.

    Raises InputError (E_DATA_..., as `edgekit convert --evaluation` does), E_EVALUATION without labels or targets."""
    hint = "evaluate when converting: edgekit convert --evaluation"
    signature = signature_there(release, device, code="E_EVALUATION", hint=hint)
    data = load_dataset(path, signature.inputs, role="evaluation")
    if data.labels is None and data.targets is None:
        raise InputError(
            f"evaluation data {path} has neither labels nor targets: there is nothing to score by",
            code="E_EVALUATION",
            hint="add `labels` (class numbers) or `targets` (what the first output should be) to the .npz",
        )
    first = signature.outputs[0]
    classes = math.prod(first.fixed_shape())
    if data.labels is not None and not 0 <= int(data.labels.min()) <= int(data.labels.max()) < classes:
        raise InputError(
            f"evaluation data {path}: labels from {data.labels.min()} to {data.labels.max()}, but output '{first.name}' has"
            f" {classes} values",
            code="E_DATA_LABELS",
            hint="a label is the place of the right class in the first output, from 0",
        )
    return signature, data


def evaluate(
    release: Release,
    signature: Signature,
    data: DataSet,
    device: Device,
    installed: Installed,
    scratch: str,
    *,
    threads: int,
    sink: Sink,
) -> Evaluated:
    """Run all of the data set on the device. Raises ModelError, RemoteError, DeviceLost as a launch does."""
    labels = None if data.labels is None else tuple(int(label) for label in data.labels)
    inputs = tuple(data.sample(index) for index in range(len(data)))
    samples = Samples("evaluation", inputs, labels, data.targets)
    task = task_for(samples, signature.outputs[0].name)
    assert task is not None  # load_evaluation saw to it
    for start, chunk in _chunks(signature, inputs):
        sink(Event("evaluate", "", start, len(inputs), "samples", device.address))
        first = _run(release, signature, chunk, device, installed, scratch, threads)
        for index, output in enumerate(first, start=start):
            real = to_real(output, signature.outputs[0])
            task.add(index, real, real)
    sink(Event("evaluate", "", len(inputs), len(inputs), "samples", device.address))
    scored = task.result(None)
    return Evaluated(scored.metric, scored.value, len(inputs), data.sha256)


def _chunks(
    signature: Signature, inputs: Sequence[tuple[Array, ...]]
) -> Iterator[tuple[int, Sequence[tuple[Array, ...]]]]:
    """(index of its first sample, samples), each as large as may lie on the device."""
    widest = max(sum(t.size_bytes() for t in side) for side in (signature.inputs, signature.outputs))
    step = max(1, CHUNK_BYTES // max(1, widest))
    for start in range(0, len(inputs), step):
        yield start, inputs[start : start + step]


def _run(
    release: Release,
    signature: Signature,
    samples: Sequence[tuple[Array, ...]],
    device: Device,
    installed: Installed,
    scratch: str,
    threads: int,
) -> list[Array]:
    """The first output of each sample, as the model stores it."""
    given, got = f"{scratch}/evaluation-inputs", f"{scratch}/evaluation-outputs"
    stored = [
        [to_stored(value, spec) for value, spec in zip(sample, signature.inputs, strict=True)]
        for sample in samples
    ]
    device.agent.put(raw(stored), given)
    job = RunnerJob(
        model=f"{release.folder}/{release.manifest.model.file}",
        samples=f"{scratch}/evaluation-samples",
        threads=threads,
        warmup_iterations=0,
        iterations=1,
        max_seconds=MAX_SECONDS,
        inputs=given,
        outputs=got,
    )
    launch(device, installed, job, cwd=scratch)
    specs = [OutputSpec(name=o.name, dtype=o.dtype, shape=o.fixed_shape()) for o in signature.outputs]
    outputs = split_outputs(device.agent.get(got), specs, len(samples))
    if outputs is None:
        raise RemoteError(
            "the outputs on the device do not have the size that the model's signature tells",
            code="E_RUNNER_OUTPUT",
            device=device.address,
        )
    return [row.reshape(specs[0].shape) for row in outputs[0]]
