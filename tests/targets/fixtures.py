"""Fixtures that start test targets; see docs/testing.md. Nothing is started before a test asks for it."""

from __future__ import annotations

import pytest

from tests.targets.cachefolder import test_roots
from tests.targets.fixtures_adb import adb_version, adbd, make_adb_host, make_adbd, make_faulty
from tests.targets.fixtures_board import board, board_adb, group_board_tests, make_board
from tests.targets.fixtures_link import make_link
from tests.targets.fixtures_ssh import make_sshd, ssh_client, sshd

__all__ = [
    "adb_version",
    "adbd",
    "board",
    "board_adb",
    "make_adb_host",
    "make_adbd",
    "make_board",
    "make_faulty",
    "make_link",
    "make_sshd",
    "ssh_client",
    "sshd",
]


def pytest_configure() -> None:
    """Settle where the cache is while HOME is still the user's."""
    test_roots()


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    group_board_tests(items)
