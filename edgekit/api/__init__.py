"""The SDK: what `import edgekit` offers. Each command of the command line is one call of this package.

Names are imported on first use, so that a push never pays for what only a conversion needs.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgekit.api.calibrating import calibrate_power
    from edgekit.api.comparing import compare
    from edgekit.api.configurations import bench_threads
    from edgekit.api.devices import connect
    from edgekit.api.metering import power_meters
    from edgekit.api.models import convert, prepare
    from edgekit.api.pipelines import bench, run
    from edgekit.api.pushing import plan_push, push
    from edgekit.api.rerunning import rerun
    from edgekit.api.watching import watch
    from edgekit.deployment.collect import gc
    from edgekit.deployment.listing import releases
    from edgekit.deployment.switching import remove, rollback, uninstall
    from edgekit.models import open_model as inspect
    from edgekit.profiles import load_profile

_HOME = {
    "connect": ("edgekit.api.devices", "connect"),
    "convert": ("edgekit.api.models", "convert"),
    "prepare": ("edgekit.api.models", "prepare"),
    "push": ("edgekit.api.pushing", "push"),
    "plan_push": ("edgekit.api.pushing", "plan_push"),
    "bench": ("edgekit.api.pipelines", "bench"),
    "bench_threads": ("edgekit.api.configurations", "bench_threads"),
    "calibrate_power": ("edgekit.api.calibrating", "calibrate_power"),
    "compare": ("edgekit.api.comparing", "compare"),
    "rerun": ("edgekit.api.rerunning", "rerun"),
    "run": ("edgekit.api.pipelines", "run"),
    "power_meters": ("edgekit.api.metering", "power_meters"),
    "releases": ("edgekit.deployment.listing", "releases"),
    "rollback": ("edgekit.deployment.switching", "rollback"),
    "remove": ("edgekit.deployment.switching", "remove"),
    "gc": ("edgekit.deployment.collect", "gc"),
    "uninstall": ("edgekit.deployment.switching", "uninstall"),
    "watch": ("edgekit.api.watching", "watch"),
    "inspect": ("edgekit.models", "open_model"),
    "load_profile": ("edgekit.profiles", "load_profile"),
}

__all__ = [
    "bench",
    "bench_threads",
    "calibrate_power",
    "compare",
    "connect",
    "convert",
    "gc",
    "inspect",
    "load_profile",
    "plan_push",
    "power_meters",
    "prepare",
    "push",
    "releases",
    "remove",
    "rerun",
    "rollback",
    "run",
    "uninstall",
    "watch",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'edgekit.api' has no attribute '{name}'")
    module, attribute = _HOME[name]
    return getattr(import_module(module), attribute)
