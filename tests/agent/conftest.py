"""Agents for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edgekit.agent.client import AgentClient
from tests.agent.raw import Raw, raw
from tests.agent.starting import (
    ABIS,
    CHECKED,
    agent,
    each_build,
    open_stream,
)


@pytest.fixture(scope="module", params=ABIS)
def client(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentClient]:
    with agent(tmp_path_factory.mktemp("agent") / "root", request.param) as started:
        yield started


@pytest.fixture(params=["", CHECKED], ids=["release", CHECKED])
def native(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[AgentClient]:
    with each_build(request.param, tmp_path), agent(tmp_path / "root") as started:
        yield started


@pytest.fixture(params=["", CHECKED], ids=["release", CHECKED])
def wire(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Raw]:
    with (
        each_build(request.param, tmp_path),
        raw(open_stream(tmp_path / "root", silence_ms=60_000)) as started,
    ):
        yield started


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "place"
    folder.mkdir()
    return folder
