"""A runtime by its name, made ready from what edgekit.yaml says of it."""

from __future__ import annotations

from typing import TypeAlias

from edgekit.config import RuntimeEntry
from edgekit.errors import InputError
from edgekit.registry import load, plugins
from edgekit.runtimes.base import Runtime
from edgekit.runtimes.tool import ToolRuntime

AnyRuntime: TypeAlias = Runtime | ToolRuntime


def runtime_named(name: str, settings: RuntimeEntry | None = None) -> AnyRuntime:
    """The plug-in of that name. One that takes settings has a class method `configured(RuntimeEntry)`.

    Raises InputError E_NO_PLUGIN where there is none, E_TOOL_OPTION where the settings say what it has no use for;
    HostError E_PLUGIN where it does not import.
    """
    kind = load("runtimes", name)
    configured = getattr(kind, "configured", None)
    if configured is None and settings is not None:
        raise InputError(
            f"runtimes.{name} in edgekit.yaml: {name} has no settings",
            code="E_TOOL_OPTION",
            hint="take the entry out; it is for tools of your own",
        )
    found: AnyRuntime = configured(settings or RuntimeEntry()) if configured is not None else kind()
    return found


def with_op_profile() -> tuple[str, ...]:
    """Names of the runtimes that can tell the time of each operator, in the order of the alphabet."""
    return tuple(sorted(name for name in plugins("runtimes") if load("runtimes", name).op_profile))
