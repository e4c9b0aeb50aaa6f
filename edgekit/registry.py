"""Plug-ins by entry point. Built-in parts register the same way as outside ones (see pyproject.toml).

Scanning entry points costs tens of milliseconds, so it happens only when a plug-in is asked for.
Groups: edgekit.sources, .targets, .transports, .runtimes, .meters, .sinks.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from edgekit.errors import HostError, InputError

GROUPS = ("sources", "targets", "transports", "runtimes", "meters", "sinks")


@cache
def plugins(group: str) -> Mapping[str, EntryPoint]:
    """Name to entry point, nothing imported yet."""
    return {point.name: point for point in _all().select(group=f"edgekit.{group}")}


@cache
def _all() -> Any:  # SelectableGroups before Python 3.12, EntryPoints since
    return entry_points()


def load(group: str, name: str) -> Any:
    """Import one plug-in by name.

    Raises InputError where there is none of that name, HostError where it does not import.
    """
    point = plugins(group).get(name)
    if point is None:
        known = ", ".join(sorted(plugins(group))) or "none"
        raise InputError(
            f"no {group[:-1]} called '{name}' (there are: {known})",
            code="E_NO_PLUGIN",
            hint="choose one of these; `edgekit plugins` lists what is installed",
        )
    try:
        return point.load()
    except ImportError as error:
        raise HostError(
            f"the plug-in {point.value} ({group}) does not import: {error}", code="E_PLUGIN"
        ) from error
