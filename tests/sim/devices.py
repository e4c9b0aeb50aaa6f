"""Simulated devices for tests, each its own; models to push to them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

from edgekit.addresses import parse
from edgekit.api.devices import connect
from edgekit.benchmarking.measure import measure
from edgekit.benchmarking.outcome import Outcome
from edgekit.benchmarking.plan import BenchOptions
from edgekit.deployment import PushResult, release_on_device
from edgekit.deployment.push import push_payload
from edgekit.devices import Device
from edgekit.models import Artifact, ModelInfo
from edgekit.profiles import load_profile
from edgekit.records import Samples
from edgekit.transports.sim.transport import forget

DIGITS = Path(__file__).parents[2] / "examples" / "digits"
MODEL = DIGITS / "digits.tflite"
PROFILE = "raspberry-pi-5"
RUNTIME = "litert-python"
"""Needs no library of the device's ABI."""
_NUMBERS = itertools.count()


def address(profile: str = PROFILE, **options: object) -> str:
    """Of a device that no other test has: the number in `disk` tells it apart."""
    return f"sim:{profile}?" + urlencode({"disk": f"{(16 << 30) + next(_NUMBERS)}B", **options})


@contextmanager
def opened(where: str) -> Iterator[Device]:
    """Connected; afterwards the device is gone."""
    try:
        with connect(where) as device:
            yield device
    finally:
        forget(parse(where))


def push(
    model: Artifact | ModelInfo, device: Device, *, smoke: bool = True, name: str = "digits"
) -> PushResult:
    return push_payload(
        model,
        device,
        profile=load_profile(PROFILE),
        name=name,
        version=None,
        activate=True,
        smoke=smoke,
        lease_wait_seconds=1.0,
    )


def bench(device: Device, name: str = "digits", **options: object) -> tuple[Outcome, Samples]:
    wanted = BenchOptions(**{"runtime": RUNTIME, "seed": 1, "lease_wait_seconds": 1.0, **options})  # type: ignore[arg-type]
    release = release_on_device(device, name, None)
    record, samples = measure(release, device, profile=load_profile(PROFILE), options=wanted)
    return Outcome(record), samples
