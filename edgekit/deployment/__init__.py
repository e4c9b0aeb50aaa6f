"""Releases on a device: push, list, switch, remove; and the smoke run that a release has to pass."""

from edgekit.deployment.listing import (
    Release,
    ReleaseInfo,
    release_on_device,
    releases,
    remove,
    rollback,
    uninstall,
)
from edgekit.deployment.push import PushResult, push_payload
from edgekit.deployment.release import ReleaseManifest

__all__ = [
    "PushResult",
    "Release",
    "ReleaseInfo",
    "ReleaseManifest",
    "push_payload",
    "release_on_device",
    "releases",
    "remove",
    "rollback",
    "uninstall",
]
