"""One real measurement for all tests of this folder."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.postgres_here import QUICK, Cluster, NoPostgres, cluster
from edgekit.records import Record, Samples
from edgekit.results.database import migrate
from edgekit.results.place import place_of
from edgekit.results.store import Store
from tests.results.real_run import measure


@pytest.fixture(scope="session")
def real() -> tuple[Record, Samples]:
    return measure(launches=5, iterations=1500)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "data" / "results.sqlite")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MiB, by a real mount; needs root and the right to mount."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small tmpfs needs root")
    folder = tmp_path / "small"
    folder.mkdir()
    argv = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30)
    if done.returncode:
        pytest.skip(f"cannot mount a tmpfs here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], timeout=30, check=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    """A real PostgreSQL of the tests' own."""
    pytest.importorskip("psycopg")
    try:
        with cluster(QUICK, lines="local all secretive scram-sha-256\n") as running:
            yield running
    except NoPostgres as error:
        pytest.skip(str(error))


@pytest.fixture(params=["sqlite", "postgresql"])
def any_store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """An empty store: a file, and a database."""
    return new_store(request, tmp_path)


def new_store(request: pytest.FixtureRequest, folder: Path) -> Store:
    """An empty store of the kind that the fixture's parameter names."""
    if request.param == "sqlite":
        return Store(folder / "any.sqlite")
    url = request.getfixturevalue("postgres").new_database()
    migrate(place_of(url))
    return Store(url)
