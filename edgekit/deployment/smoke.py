"""The smoke run: a release has to run on the device, and be right there, before it may become active."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edgekit.deployment.golden import Comparison, compare_outputs, split_outputs
from edgekit.deployment.launching import launch
from edgekit.deployment.release import GOLDEN_INPUTS, GOLDEN_OUTPUTS, OutputSpec, ReleaseManifest, Smoke
from edgekit.deployment.runtime_there import Installed, RuntimeWish, choose, install
from edgekit.devices import Device
from edgekit.errors import GateError, InputError, RemoteError, ToolError, VerificationError
from edgekit.events import Event, Sink
from edgekit.runtimes.base import RunnerJob
from edgekit.runtimes.result import RunnerResult, RunnerTensor

if TYPE_CHECKING:
    from edgekit.profiles import Profile

SMOKE_SECONDS = 120.0
NO_RUNTIME_THERE = "E_RUNNER_LIBRARY"
"""What a runner says that uses the board's own runtime where there is none: nothing is wrong with the model."""


@dataclass(frozen=True)
class SmokeResult:
    state: Smoke
    reason: str
    bootstrap_seconds: float = 0.0
    """What putting the runtime there took, and looking whether it is."""


def smoke_run(
    manifest: ReleaseManifest, folder: str, device: Device, profile: Profile | None, sink: Sink
) -> SmokeResult:
    """Run the model in `folder` on the device, as it lies there.

    With golden outputs: they must agree. Without: it must load, give finite numbers, and the same ones twice.
    `unchecked` where no runtime can run it there. Raises ModelError, RemoteError where it does not run,
    VerificationError E_SMOKE where its outputs are wrong.
    """
    try:
        chosen = choose(device, manifest.format, profile, RuntimeWish(outputs=True))
    except (InputError, ToolError) as error:
        return SmokeResult("unchecked", error.message)
    began = time.monotonic()
    installed = install(device, chosen, sink)
    bootstrap_seconds = time.monotonic() - began
    sink(
        Event(
            "smoke run",
            message=f"{chosen.runtime.name} {chosen.bundle.version}",
            device=device.address,
            level="debug",
        )
    )
    with device.scratch() as scratch:
        try:
            tried = _check(manifest, folder, device, installed, scratch, profile)
            return replace(tried, bootstrap_seconds=bootstrap_seconds)
        except RemoteError as error:
            if error.code != NO_RUNTIME_THERE:
                raise
            return SmokeResult("unchecked", error.message)


def _check(
    manifest: ReleaseManifest,
    folder: str,
    device: Device,
    installed: Installed,
    scratch: str,
    profile: Profile | None,
) -> SmokeResult:
    golden = manifest.golden
    job = RunnerJob(
        model=f"{folder}/{manifest.model.file}",
        samples=f"{scratch}/samples",
        outputs=f"{scratch}/outputs",
        inputs=f"{folder}/{GOLDEN_INPUTS}" if golden else None,
        warmup_iterations=0,
        iterations=1,
        max_seconds=SMOKE_SECONDS,
    )
    first = launch(device, installed, job, cwd=scratch).result
    assert isinstance(first, RunnerResult)  # what gives outputs is a runner
    _require_within(profile, first, device)
    outputs = device.agent.get(job.outputs or "")
    if golden is not None:
        expected = device.agent.get(f"{folder}/{GOLDEN_OUTPUTS}")
        found = compare_outputs(expected, outputs, golden)
        if found.state == "failed":
            raise _wrong(device, found.reason)
        return SmokeResult("passed", _agreement(found))
    _require_finite(outputs, first.outputs, device)
    launch(device, installed, job, cwd=scratch)
    if device.agent.get(job.outputs or "") != outputs:
        raise _wrong(device, "two runs on the same inputs gave different outputs")
    return SmokeResult("passed", "no golden outputs: it loads, gives finite numbers, and the same ones twice")


def _require_within(profile: Profile | None, result: RunnerResult, device: Device) -> None:
    """The limits that one run can tell something about. Raises GateError E_LIMIT."""
    if profile is None:
        return
    for what, found, limit, unit in (
        ("peak_rss", result.memory.peak_rss_bytes, profile.limits.peak_rss_bytes, "bytes"),
        ("first_inference", result.first_inference_us, profile.limits.first_inference_us, "us"),
    ):
        if found is not None and limit is not None and found > limit:
            raise GateError(
                f"the smoke run: {what} is {found:g} {unit}; the profile {profile.name} allows {limit:g}",
                code="E_LIMIT",
                device=device.address,
                hint="a smaller recipe, or another limit in the profile",
            )


def _agreement(found: Comparison) -> str:
    if found.state == "unchecked":
        return found.reason
    return f"golden outputs agree over {found.samples} samples; largest difference {found.max_abs_error:g}"


def _require_finite(outputs: bytes, tensors: tuple[RunnerTensor, ...], device: Device) -> None:
    import numpy as np

    specs = [OutputSpec(name=t.name, dtype=t.dtype, shape=t.shape) for t in tensors]
    row_bytes = sum(t.bytes for t in tensors)
    samples = len(outputs) // row_bytes if row_bytes else 0
    arrays = split_outputs(outputs, specs, samples)
    if arrays is None or not all(math.prod(array.shape) for array in arrays):
        raise _wrong(device, "the outputs do not have the size that the model declares")
    for spec, array in zip(specs, arrays, strict=True):
        if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
            raise _wrong(device, f"output '{spec.name}' holds NaN or infinite values")


def _wrong(device: Device, reason: str) -> VerificationError:
    return VerificationError(
        f"the smoke run on the device failed: {reason}",
        code="E_SMOKE",
        device=device.address,
        hint="the release was not activated; convert again, or look at it with edgekit inspect",
    )
