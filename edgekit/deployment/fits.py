"""Whether a model can fit at all, before it is sent or started."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgekit.deployment.release import GOLDEN_INPUTS, GOLDEN_OUTPUTS, ReleaseManifest
from edgekit.devices import Device
from edgekit.errors import DeviceError, GateError

if TYPE_CHECKING:
    from edgekit.profiles import Profile

WORTH_ASKING_BYTES = 64 << 20
"""No device that edgekit reaches has less memory, so for smaller models it need not be asked how much it has."""


def weights_bytes(manifest: ReleaseManifest) -> int:
    """Of the model's file, and of those that its weights are in."""
    beside = (GOLDEN_INPUTS, GOLDEN_OUTPUTS)
    return sum(entry.size_bytes for entry in manifest.files if entry.file not in beside)


def check_fits_there(
    manifest: ReleaseManifest, profile: Profile | None, device: Device, *, runs: bool = True
) -> None:
    """`runs`: it is to be started there, too, and not only kept. Raises as `check_fits`."""
    size_bytes = weights_bytes(manifest)
    asked = runs and size_bytes >= WORTH_ASKING_BYTES
    memory_bytes = device.facts.memory_bytes if asked else None
    check_fits(size_bytes, profile, device.address, memory_bytes)


def check_fits(size_bytes: int, profile: Profile | None, device: str, memory_bytes: int | None) -> None:
    """Pure. `size_bytes`: of the model, whose weights are in memory when it runs; `memory_bytes`: all that the device has,
    None where that is not known.

    Raises GateError E_LIMIT where the model alone is larger than the profile's peak_rss or model_delta, DeviceError
    E_DEVICE_MEMORY where it is larger than the device's memory.
    """
    for name in ("peak_rss", "model_delta"):
        limit = getattr(profile.limits, f"{name}_bytes") if profile is not None else None
        if limit is not None and profile is not None and size_bytes > limit:
            raise GateError(
                f"the model alone has {size_bytes} bytes: it cannot run within the {name} of {limit} that the profile {profile.name} allows",
                code="E_LIMIT",
                device=device,
                hint="a smaller recipe (edgekit convert --recipe int8-static), or another limit in the profile",
            )
    if memory_bytes is not None and size_bytes > memory_bytes:
        raise DeviceError(
            f"the model alone has {size_bytes} bytes, and the device has {memory_bytes} bytes of memory",
            code="E_DEVICE_MEMORY",
            device=device,
            hint="a smaller recipe (edgekit convert --recipe int8-static), or a larger device",
        )
