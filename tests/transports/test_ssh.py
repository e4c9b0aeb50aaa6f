"""A4: `ssh://`, against a real sshd."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from edgekit.errors import (
    AuthenticationFailed,
    DeviceError,
    DeviceLost,
    DeviceNotFound,
    DeviceOffline,
    DeviceTimeout,
    HostError,
    HostKeyChanged,
    HostKeyUnknown,
)
from edgekit.transports import Transport, connect
from tests.targets.fixtures_ssh import MakeSshd
from tests.targets.ports import free_port
from tests.targets.sshd import SshClientHome, SshServer, public_part
from tests.timed import timed
from tests.transports.contract import MIB, LimitsContract, StreamContract, in_thread, read_all


@pytest.fixture(scope="module")
def ssh_transport(sshd: SshServer) -> Iterator[Transport]:
    with pytest.MonkeyPatch.context() as patch:
        sshd.client.use(patch)
        opened = connect(sshd.address, timeout=20)
    yield opened
    opened.close()


@pytest.fixture
def transport(ssh_transport: Transport) -> Transport:
    return ssh_transport


class TestSsh(StreamContract):
    @pytest.fixture
    def transport(self, ssh_transport: Transport) -> Transport:
        return ssh_transport

    @pytest.fixture
    def folder(self, transport: Transport) -> str:
        name = f"folder-{time.monotonic_ns()}"
        transport.run(["mkdir", name], timeout=10)
        return name


class TestSshUser(LimitsContract):
    """As a user without root's powers."""

    @pytest.fixture
    def transport(self, make_sshd: MakeSshd) -> Iterator[Transport]:
        self.server = make_sshd(user="pi")
        opened = connect(self.server.address, timeout=20)
        yield opened
        opened.close()

    forbidden = "/etc/edgekit"

    def full_folder(self) -> str:
        return self.server.small_disk(2 * MIB)

    def read_only_folder(self) -> str:
        return self.server.read_only_folder()

    def test_close_and_timeouts_end_the_command(self, transport: Transport) -> None:
        """sshd passes signals on to commands of any user but root."""
        stream = transport.open(["sh", "-c", "echo $$; while :; do sleep 0.1; done"], timeout=10)
        pid = (stream.recv(20, 10) or b"").decode().strip()
        stream.close()
        with pytest.raises(DeviceTimeout, match=r"[0-9]") as caught:
            transport.run(["sh", "-c", "echo $$; while :; do sleep 0.1; done"], timeout=4)
        other = caught.value.message.partition("until then: '")[2].partition("\\n")[0]
        for number in (pid, other):
            wait = f"while kill -0 {int(number)} 2>/dev/null; do sleep 0.05; done"
            assert transport.run(["sh", "-c", wait], timeout=30).exit_code == 0


def test_what_it_says_of_itself(transport: Transport, sshd: SshServer) -> None:
    assert (transport.kind, transport.address) == ("ssh", sshd.address)
    assert transport.default_root == ".edgekit"


