"""The token that a dashboard asks for and a push shows, and which host is this one. Never on a command line, in a URL or a log."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path

from edgekit.errors import InputError

TOKEN_VARIABLE = "EDGEKIT_TOKEN"  # noqa: S105 - the variable's name
MIN_TOKEN_LENGTH = 16
HOW_TO_MAKE = "python3 -c 'import secrets; print(secrets.token_urlsafe(32))' > FILE makes one"


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens there. A name other than localhost may mean anything."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def read_token(path: Path | None) -> str | None:
    """The token in a file, else in EDGEKIT_TOKEN, else None. Raises InputError E_TOKEN for one that is empty, short, or not
    of printable ASCII, or a file that cannot be read."""
    if path is None:
        found, where = os.environ.get(TOKEN_VARIABLE), TOKEN_VARIABLE
        if not found:
            return None
    else:
        where = str(path)
        try:
            found = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: the token cannot be read", code="E_TOKEN") from error
    token = found.strip()
    if len(token) < MIN_TOKEN_LENGTH or not (token.isascii() and token.isprintable()) or " " in token:
        raise InputError(
            f"the token in {where} is not at least {MIN_TOKEN_LENGTH} printable characters without a space",
            code="E_TOKEN",
            hint=HOW_TO_MAKE,
        )
    return token
