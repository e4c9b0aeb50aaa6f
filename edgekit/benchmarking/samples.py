"""The latencies of one launch, from where whoever timed them put them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from edgekit.deployment.launching import Launched
from edgekit.devices import Device
from edgekit.errors import RemoteError
from edgekit.runtimes.base import RunnerJob
from edgekit.runtimes.tool import ToolResult

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

CLOCK_SPARE = 1.1
"""The runner's clock and the one of the process may differ by this much."""


def samples_of(done: Launched, job: RunnerJob, device: Device) -> Floats:
    """All latencies of a launch, microseconds in order; none of a tool that keeps them. Raises as `read_samples`."""
    import numpy as np

    if isinstance(done.result, ToolResult):
        return np.array(done.result.samples_us or (), dtype=np.float64)
    data = device.agent.get(job.samples)
    return read_samples(data, done.result.iterations, done.process.wall_ns, device.address)


def read_samples(data: bytes, iterations: int, wall_ns: float, device: str) -> Floats:
    """A runner's samples file: float64 little-endian, one per iteration.

    Raises RemoteError E_RUNNER_OUTPUT for what no launch gives: another number of them, a latency that is negative or no
    number, more time than the process had (`wall_ns`)."""
    import numpy as np

    if len(data) != iterations * 8:
        raise _bad_samples(
            f"the runner says {iterations} iterations and gives {len(data)} bytes of samples",
            device,
        )
    samples = np.frombuffer(data, dtype="<f8").astype(np.float64)
    total_us = float(samples.sum())
    if not math.isfinite(total_us) or (samples.size and float(samples.min()) < 0):
        raise _bad_samples("a latency is negative or no number", device)
    if total_us > wall_ns / 1000 * CLOCK_SPARE + 1e6:
        raise _bad_samples(
            f"latencies add up to {total_us / 1e6:.1f} s, in a process of {wall_ns / 1e9:.1f} s",
            device,
        )
    return samples


def _bad_samples(message: str, device: str) -> RemoteError:
    return RemoteError(
        message,
        code="E_RUNNER_OUTPUT",
        device=device,
        hint="the device's disk may be full or damaged: edgekit doctor",
    )
