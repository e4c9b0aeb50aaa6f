"""Questions about several files at once, each in one round trip."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgekit.agent import requests

if TYPE_CHECKING:
    from edgekit.agent.answers import FileStat
    from edgekit.agent.client import AgentClient

LOOK_SECONDS = 300.0
"""Hashing a large model on a slow board takes its time; the link's own silence limit holds meanwhile."""


def stat_many(
    agent: AgentClient, paths: Sequence[str], *, sha256: bool = False
) -> dict[str, FileStat | None]:
    """None for each that is not there; `sha256` is computed from the bytes, there and now."""
    if not paths:
        return {}
    answers = agent.batch([requests.stat(path, sha256=sha256) for path in paths], timeout=LOOK_SECONDS)
    return dict(zip(paths, answers, strict=True))


def look(
    agent: AgentClient, read: Sequence[str], hashed: Sequence[str]
) -> tuple[dict[str, bytes | None], dict[str, FileStat | None]]:
    """Contents of small files (None where unreadable) and hashes of others."""
    first, *stats = agent.batch(
        [requests.read(read), *(requests.stat(path, sha256=True) for path in hashed)], timeout=LOOK_SECONDS
    )
    contents = {item.path: None if item.errno else item.data for item in first}
    return contents, dict(zip(hashed, stats, strict=True))


def read_texts(agent: AgentClient, paths: Sequence[str]) -> dict[str, str | None]:
    """Small files as text; None for each that cannot be read."""
    return {item.path: item.text for item in agent.read(paths)} if paths else {}
