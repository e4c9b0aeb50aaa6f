"""How a folder on a device is deleted: out of sight in one step, then piece by piece. Pure."""

from __future__ import annotations

from typing import Any

from edgekit.agent import requests
from edgekit.agent.requests import Request
from edgekit.devices.layout import gone_path


def deletion(path: str) -> list[Request[Any]]:
    """The steps for something that is there, under the lease. Cut off, they leave it whole, or garbage that the next
    holder of the lease removes: never half a release under a release's name."""
    gone = gone_path(path)
    return [
        # of one that was cut off: a folder cannot be renamed onto another
        requests.remove(gone, recursive=True),
        requests.rename(path, gone),
        requests.remove(gone, recursive=True),
    ]
