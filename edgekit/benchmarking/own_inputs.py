"""Inputs of the user's own, timed instead of the golden or random ones: the first sample of a data set.

The golden outputs are checked all the same, by one more launch that is not timed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from msgspec import structs

from edgekit.benchmarking.model_file import signature_there
from edgekit.benchmarking.plan import BenchOptions, BenchPlan
from edgekit.conversion.datasets import load_dataset
from edgekit.conversion.hosts.base import to_stored
from edgekit.conversion.samples import raw
from edgekit.deployment import Release
from edgekit.devices import Device


@dataclass(frozen=True)
class OwnInputs:
    """`data`: one sample as the runner reads it; `sha256`: of the data set that it is the first sample of."""

    data: bytes
    sha256: str


def load_inputs(release: Release, device: Device, options: BenchOptions) -> OwnInputs | None:
    """Before anything is measured: the data fits the model that the device has. None where none was given.

    Raises InputError (E_DATA_..., as `edgekit convert --calibration` does; E_INPUTS where the model's inputs are not known).
    """
    if options.inputs is None:
        return None
    signature = signature_there(
        release, device, code="E_INPUTS", hint="leave --inputs out: the golden or random ones are taken"
    )
    data = load_dataset(Path(options.inputs), signature.inputs, role="input")
    sample = [to_stored(value, spec) for value, spec in zip(data.sample(0), signature.inputs, strict=True)]
    return OwnInputs(raw([sample]), data.sha256)


def with_inputs(plan: BenchPlan, own: OwnInputs | None, device: Device, scratch: str) -> BenchPlan:
    """The plan with the inputs in a file of this folder on the device."""
    if own is None:
        return plan
    path = f"{scratch}/own-inputs"
    device.agent.put(own.data, path)
    return structs.replace(plan, inputs=path, inputs_sha256=own.sha256)
