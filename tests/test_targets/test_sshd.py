"""The sshd fixture does what it says, seen with the real ssh client (demand A9)."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.timed import timed

if TYPE_CHECKING:
    from tests.targets.fixtures_ssh import MakeSshd
    from tests.targets.sshd import SshClientHome, SshServer

NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def ssh(
    client: SshClientHome, *argv: str, stdin: bytes = b"", timeout: float = 20.0
) -> subprocess.CompletedProcess[bytes]:
    """Real ssh, found through PATH and HOME as the product finds it."""
    env = {**os.environ, **client.env}
    return subprocess.run(
        ["ssh", *argv], input=stdin, capture_output=True, env=env, timeout=timeout, check=False
    )


def at(server: SshServer, *command: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return ssh(server.client, "-p", str(server.port), f"{server.user}@{server.host}", *command, stdin=stdin)


def test_runs_a_command_with_exact_exit_code_and_both_outputs(sshd: SshServer) -> None:
    done = at(sshd, "cat; echo err >&2; exit 7", stdin=b"in\0put")
    assert (done.returncode, done.stdout, done.stderr) == (7, b"in\0put", b"err\n")


def test_settings_come_from_ssh_g(sshd: SshServer) -> None:
    done = ssh(sshd.client, "-G", "-p", str(sshd.port), sshd.host)
    settings = dict(line.split(" ", 1) for line in done.stdout.decode().splitlines())
    assert settings["userknownhostsfile"] == str(sshd.client.known_hosts)
    assert settings["identityfile"] == str(sshd.client.key)


def test_use_puts_the_client_in_place(make_sshd: MakeSshd) -> None:
    server = make_sshd()
    assert Path.home() == server.client.folder
    command = ["ssh", "-p", str(server.port), f"{server.user}@{server.host}", "exit 3"]
    assert subprocess.run(command, timeout=20, check=False).returncode == 3


def test_only_loopback_listens(sshd: SshServer) -> None:
    listening = subprocess.run(["ss", "-Hltn"], capture_output=True, text=True, timeout=10, check=True).stdout
    mine = [line.split()[3] for line in listening.splitlines() if line.split()[3].endswith(f":{sshd.port}")]
    assert mine == [f"127.0.0.1:{sshd.port}"]


@NEEDS_ROOT
def test_login_folder_is_the_targets_own(sshd: SshServer) -> None:
    assert at(sshd, "touch seen-by-test && pwd").stdout.decode().strip() == sshd.device_home()
    assert (sshd.home / "seen-by-test").exists()


@pytest.mark.parametrize(
    ("known", "message"),
    [("unknown", b"Host key verification failed"), ("changed", b"REMOTE HOST IDENTIFICATION HAS CHANGED")],
)
def test_host_key_that_is_not_trusted(make_sshd: MakeSshd, known: str, message: bytes) -> None:
    done = at(make_sshd(known=known), "true")
    assert done.returncode == 255
    assert message in done.stderr


def test_wrong_client_key_is_refused(make_sshd: MakeSshd) -> None:
    done = at(make_sshd(client_key="wrong"), "true")
    assert done.returncode == 255
    assert b"Permission denied (publickey)" in done.stderr


def test_jump_host(make_sshd: MakeSshd) -> None:
    jump = make_sshd()
    board = make_sshd(jump=jump)
    assert ssh(board.client, "board", "exit 9").returncode == 9
    assert (jump.logins(), board.logins()) == (1, 1)


def test_login_script_makes_noise(make_sshd: MakeSshd) -> None:
    from tests.targets.sshd import NOISE

    done = at(make_sshd(noise=True), "echo mine")
    assert done.stdout.decode() == f"{NOISE}\nmine\n"
    assert done.stderr == b"a warning\n"


@NEEDS_ROOT
def test_user_who_is_not_root(make_sshd: MakeSshd) -> None:
    server = make_sshd(user="pi")
    done = at(server, "id -un; pwd; cat /etc/shadow")
    assert done.stdout == b"pi\n/home/pi\n"
    assert b"Permission denied" in done.stderr


@NEEDS_ROOT
def test_sysfs_of_the_tests_own(make_sshd: MakeSshd, tmp_path: Path) -> None:
    zone = tmp_path / "sys/class/thermal/thermal_zone0"
    zone.mkdir(parents=True)
    (zone / "temp").write_text("48312\n")
    server = make_sshd(sysfs=tmp_path / "sys")
    assert at(server, "cat /sys/class/thermal/*/temp").stdout == b"48312\n"


@NEEDS_ROOT
def test_small_disk_and_read_only_folder(make_sshd: MakeSshd) -> None:
    server = make_sshd()
    full = at(server, f"head -c 2000000 /dev/zero > {server.small_disk(1_000_000)}/file")
    assert b"No space left on device" in full.stderr
    refused = at(server, f"touch {server.read_only_folder()}/file")
    assert b"Read-only file system" in refused.stderr


def test_killed_sessions_lose_the_connection_and_leave_the_server(make_sshd: MakeSshd) -> None:
    server = make_sshd()
    command = ["ssh", "-p", str(server.port), f"{server.user}@{server.host}", "echo up; sleep 60"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"up\n"
        assert server.kill_sessions() >= 1
        assert running.wait(timeout=30) == 255
    assert at(server, "exit 4").returncode == 4


def test_stop_and_start_on_the_same_port_with_the_same_key(make_sshd: MakeSshd) -> None:
    server = make_sshd()
    server.stop()
    assert at(server, "true").returncode == 255
    server.start()
    assert at(server, "exit 5").returncode == 5


@NEEDS_ROOT
def test_reboot_gives_another_boot_id_and_keeps_files(make_sshd: MakeSshd) -> None:
    server = make_sshd()
    before = at(server, "echo kept > file; cat /proc/sys/kernel/random/boot_id").stdout
    server.reboot()
    after = at(server, "cat /proc/sys/kernel/random/boot_id file").stdout
    assert len(before) == 37
    assert after.endswith(b"kept\n")
    assert not after.startswith(before)


@NEEDS_ROOT
def test_what_a_session_left_behind_survives_the_session_and_ends_with_the_target(tmp_path: Path) -> None:
    from tests.targets.sshd import SshClientHome, SshServer, public_part

    server = SshServer(tmp_path / "server", SshClientHome(tmp_path / "client"))
    server.client.trust(server.host, server.port, public_part(server.host_key))
    beat = server.home / "beat"
    at(server, "setsid sh -c 'while :; do date +%N > beat; sleep 0.05; done' >/dev/null 2>&1 </dev/null &")
    server.kill_sessions()
    assert any(beat.exists() and _changes(beat) for _ in range(30))
    server.close()
    assert not _changes(beat)


def _changes(path: Path) -> bool:
    time.sleep(0.3)
    before = path.stat().st_mtime_ns
    time.sleep(0.3)
    return path.stat().st_mtime_ns != before


@timed
def test_starts_fast(tmp_path: Path) -> None:
    """Promised: 0.3 s; asserted with a threefold margin."""
    from tests.targets.sshd import SshClientHome, SshServer

    began = time.monotonic()
    server = SshServer(tmp_path / "server", SshClientHome(tmp_path / "client"))
    took_s = time.monotonic() - began
    server.close()
    assert took_s < 0.9
