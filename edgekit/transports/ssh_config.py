"""What the user's ssh settings say about a host: from `ssh -G` (so Include and Match count), else paramiko.

The answer is plain data; nothing is connected here.
"""

from __future__ import annotations

import getpass
import pwd
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import environ, getuid
from pathlib import Path

from edgekit.addresses import Address, parse
from edgekit.errors import HostError, InputError, ToolError

_NEEDLESS_BRACKETS = re.compile(r"\[([^:\]]*)\]")  # `ssh -G` puts them around every host
_SSH_SECONDS = 20.0  # Match exec may run things
_DEFAULT_KEYS = ("id_rsa", "id_ecdsa", "id_ed25519")
_GLOBAL_KNOWN_HOSTS = ("/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2")


@dataclass(frozen=True, kw_only=True)
class SshSettings:
    """Everything needed to reach one host. `identity_agent`: a socket path, None where there is no agent.
    `proxy_jump`: hops in the order in which they are passed."""

    alias: str
    host: str
    port: int
    user: str
    identity_files: tuple[Path, ...] = ()
    identities_only: bool = False
    identity_agent: str | None = None
    user_known_hosts: tuple[Path, ...] = ()
    global_known_hosts: tuple[Path, ...] = ()
    host_key_alias: str | None = None
    proxy_jump: tuple[Address, ...] = ()
    proxy_command: str | None = None

    @property
    def known_name(self) -> str:
        """The name under which known_hosts has this host: HOST, or [HOST]:PORT; HostKeyAlias goes first."""
        name = self.host_key_alias or self.host
        return name if self.port == 22 or self.host_key_alias else f"[{name}]:{self.port}"


def settings_for(address: Address) -> SshSettings:
    """Read the settings. Raises HostError (E_SSH_CONFIG) where they cannot be read."""
    if shutil.which("ssh"):
        # OpenSSH takes the home folder from the user database; so must what it leaves unexpanded.
        return from_options(address, _options_of_openssh(address), Path(pwd.getpwuid(getuid()).pw_dir))
    return from_options(address, _options_of_paramiko(address), Path.home())


def _options_of_openssh(address: Address) -> dict[str, list[str]]:
    argv = ["ssh", "-G"]
    if address.user:
        argv += ["-l", address.user]
    if address.port is not None:
        argv += ["-p", str(address.port)]
    argv += ["--", address.host or ""]
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=_SSH_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ToolError(f"`ssh -G` failed: {error}", device=str(address)) from error
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip()
        raise HostError(
            f"`ssh -G` failed: {said}",
            code="E_SSH_CONFIG",
            hint="mend ~/.ssh/config as the message says",
            device=str(address),
        )
    options: dict[str, list[str]] = {}
    for line in done.stdout.decode("utf-8", "replace").splitlines():
        key, _, value = line.partition(" ")
        options.setdefault(key.lower(), []).append(value.strip())
    return options


def _options_of_paramiko(address: Address) -> dict[str, list[str]]:
    """For hosts without OpenSSH. paramiko reads Host and Match, not Include."""
    from edgekit.transports.paramiko_import import paramiko

    path = Path.home() / ".ssh" / "config"
    try:
        config = paramiko.SSHConfig.from_path(str(path)) if path.exists() else paramiko.SSHConfig()
        found = config.lookup(address.host or "")
    except (paramiko.ConfigParseError, OSError) as error:
        raise HostError(f"{path}: {error}", code="E_SSH_CONFIG", device=str(address)) from error
    options = {key.lower(): value if isinstance(value, list) else [value] for key, value in found.items()}
    if address.user:
        options["user"] = [address.user]
    if address.port is not None:
        options["port"] = [str(address.port)]
    return options


def from_options(address: Address, options: Mapping[str, Sequence[str]], home: Path) -> SshSettings:
    """Options as `ssh -G` prints them, to settings (pure but for the user's name and SSH_AUTH_SOCK)."""

    def one(key: str) -> str | None:
        values = options.get(key)
        return None if not values or values[0].lower() == "none" else values[0]

    host = one("hostname") or address.host or ""
    user = one("user") or getpass.getuser()
    tokens = {
        "%%": "%", "%d": str(home), "%h": host, "%n": address.host or "", "%p": one("port") or "22",
        "%r": user, "%u": getpass.getuser(),
    }  # fmt: skip

    def paths(key: str, default: Sequence[str], *, split: bool) -> tuple[Path, ...]:
        values = options.get(key) or default
        words = [word for value in values for word in (value.split() if split else [value])]
        return tuple(_path(word, home, tokens) for word in words if word.lower() not in ("none", "/dev/null"))

    default_known = (str(home / ".ssh" / "known_hosts"), str(home / ".ssh" / "known_hosts2"))
    command = one("proxycommand")
    return SshSettings(
        alias=address.host or "",
        host=host,
        port=int(one("port") or 22),
        user=user,
        identity_files=paths("identityfile", [f"{home}/.ssh/{name}" for name in _DEFAULT_KEYS], split=False),
        identities_only=one("identitiesonly") == "yes",
        identity_agent=_agent(options.get("identityagent", ["SSH_AUTH_SOCK"])[0], home, tokens),
        # Strict also where the settings throw known hosts away: then the usual file is asked.
        user_known_hosts=paths("userknownhostsfile", default_known, split=True)
        or tuple(Path(p) for p in default_known),
        global_known_hosts=paths("globalknownhostsfile", _GLOBAL_KNOWN_HOSTS, split=True),
        host_key_alias=one("hostkeyalias"),
        proxy_jump=_hops(one("proxyjump"), str(address)),
        proxy_command=_expand(command, tokens) if command else None,
    )


def _agent(value: str, home: Path, tokens: Mapping[str, str]) -> str | None:
    if value.lower() == "none":
        return None
    if value == "SSH_AUTH_SOCK":
        return environ.get("SSH_AUTH_SOCK") or None
    if value.startswith("$"):
        return environ.get(value.strip("${}")) or None
    return str(_path(value, home, tokens))


def _hops(value: str | None, device: str) -> tuple[Address, ...]:
    """ProxyJump: [USER@]HOST[:PORT] or ssh://..., joined by commas."""
    try:
        return tuple(
            parse("ssh://" + _NEEDLESS_BRACKETS.sub(r"\1", hop.removeprefix("ssh://")))
            for hop in (value or "").replace(" ", "").split(",")
            if hop
        )
    except InputError as error:
        raise HostError(
            f"ProxyJump {value}: {error.message}", code="E_SSH_CONFIG", hint=error.hint, device=device
        ) from error


def _path(word: str, home: Path, tokens: Mapping[str, str]) -> Path:
    word = _expand(word.strip('"'), tokens)
    return home / word[2:] if word.startswith("~/") else Path(word).expanduser()


def _expand(text: str, tokens: Mapping[str, str]) -> str:
    out, i = "", 0
    while i < len(text):
        token = text[i : i + 2]
        out += tokens.get(token, text[i])
        i += 2 if token in tokens else 1
    return out
