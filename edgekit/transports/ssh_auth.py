"""Who we are to a board: keys of the ssh agent, then key files; never a password."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from edgekit.errors import AuthenticationFailed
from edgekit.transports.paramiko_import import paramiko
from edgekit.transports.ssh_config import SshSettings


class _Agent(paramiko.agent.AgentSSH):
    """An agent at a given socket (paramiko's own looks only at SSH_AUTH_SOCK)."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__()
        conn = socket.socket(socket.AF_UNIX)
        conn.settimeout(timeout)
        conn.connect(path)
        self._connect(conn)  # type: ignore[attr-defined]

    def close(self) -> None:
        self._close()  # type: ignore[attr-defined]


@dataclass
class _Attempt:
    """What was tried, for the message."""

    tried: list[str] = field(default_factory=list)
    locked: list[Path] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    allowed: list[str] = field(default_factory=list)


def authenticate(transport: paramiko.Transport, settings: SshSettings, device: str, timeout: float) -> None:
    """Log in. Raises AuthenticationFailed with what was tried and what to do."""
    attempt = _Attempt()
    with contextlib.ExitStack() as held:
        for name, key in _keys(settings, attempt, held, timeout):
            attempt.tried.append(name)
            try:
                transport.auth_publickey(settings.user, key)
            except paramiko.BadAuthenticationType as error:
                attempt.allowed = list(error.allowed_types)
                break
            except paramiko.AuthenticationException:
                continue
            except paramiko.SSHException as error:
                if not transport.is_active():
                    raise _failed(settings, attempt, device, "the server ended the log-in") from error
                continue  # this key cannot be used with this server (its type, for instance)
            if transport.is_authenticated():
                return
            raise _failed(settings, attempt, device, "the server wants more than a key")
    raise _failed(settings, attempt, device, "no key was accepted")


def _keys(
    settings: SshSettings, attempt: _Attempt, held: contextlib.ExitStack, timeout: float
) -> Iterator[tuple[str, paramiko.PKey]]:
    """Keys in the order in which they are tried: an agent's that the settings name, files, an agent's others.
    A server counts attempts, so the likely ones go first."""
    in_agent = {key.asbytes(): key for key in _agent_keys(settings, held, timeout)}
    wanted = {path: _public_blob(path) for path in settings.identity_files}
    for path, blob in wanted.items():
        if blob is not None and blob in in_agent:
            yield f"{path} (agent)", in_agent.pop(blob)
            wanted[path] = b""
    for path, blob in wanted.items():
        if blob != b"" and (key := _load(path, attempt)) is not None:
            yield str(path), key
    if not settings.identities_only:
        for key in in_agent.values():
            yield f"{key.get_name()} of the agent", key


def _agent_keys(
    settings: SshSettings, held: contextlib.ExitStack, timeout: float
) -> tuple[paramiko.agent.AgentKey, ...]:
    if settings.identity_agent is None:
        return ()
    try:
        agent = _Agent(settings.identity_agent, timeout)
    except (OSError, paramiko.SSHException):
        return ()  # as ssh does: an agent that does not answer is no agent
    held.callback(agent.close)
    return agent.get_keys()


def _public_blob(path: Path) -> bytes | None:
    """The public key beside a private one; IdentityFile may also name the public one."""
    for public in (path.with_name(path.name + ".pub"), path):
        with contextlib.suppress(OSError, ValueError, IndexError):
            first = public.read_text("ascii").split()
            blob: bytes = paramiko.pkey.PublicBlob.from_string(" ".join(first[:2])).key_blob
            return blob
    return None


def _load(path: Path, attempt: _Attempt) -> paramiko.PKey | None:
    if not path.is_file() or path.suffix == ".pub":
        return None
    try:
        return paramiko.PKey.from_path(path)
    except (paramiko.PasswordRequiredException, TypeError):
        attempt.locked.append(path)  # cryptography says TypeError where a password is missing
    except (paramiko.SSHException, ValueError, OSError) as error:
        attempt.unreadable.append(f"{path}: {error}")
    return None


def _failed(settings: SshSettings, attempt: _Attempt, device: str, why: str) -> AuthenticationFailed:
    message = f"{settings.user}@{settings.host}: {why}; tried: {', '.join(attempt.tried) or 'no key'}"
    if attempt.unreadable:
        message += f"; not readable: {'; '.join(attempt.unreadable)}"
    if attempt.allowed:
        message += f"; the server allows: {', '.join(attempt.allowed)}"
    if attempt.locked:
        names = ", ".join(str(path) for path in attempt.locked)
        message += f"; encrypted, and in no agent: {names}"
        hint = f'unlock the key in an agent: eval "$(ssh-agent)" && ssh-add {attempt.locked[0]}'
    else:
        port = f" -p {settings.port}" if settings.port != 22 else ""
        hint = f"put a key of yours on the board: ssh-copy-id{port} {settings.user}@{settings.alias}"
    return AuthenticationFailed(message, device=device, hint=hint)
