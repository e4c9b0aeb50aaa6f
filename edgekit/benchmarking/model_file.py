"""The model of a release on this host, read back from the device: what is looked at is what runs there."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgekit.deployment import Release
from edgekit.deployment.release import GOLDEN_INPUTS, GOLDEN_OUTPUTS
from edgekit.devices import Device


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
