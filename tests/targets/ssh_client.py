"""The client's side of ssh: a HOME with keys, known_hosts and configuration."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest


def make_key(path: Path, *, passphrase: str = "") -> Path:
    """A new ed25519 key pair: `path` and `path`.pub."""
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-C", "test", "-f", str(path)]
    subprocess.run(command, check=True, timeout=20, stdin=subprocess.DEVNULL)
    return path


def public_part(key: Path) -> str:
    """ "TYPE BASE64" of a key pair, as known_hosts wants it."""
    return " ".join(key.with_name(key.name + ".pub").read_text(encoding="ascii").split()[:2])


class SshClientHome:
    """A HOME for ssh clients: .ssh with a key, known_hosts and config.

    OpenSSH takes the home folder from the user database, not from HOME; so `env` has an `ssh` first on PATH
    that only adds `-F $HOME/.ssh/config`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ssh = folder / ".ssh"
        self.ssh.mkdir(parents=True, mode=0o700)
        self.key = make_key(self.ssh / "id_ed25519")
        self.known_hosts = self.ssh / "known_hosts"
        self.known_hosts.touch()
        self.config = self.ssh / "config"
        self.config.write_text(
            "Host *\n"
            f"  UserKnownHostsFile {self.known_hosts}\n"
            "  GlobalKnownHostsFile /dev/null\n"
            f"  IdentityFile {self.key}\n"
            "  IdentitiesOnly yes\n"
            "  BatchMode yes\n",
            encoding="utf-8",
        )
        wrapper = folder / "bin" / "ssh"
        wrapper.parent.mkdir()
        wrapper.write_text('#!/bin/sh\nexec /usr/bin/ssh -F "$HOME/.ssh/config" "$@"\n', encoding="utf-8")
        wrapper.chmod(0o755)

    @property
    def env(self) -> dict[str, str]:
        """What differs from the environment of the tests."""
        return {
            "HOME": str(self.folder),
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
            "SSH_AUTH_SOCK": "",
        }

    @property
    def full_env(self) -> dict[str, str]:
        """The environment of the tests with `env` in it."""
        return {**os.environ, **self.env}

    def use(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Make this the HOME of the test, for ssh, paramiko and the product."""
        for name, value in self.env.items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("SSH_AUTH_SOCK")

    def trust(self, host: str, port: int, key: str, *, names: str | None = None) -> None:
        """Add a host key ("TYPE BASE64") to known_hosts."""
        entry = names or (host if port == 22 else f"[{host}]:{port}")
        with open(self.known_hosts, "a", encoding="ascii") as file:
            file.write(f"{entry} {key}\n")

    def add_config(self, text: str) -> None:
        """Put settings before the ones that are there (in ssh the first value wins)."""
        self.config.write_text(text.rstrip() + "\n\n" + self.config.read_text("utf-8"), encoding="utf-8")

    def _remove_key(self) -> None:
        self.key.unlink()
        self.key.with_name(self.key.name + ".pub").unlink()

    def replace_key(self) -> Path:
        """Another key in the place of the client's: no server knows it."""
        self._remove_key()
        return make_key(self.key)

    def use_key(self, key: Path) -> None:
        """Take a copy of this key pair in the place of the client's."""
        self._remove_key()
        shutil.copy2(key, self.key)
        shutil.copy2(key.with_name(key.name + ".pub"), self.key.with_name(self.key.name + ".pub"))
