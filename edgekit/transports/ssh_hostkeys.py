"""Whether a host key is known: reading known_hosts as sshd(8) describes it. Strict: nothing is added here.

Hashed entries, [HOST]:PORT, patterns with `*`, `?` and `!`, and @revoked count; @cert-authority lines are
left out (a host certificate is not asked for).
"""

from __future__ import annotations

import base64
import binascii
import fnmatch
import hashlib
import hmac
import os
import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from edgekit.cache import host_errors
from edgekit.errors import DeviceError, HostKeyChanged, HostKeyUnknown
from edgekit.transports.ssh_config import SshSettings


@dataclass(frozen=True)
class KnownKey:
    """One line that speaks of the host asked for. `blob` is the public key as on the wire."""

    file: str
    line: int
    key_type: str
    blob: bytes
    revoked: bool


def known_keys(text: str, name: str, file: str = "known_hosts") -> list[KnownKey]:
    """The lines of one file that match `name` (HOST or [HOST]:PORT). Damaged lines are passed over."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        marker = words.pop(0) if words[0].startswith("@") else ""
        if len(words) < 3 or marker == "@cert-authority" or not _matches(words[0], name):
            continue
        try:
            blob = base64.b64decode(words[2], validate=True)
        except binascii.Error:
            continue
        found.append(KnownKey(file, number, words[1], blob, marker == "@revoked"))
    return found


def _matches(field: str, name: str) -> bool:
    if field.startswith("|1|"):
        return _matches_hash(field, name)
    hit = False
    for pattern in field.split(","):
        negated = pattern.startswith("!")
        if _like(pattern.removeprefix("!"), name):
            if negated:
                return False
            hit = True
    return hit


def _matches_hash(field: str, name: str) -> bool:
    try:
        salt, wanted = (base64.b64decode(part, validate=True) for part in field[3:].split("|"))
    except (ValueError, binascii.Error):
        return False
    return hmac.compare_digest(hmac.new(salt, name.lower().encode(), hashlib.sha1).digest(), wanted)


def _like(pattern: str, name: str) -> bool:
    """OpenSSH's patterns have only `*` and `?`; brackets stand for themselves."""
    literal = re.sub(r"\[", "[[]", pattern.lower())
    return fnmatch.fnmatchcase(name.lower(), literal)


def read_known(settings: SshSettings) -> list[KnownKey]:
    """All lines about this host in the user's and the global files; missing files are empty."""
    found: list[KnownKey] = []
    for path in (*settings.user_known_hosts, *settings.global_known_hosts):
        if not path.is_file():
            continue
        with host_errors(path):
            text = path.read_text("utf-8", "replace")
        found += known_keys(text, settings.known_name, str(path))
    return found


def check_host_key(
    known: Iterable[KnownKey], key_type: str, blob: bytes, settings: SshSettings, device: str
) -> None:
    """Raises HostKeyUnknown or HostKeyChanged unless this very key is known and not revoked."""
    lines = list(known)
    same = [line for line in lines if line.blob == blob]
    if any(line.revoked for line in same):
        raise _changed(same[0], f"the host key of {settings.known_name} is marked @revoked", settings, device)
    if same:
        return
    others = [line for line in lines if not line.revoked]
    if others:
        message = (
            f"the host key of {settings.known_name} is not the one that is known: it offers {key_type}"
            f" {fingerprint(blob)}, known are {', '.join(sorted({k.key_type for k in others}))}"
        )
        raise _changed(others[0], message, settings, device)
    raise HostKeyUnknown(
        f"the host key of {settings.known_name} is not known: {key_type} {fingerprint(blob)}",
        device=device,
        hint=f"compare the fingerprint with the board's own, then: {_scan_command(settings)}",
    )


def _changed(line: KnownKey, message: str, settings: SshSettings, device: str) -> DeviceError:
    name, file = shlex.quote(settings.known_name), shlex.quote(line.file)
    return HostKeyChanged(
        f"{message} ({line.file}:{line.line}); the board was set up anew, or someone is in between",
        device=device,
        hint=f"if it was set up anew: ssh-keygen -R {name} -f {file}, then {_scan_command(settings)}",
    )


def _scan_command(settings: SshSettings) -> str:
    """The command that adds the key. Through a jump host, or under an alias, ssh itself has to do it."""
    file = _tilde(settings.user_known_hosts[0])
    if settings.proxy_jump or settings.proxy_command or settings.host_key_alias:
        return f"ssh -o StrictHostKeyChecking=ask {shlex.quote(settings.alias)} true"
    return f"ssh-keyscan -p {settings.port} {shlex.quote(settings.host)} >> {file}"


def _tilde(path: Path) -> str:
    home = os.environ.get("HOME", "")
    text = str(path)
    return "~" + text[len(home) :] if home and text.startswith(home.rstrip("/") + "/") else shlex.quote(text)


def fingerprint(blob: bytes) -> str:
    """As `ssh-keygen -l` prints it: SHA256:..."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
