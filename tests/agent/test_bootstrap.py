"""Bringing the agent up (A5): one round trip when it is there; put, verified by running, when it is not."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from edgekit.agent.binaries import abi_of_machine, find_binary
from edgekit.agent.bootstrap import connect_agent, shell_error
from edgekit.errors import (
    DeviceError,
    DeviceFull,
    DevicePermission,
    DeviceReadOnly,
    EdgekitError,
    RemoteError,
    ToolError,
)
from edgekit.transports.base import Completed, Stream
from edgekit.transports.local import LocalTransport
from tests.agent.starting import built, names, native_abi


class Counting(LocalTransport):
    """The local transport, counting what is asked of it."""

    def __init__(self) -> None:
        super().__init__()
        self.commands: list[str] = []

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout: float) -> Completed:
        self.commands.append(argv[0])
        return super().run(argv, stdin=stdin, timeout=timeout)

    def open(self, argv: Sequence[str], *, timeout: float) -> Stream:  # type: ignore[override]
        self.commands.append("open")
        return super().open(argv, timeout=timeout)


@pytest.fixture(scope="module", autouse=True)
def _built() -> None:
    for abi in ("x86_64", "arm64-v8a", "armeabi-v7a"):
        built(abi)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


@pytest.fixture
def hints(tmp_path: Path) -> Path:
    return tmp_path / "hints"


def test_a5_cold_then_warm(root: Path, hints: Path) -> None:
    transport = Counting()
    with connect_agent(transport, root=str(root), hints=hints) as client:
        assert client.round_trips == 1
        assert client.root == str(root)
        assert client.hello.abi == native_abi()
    program = root / "agent" / find_binary(native_abi()).sha256
    assert os.access(program, os.X_OK)
    assert names(root / "agent") == [program.name]
    transport.commands.clear()
    with connect_agent(transport, root=str(root), hints=hints) as client:
        assert client.round_trips == 1
    assert transport.commands == ["open"]


def test_wrong_hint_is_put_right(root: Path, hints: Path) -> None:
    transport = Counting()
    connect_agent(transport, root=str(root), hints=hints).close()
    hint = next(hints.iterdir())
    hint.write_text("armeabi-v7a\n" if native_abi() != "armeabi-v7a" else "x86_64\n")
    connect_agent(transport, root=str(root), hints=hints).close()
    assert hint.read_text().strip() == native_abi()
    hint.write_bytes(b"\xff nonsense")
    connect_agent(transport, root=str(root), hints=hints).close()
    assert hint.read_text().strip() == native_abi()


def test_damaged_agent_is_replaced(root: Path, hints: Path) -> None:
    transport = Counting()
    connect_agent(transport, root=str(root), hints=hints).close()
    program = root / "agent" / find_binary(native_abi()).sha256
    for damage in (b"", b"#!/bin/sh\nexit 9\n", program.read_bytes()[:5000]):
        program.unlink()  # its last guardian may still be running
        program.write_bytes(damage)
        program.chmod(0o755)
        with connect_agent(transport, root=str(root), hints=hints) as client:
            client.ping()
    program.chmod(0o644)
    with connect_agent(transport, root=str(root), hints=hints) as client:
        client.ping()


def test_root_relative_to_the_login_folder(
    tmp_path: Path, hints: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with connect_agent(LocalTransport(), root=".edgekit", hints=hints) as client:
        assert client.root == str(tmp_path / ".edgekit")


@pytest.fixture
def noexec(tmp_path: Path) -> Iterator[Path]:
    if os.getuid() != 0:
        pytest.skip("mount needs root")
    folder = tmp_path / "noexec"
    folder.mkdir()
    argv = ["mount", "-t", "tmpfs", "-o", "noexec,size=4m", "tmpfs", str(folder)]
    subprocess.run(argv, timeout=10, check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], timeout=10, check=True)


def test_noexec_folder_says_so(noexec: Path, hints: Path) -> None:
    with pytest.raises(DevicePermission) as caught:
        connect_agent(LocalTransport(), root=str(noexec / "root"), hints=hints)
    assert caught.value.code == "E_AGENT_NOEXEC"
    assert caught.value.device == "local:"


def test_full_and_read_only_device(noexec: Path, hints: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=8k", str(noexec)], timeout=10, check=True)
    with pytest.raises(DeviceFull):
        connect_agent(LocalTransport(), root=str(noexec / "root"), hints=hints)
    assert not list(noexec.rglob("*.ek-tmp"))
    subprocess.run(["mount", "-o", "remount,ro", str(noexec)], timeout=10, check=True)
    with pytest.raises(DeviceReadOnly):
        connect_agent(LocalTransport(), root=str(noexec / "other"), hints=hints)


def test_binaries() -> None:
    assert abi_of_machine("aarch64\n") == "arm64-v8a"
    assert abi_of_machine("armv7l") == "armeabi-v7a"
    with pytest.raises(DeviceError) as caught:
        abi_of_machine("riscv64")
    assert caught.value.code == "E_ABI"
    with pytest.raises(ToolError) as missing:
        find_binary("x86_64", folder=Path("/nonexistent"))
    assert missing.value.code == "E_NATIVE_MISSING"
    assert "scripts/build_native" in (missing.value.hint or "")


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("mkdir: can't create directory 'x': Read-only file system", DeviceReadOnly),
        ("mkdir: 'x': No space left on device", DeviceFull),
        ("mkdir: cannot create directory: Permission denied", DevicePermission),
        ("mkdir: something else", RemoteError),
    ],
)
def test_shell_error(said: str, kind: type[EdgekitError]) -> None:
    assert type(shell_error(["mkdir", "x"], 1, said, "local:")) is kind
