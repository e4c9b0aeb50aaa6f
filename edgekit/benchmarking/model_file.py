"""The model of a release on this host, read back from the device: what is looked at is what runs there."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgekit.deployment import Release
from edgekit.deployment.release import GOLDEN_INPUTS, GOLDEN_OUTPUTS
from edgekit.devices import Device
from edgekit.errors import InputError
from edgekit.models import open_model
from edgekit.models.info import Signature


@contextmanager
def model_here(release: Release, device: Device) -> Iterator[Path]:
    """Its model file, with the files that belong to it beside it, until the block ends. Raises DeviceError."""
    with tempfile.TemporaryDirectory(prefix="edgekit-model-") as folder:
        for entry in release.manifest.files:
            if entry.file not in (GOLDEN_INPUTS, GOLDEN_OUTPUTS):
                target = Path(folder) / entry.file
                target.parent.mkdir(parents=True, exist_ok=True)
                device.agent.get_file(f"{release.folder}/{entry.file}", target)
        yield Path(folder) / release.manifest.model.file


def signature_there(release: Release, device: Device, *, code: str, hint: str) -> Signature:
    """Inputs and outputs of the model that the device has. Raises InputError `code` where they cannot be told."""
    with model_here(release, device) as model:
        signature = open_model(model).signature
    if signature is None or not signature.outputs:
        raise InputError(
            f"the inputs and outputs of {release.manifest.name} cannot be told from its file",
            code=code,
            hint=hint,
        )
    return signature
