"""sshd: a server for the whole session, and a factory for tests that break theirs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.targets.link import Link
    from tests.targets.sshd import SshClientHome, SshServer

MakeSshd = Callable[..., "SshServer"]


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    """A running server, shared by the tests of one worker: do not stop it or change its client.
    `sshd.client.use(monkeypatch)` makes its keys and known_hosts those of the test."""
    from tests.targets.sshd import SshClientHome, SshServer

    folder = tmp_path_factory.mktemp("sshd")
    server = SshServer(folder / "server", SshClientHome(folder / "client"))
    server.client.trust(server.host, server.port, _key_of(server))
    yield server
    server.close()


@pytest.fixture
def ssh_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SshClientHome:
    """An ssh client's HOME of this test's own, and in use."""
    from tests.targets.sshd import SshClientHome

    client = SshClientHome(tmp_path / "ssh-client")
    client.use(monkeypatch)
    return client


@pytest.fixture
def make_sshd(tmp_path: Path, ssh_client: SshClientHome) -> Iterator[MakeSshd]:
    """Make servers for this test only, all with the client `ssh_client` (in use).

    make_sshd(known="trusted"|"unknown"|"changed", client_key="right"|"wrong", noise=False,
              user=None|"pi", sysfs=None, jump=None, link=None): with `jump` (another server), the client's
    configuration has a host `board` that goes through it; with `link` the server is at its far end.
    """
    from tests.targets.sshd import SshdOptions, SshServer, make_key, public_part

    servers: list[SshServer] = []

    def make(
        *,
        known: str = "trusted",
        client_key: str = "right",
        noise: bool = False,
        user: str | None = None,
        sysfs: Path | None = None,
        jump: SshServer | None = None,
        link: Link | None = None,
    ) -> SshServer:
        folder = tmp_path / f"sshd-{len(servers)}"
        options = SshdOptions(noise=noise, user=user, sysfs=sysfs)
        if link is not None:
            options = replace(options, network_pid=link.sandbox.pid, host=link.device_address)
        server = SshServer(folder, ssh_client, options)
        servers.append(server)
        assert known in ("trusted", "unknown", "changed")
        assert client_key in ("right", "wrong")
        if known == "trusted":
            ssh_client.trust(server.host, server.port, _key_of(server))
        elif known == "changed":
            ssh_client.trust(server.host, server.port, public_part(make_key(folder / "other_host_key")))
        if client_key == "wrong":
            ssh_client.replace_key()
        if jump is not None:
            ssh_client.add_config(
                f"Host board\n  HostName {server.host}\n  Port {server.port}\n  User {server.user}\n"
                f"  ProxyJump {jump.user}@{jump.host}:{jump.port}\n"
            )
        return server

    yield make
    for server in reversed(servers):
        server.close()


def _key_of(server: SshServer) -> str:
    from tests.targets.sshd import public_part

    return public_part(server.host_key)
