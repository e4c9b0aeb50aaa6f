"""The SDK: what `import edgekit` offers. Each command of the command line is one call of this package.

Names are imported on first use, so that a push never pays for what only a conversion needs.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgekit.api.devices import connect
    from edgekit.api.models import convert, prepare
    from edgekit.api.pipelines import bench, push, run
    from edgekit.deployment.listing import releases, remove, rollback, uninstall
    from edgekit.models import open_model as inspect
    from edgekit.profiles import load_profile

_HOME = {
    "connect": ("edgekit.api.devices", "connect"),
    "convert": ("edgekit.api.models", "convert"),
    "prepare": ("edgekit.api.models", "prepare"),
    "push": ("edgekit.api.pipelines", "push"),
    "bench": ("edgekit.api.pipelines", "bench"),
    "run": ("edgekit.api.pipelines", "run"),
    "releases": ("edgekit.deployment.listing", "releases"),
    "rollback": ("edgekit.deployment.listing", "rollback"),
    "remove": ("edgekit.deployment.listing", "remove"),
    "uninstall": ("edgekit.deployment.listing", "uninstall"),
    "inspect": ("edgekit.models", "open_model"),
    "load_profile": ("edgekit.profiles", "load_profile"),
}

__all__ = [
    "bench",
    "connect",
    "convert",
    "inspect",
    "load_profile",
    "prepare",
    "push",
    "releases",
    "remove",
    "rollback",
    "run",
    "uninstall",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'edgekit.api' has no attribute '{name}'")
    module, attribute = _HOME[name]
    return getattr(import_module(module), attribute)
