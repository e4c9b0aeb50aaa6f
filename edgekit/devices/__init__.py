"""One opened device: identity, files, lease, knobs, readiness."""

from edgekit.devices.device import Device, open_device
from edgekit.devices.opening import Target, resolve

__all__ = ["Device", "Target", "open_device", "resolve"]
