"""`convert` as tests call it: options as keywords, never from the cache, the artifact alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgekit import events
from edgekit.conversion import ConvertOptions
from edgekit.conversion import convert as work
from edgekit.models import Artifact


def convert(
    source: str | Path,
    *,
    profile: Any = None,
    output: str | Path | None = None,
    name: str | None = None,
    sink: events.Sink = events.ignore,
    cache: bool = False,
    **wishes: Any,
) -> Artifact:
    options = ConvertOptions(cache=cache, **wishes)
    return work(source, profile=profile, options=options, output=output, name=name, sink=sink).artifact
