"""Where the main job is tried: each a device address with the environment that leads there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest


@dataclass(frozen=True)
class Place:
    """`name` is an entry of the edgekit.yaml in `folder`; its root on the device is the test's own."""

    name: str
    kind: str
    abi: str
    folder: Path
    env: Mapping[str, str]
    root: str

    @property
    def device(self) -> tuple[str, str]:
        return ("-d", self.name)


PLACES = [
    "local",
    "ssh",
    pytest.param("adb", marks=pytest.mark.android),
    pytest.param("board", marks=[pytest.mark.board, pytest.mark.xdist_group("board")]),
    pytest.param("board-adb", marks=[pytest.mark.board, pytest.mark.xdist_group("board")]),
]


def make_place(request: pytest.FixtureRequest, kind: str, tmp_path: Path) -> Place:
    """Start what is needed and write the edgekit.yaml."""
    token = tmp_path.name
    env: dict[str, str] = {}
    abi = "x86_64"
    if kind == "local":
        address, root = "local:", str(tmp_path / "device")
    elif kind == "ssh":
        sshd: Any = request.getfixturevalue("sshd")
        address, env, root = sshd.address, dict(sshd.client.env), f"edgekit-{token}"
    elif kind == "adb":
        adbd: Any = request.getfixturevalue("adbd")
        address, env, root = adbd.address, dict(adbd.env), f"/data/local/tmp/edgekit-{token}"
    elif kind == "board":
        board: Any = request.getfixturevalue("board")
        address, env, root = board.address, dict(board.client.env), f"edgekit-{token}"
        abi = "arm64-v8a"
    else:
        board = request.getfixturevalue("board")
        host: Any = request.getfixturevalue("board_adb")
        address, env, root = f"adb:{board.adb_serial}", dict(host.env), f"/data/local/tmp/edgekit-{token}"
        abi = "arm64-v8a"
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "edgekit.yaml").write_text(
        f'devices:\n  it:\n    address: "{address}"\n    root: "{root}"\n', encoding="utf-8"
    )
    return Place("it", kind, abi, folder, env, root)