def test_nothing_waits_to_fill_a_packet(transport: Transport, sshd: SshServer) -> None:
    """Without TCP_NODELAY each command takes 40 ms more."""
    transport.run(["true"], timeout=10)
    settings = []
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError), socket.socket(fileno=os.dup(int(entry.name))) as sock:
            if sock.family == socket.AF_INET and sock.getpeername() == (sshd.host, sshd.port):
                settings.append(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
    assert settings
    assert all(settings)


def test_no_threads_are_left(sshd: SshServer, monkeypatch: pytest.MonkeyPatch) -> None:
    sshd.client.use(monkeypatch)
    before = set(threading.enumerate())
    opened = connect(sshd.address, timeout=20)
    opened.run(["true"], timeout=10)
    opened.open(["cat"], timeout=10).close()
    opened.close()
    for thread in set(threading.enumerate()) - before:
        thread.join(30)
    assert not [thread for thread in set(threading.enumerate()) - before if thread.is_alive()]


def test_noise_of_login_scripts_is_before_the_output(make_sshd: MakeSshd) -> None:
    with_noise = connect(make_sshd(noise=True).address, timeout=20)
    done = with_noise.run(["sh", "-c", "echo mine; exit 4"], timeout=10)
    assert done.stdout.endswith(b"\nmine\n")
    assert done.exit_code == 4
    with_noise.put(b"clean", "file", mode=0o644, timeout=10)
    assert with_noise.run(["cat", "file"], timeout=10).stdout.endswith(b"\nclean")


@timed
class TestLoss:
    """A connection that ends is DeviceLost, never an end of file."""

    @pytest.fixture
    def server(self, make_sshd: MakeSshd) -> SshServer:
        return make_sshd()

    @pytest.fixture
    def transport(self, server: SshServer) -> Iterator[Transport]:
        opened = connect(server.address, timeout=20)
        yield opened
        opened.close()

    def test_session_killed_while_reading(self, transport: Transport, server: SshServer) -> None:
        stream = transport.open(["sh", "-c", "echo part; sleep 60"], timeout=10)
        assert read_all(stream, 5) == b"part\n"
        reader, got = in_thread(lambda: stream.recv(10, 30))
        assert server.kill_sessions()
        reader.join(20)
        assert isinstance(got[0], DeviceLost)
        assert got[0].device == transport.address
        with pytest.raises(DeviceLost):
            stream.wait(5)
        with pytest.raises(DeviceLost):
            stream.send(b"x")

    def test_session_killed_while_sending(self, transport: Transport, server: SshServer) -> None:
        stream = transport.open(["sleep", "60"], timeout=10)
        writer, sent = in_thread(lambda: stream.send(b"x" * (64 * MIB)))
        time.sleep(0.5)
        assert server.kill_sessions()
        writer.join(20)
        assert isinstance(sent[0], DeviceLost)

    def test_session_killed_during_run_and_put(
        self, transport: Transport, server: SshServer, tmp_path: Path
    ) -> None:
        large = tmp_path / "large"
        with open(large, "wb") as file:
            file.truncate(16 << 30)
        runner, ran = in_thread(lambda: transport.run(["sh", "-c", "echo part; sleep 60"], timeout=60))
        putter, put = in_thread(lambda: transport.put(large, "f", mode=0o644, timeout=60))
        time.sleep(0.7)
        assert server.kill_sessions()
        for thread in (runner, putter):
            thread.join(20)
        assert isinstance(ran[0], DeviceLost)
        assert isinstance(put[0], DeviceLost)

    def test_after_the_loss_everything_is_lost_at_once(self, transport: Transport, server: SshServer) -> None:
        server.kill_sessions()
        began = time.monotonic()
        with pytest.raises(DeviceLost):
            transport.run(["true"], timeout=30)
        with pytest.raises(DeviceLost):
            transport.open(["cat"], timeout=30)
        with pytest.raises(DeviceLost):
            transport.put(b"x", "f", mode=0o644, timeout=30)
        assert time.monotonic() - began < 15

    def test_a_board_that_froze_is_lost_within_ten_seconds(
        self, transport: Transport, server: SshServer
    ) -> None:
        """Its kernel still acknowledges; only the pings inside ssh tell."""
        idle = transport.open(["cat"], timeout=10)
        busy = transport.open(["sleep", "60"], timeout=10)
        reader, got = in_thread(lambda: idle.recv(10, 60))
        writer, sent = in_thread(lambda: busy.send(b"x" * (64 * MIB)))
        pids = server.session_pids()
        for pid in pids:
            os.kill(pid, 19)
        began = time.monotonic()
        try:
            reader.join(15)
            writer.join(15)
            took = time.monotonic() - began
        finally:
            for pid in pids:
                os.kill(pid, 18)
        assert isinstance(got[0], DeviceLost)
        assert isinstance(sent[0], DeviceLost)
        assert 4 < took < 10


class TestHostKeys:
    def test_unknown_is_refused_with_the_command_that_adds_it(self, make_sshd: MakeSshd) -> None:
        server = make_sshd(known="unknown")
        with pytest.raises(HostKeyUnknown) as caught:
            connect(server.address, timeout=20)
        assert caught.value.device == server.address
        assert caught.value.hint is not None
        assert f"ssh-keyscan -p {server.port} 127.0.0.1 >> ~/.ssh/known_hosts" in caught.value.hint
        printed = subprocess.run(
            ["ssh-keygen", "-l", "-f", str(server.host_key)], capture_output=True, timeout=10, check=True
        ).stdout.decode()
        assert printed.split()[1] in caught.value.message
        command = caught.value.hint.partition("then: ")[2]
        subprocess.run(["sh", "-c", command], capture_output=True, timeout=20, check=True)
        connect(server.address, timeout=20).close()

    def test_changed_is_refused(self, make_sshd: MakeSshd) -> None:
        server = make_sshd(known="changed")
        with pytest.raises(HostKeyChanged) as caught:
            connect(server.address, timeout=20)
        hint = caught.value.hint or ""
        command = hint.partition(": ")[2].partition(",")[0]
        assert command.startswith(f"ssh-keygen -R '[127.0.0.1]:{server.port}'")
        subprocess.run(["sh", "-c", command], capture_output=True, timeout=20, check=True)
        with pytest.raises(HostKeyUnknown):
            connect(server.address, timeout=20)

    def test_hashed_entries(self, make_sshd: MakeSshd, ssh_client: SshClientHome) -> None:
        server = make_sshd()
        hashing = ["ssh-keygen", "-H", "-f", str(ssh_client.known_hosts)]
        subprocess.run(hashing, capture_output=True, timeout=10, check=True)
        assert ssh_client.known_hosts.read_text().startswith("|1|")
        connect(server.address, timeout=20).close()

    def test_host_key_alias(self, make_sshd: MakeSshd, ssh_client: SshClientHome) -> None:
        server = make_sshd(known="unknown")
        ssh_client.add_config("Host 127.0.0.1\n  HostKeyAlias lab-board\n")
        with pytest.raises(HostKeyUnknown):
            connect(server.address, timeout=20)
        ssh_client.trust(server.host, server.port, public_part(server.host_key), names="lab-board")
        connect(server.address, timeout=20).close()

    def test_revoked(self, make_sshd: MakeSshd, ssh_client: SshClientHome) -> None:
        server = make_sshd()
        name = f"@revoked [{server.host}]:{server.port}"
        ssh_client.trust(server.host, server.port, public_part(server.host_key), names=name)
        with pytest.raises(HostKeyChanged, match="revoked"):
            connect(server.address, timeout=20)

    def test_the_kind_of_key_that_is_known_is_asked_for(
        self, make_sshd: MakeSshd, ssh_client: SshClientHome
    ) -> None:
        """A server offers several; the first is not always the one that ssh noted."""
        server = make_sshd(known="unknown")
        other = server.folder / "other_key"
        make = ["ssh-keygen", "-q", "-t", "ecdsa", "-N", "", "-f", str(other)]
        subprocess.run(make, check=True, timeout=20)
        with open(server.folder / "sshd_config", "a") as config:
            config.write(f"HostKey {other}\n")
        server.stop()
        server.start()
        ssh_client.trust(server.host, server.port, public_part(other))
        connect(server.address, timeout=20).close()

    def test_throwing_known_hosts_away_does_not_switch_the_check_off(
        self, make_sshd: MakeSshd, ssh_client: SshClientHome
    ) -> None:
        server = make_sshd(known="unknown")
        ssh_client.add_config("Host *\n  StrictHostKeyChecking no\n  UserKnownHostsFile /dev/null\n")
        with pytest.raises(HostKeyUnknown):
            connect(server.address, timeout=20)


class TestLogin:
    def test_wrong_key(self, make_sshd: MakeSshd, ssh_client: SshClientHome) -> None:
        server = make_sshd(client_key="wrong")
        with pytest.raises(AuthenticationFailed) as caught:
            connect(server.address, timeout=20)
        assert str(ssh_client.key) in caught.value.message
        assert f"ssh-copy-id -p {server.port}" in (caught.value.hint or "")

    def test_encrypted_key_without_an_agent(self, make_sshd: MakeSshd, ssh_client: SshClientHome) -> None:
        server = make_sshd()
        self._encrypt(ssh_client.key)
        with pytest.raises(AuthenticationFailed) as caught:
            connect(server.address, timeout=20)
        assert "encrypted" in caught.value.message
        assert f"ssh-add {ssh_client.key}" in (caught.value.hint or "")

    def test_encrypted_key_in_an_agent(
        self, make_sshd: MakeSshd, ssh_client: SshClientHome, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        server = make_sshd()
        socket_path = tmp_path / "agent"
        agent = subprocess.Popen(["ssh-agent", "-D", "-a", str(socket_path)], stdout=subprocess.DEVNULL)
        try:
            while not socket_path.exists():
                time.sleep(0.01)
            monkeypatch.setenv("SSH_AUTH_SOCK", str(socket_path))
            subprocess.run(["ssh-add", "-q", str(ssh_client.key)], timeout=10, check=True)
            self._encrypt(ssh_client.key)
            connect(server.address, timeout=20).close()
            subprocess.run(["ssh-add", "-q", "-D"], timeout=10, check=True)
            with pytest.raises(AuthenticationFailed):
                connect(server.address, timeout=20)
        finally:
            agent.terminate()
            agent.wait(10)

    def _encrypt(self, key: Path) -> None:
        change = ["ssh-keygen", "-q", "-p", "-P", "", "-N", "a passphrase", "-f", str(key)]
        subprocess.run(change, capture_output=True, timeout=20, check=True)


class TestSettings:
    def test_alias_port_and_user_of_ssh_config(self, make_sshd: MakeSshd, ssh_client: SshClientHome) -> None:
        server = make_sshd()
        ssh_client.add_config(
            f"Host mypi\n  HostName {server.host}\n  Port {server.port}\n  User {server.user}\n"
        )
        opened = connect("ssh://mypi", timeout=20)
        assert opened.address == "ssh://mypi"
        assert opened.run(["echo", "hi"], timeout=10).stdout == b"hi\n"
        opened.close()

    def test_include_and_match_count(self, make_sshd: MakeSshd, ssh_client: SshClientHome) -> None:
        server = make_sshd()
        more = ssh_client.ssh / "more"
        more.write_text(f"Match originalhost viainclude\n  HostName {server.host}\n  Port {server.port}\n")
        ssh_client.add_config(f"Include {more}\n")
        connect(f"ssh://{server.user}@viainclude", timeout=20).close()

    def test_without_openssh_paramiko_reads_the_settings(
        self, make_sshd: MakeSshd, ssh_client: SshClientHome, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        server = make_sshd()
        ssh_client.add_config(f"Host mypi\n  HostName {server.host}\n  Port {server.port}\n")
        monkeypatch.setenv("PATH", str(tmp_path))
        connect(f"ssh://{server.user}@mypi", timeout=20).close()

    def test_broken_settings_are_the_hosts_fault(
        self, make_sshd: MakeSshd, ssh_client: SshClientHome
    ) -> None:
        server = make_sshd()
        ssh_client.add_config("Host *\n  NoSuchOption yes\n")
        with pytest.raises(HostError, match=r"(?i)nosuchoption") as caught:
            connect(server.address, timeout=20)
        assert caught.value.code == "E_SSH_CONFIG"

    def test_proxy_command(self, make_sshd: MakeSshd, ssh_client: SshClientHome) -> None:
        server = make_sshd()
        ssh_client.trust("far", 22, public_part(server.host_key))
        relay = ssh_client.folder / "relay.py"
        relay.write_text(
            "import socket,sys,threading,os\n"
            "s=socket.create_connection((sys.argv[1],int(sys.argv[2])))\n"
            "def up():\n"
            "  while d:=os.read(0,65536): s.sendall(d)\n"
            "threading.Thread(target=up,daemon=True).start()\n"
            "while d:=s.recv(65536): os.write(1,d)\n"
        )
        ssh_client.add_config(f"Host far\n  ProxyCommand python3 {relay} {server.host} {server.port} %h\n")
        opened = connect(f"ssh://{server.user}@far", timeout=20)
        assert opened.run(["echo", "hi"], timeout=10).stdout == b"hi\n"
        opened.close()


class TestJump:
    def test_through_a_jump_host(self, make_sshd: MakeSshd) -> None:
        jump = make_sshd()
        board = make_sshd(jump=jump)
        before = (jump.logins(), board.logins())
        opened = connect("ssh://board", timeout=20)
        data = os.urandom(4 * MIB)
        opened.put(data, "file", mode=0o644, timeout=60)
        assert opened.run(["cat", "file"], timeout=60).stdout == data
        opened.close()
        assert (jump.logins(), board.logins()) == (before[0] + 1, before[1] + 1)

    def test_through_two(self, make_sshd: MakeSshd, ssh_client: SshClientHome) -> None:
        hops = [make_sshd(), make_sshd()]
        board = make_sshd()
        names = ",".join(f"{hop.user}@{hop.host}:{hop.port}" for hop in hops)
        ssh_client.add_config(
            f"Host far\n  HostName {board.host}\n  Port {board.port}\n  User {board.user}\n  ProxyJump {names}\n"
        )
        opened = connect("ssh://far", timeout=20)
        assert opened.run(["echo", "hi"], timeout=10).stdout == b"hi\n"
        opened.close()
        assert [server.logins() for server in (*hops, board)] == [1, 1, 1]

    @pytest.mark.parametrize("whose", ["jump", "board"])
    def test_each_hop_has_its_key_checked(self, make_sshd: MakeSshd, whose: str) -> None:
        jump = make_sshd(known="unknown" if whose == "jump" else "trusted")
        make_sshd(jump=jump, known="unknown" if whose == "board" else "trusted")
        with pytest.raises(HostKeyUnknown) as caught:
            connect("ssh://board", timeout=20)
        assert caught.value.device == "ssh://board"

    def test_the_board_behind_it_is_off(self, make_sshd: MakeSshd) -> None:
        board = make_sshd(jump=make_sshd())
        board.stop()
        with pytest.raises(DeviceOffline, match="jump host"):
            connect("ssh://board", timeout=20)

    @timed
    def test_the_board_behind_it_freezes(self, make_sshd: MakeSshd) -> None:
        board = make_sshd(jump=make_sshd())
        opened = connect("ssh://board", timeout=20)
        stream = opened.open(["cat"], timeout=10)
        pids = board.session_pids()
        for pid in pids:
            os.kill(pid, 19)
        began = time.monotonic()
        with pytest.raises(DeviceLost):
            stream.recv(10, 30)
        assert time.monotonic() - began < 10
        for pid in pids:
            os.kill(pid, 18)
        opened.close()


class TestNobodyThere:
    def test_unknown_host_name(self, ssh_client: SshClientHome) -> None:
        with pytest.raises(DeviceNotFound):
            connect("ssh://no-such-host.invalid", timeout=20)

    def test_refused(self, ssh_client: SshClientHome) -> None:
        with pytest.raises(DeviceOffline, match="refuses") as caught:
            connect(f"ssh://127.0.0.1:{free_port()}", timeout=20)
        assert caught.value.transient

    def test_a_server_that_is_no_ssh_server(self, ssh_client: SshClientHome) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            began = time.monotonic()
            with pytest.raises(DeviceError):
                connect(f"ssh://127.0.0.1:{silent.getsockname()[1]}", timeout=2)
            assert time.monotonic() - began < 20
