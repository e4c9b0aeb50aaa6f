"""Releases on a device: push, list, switch, remove; and the smoke run that a release has to pass."""

from edgekit.deployment.collect import GcResult, gc
from edgekit.deployment.listing import Release, ReleaseInfo, release_on_device, releases
from edgekit.deployment.outcome import PushPlan, PushResult
from edgekit.deployment.push import plan_push, push_payload
from edgekit.deployment.release import ReleaseManifest
from edgekit.deployment.switching import remove, rollback, uninstall

__all__ = [
    "GcResult",
    "PushPlan",
    "PushResult",
    "Release",
    "ReleaseInfo",
    "ReleaseManifest",
    "gc",
    "plan_push",
    "push_payload",
    "release_on_device",
    "releases",
    "remove",
    "rollback",
    "uninstall",
]
