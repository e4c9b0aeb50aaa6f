"""The command line that a record keeps, so that one knows how it came about; without secrets."""

from __future__ import annotations

import re
from collections.abc import Sequence

import click

LEFT_OUT = "[left out]"
_NAMES = r"[\w-]*(?:token|passw|passphrase|secret|credential|api-?key)[\w-]*"
_OPTION = re.compile(rf"(--?{_NAMES})(=.*)?", re.IGNORECASE | re.DOTALL)
_IN_TEXT = re.compile(rf"((?:^|[\s?&;,])(?:--?)?{_NAMES}=)[^&\s]*", re.IGNORECASE)
_TOKEN_IN_URL = re.compile(r"(https?://)[^/@:\s]+@", re.IGNORECASE)
"""Of the web the name alone may be the secret."""
_IN_URL = re.compile(r"(://[^/@:\s]*):.*@", re.DOTALL)
"""To the last `@`: a password may hold slashes, blanks and more of them."""


def command_line() -> tuple[str, ...] | None:
    """Of the command that runs, as `edgekit` was given it; None where no command line was read."""
    context = click.get_current_context(silent=True)
    given = context.find_root().obj if context is not None else None
    return without_secrets(given) if isinstance(given, tuple) else None


def without_secrets(arguments: Sequence[str]) -> tuple[str, ...]:
    """The values of options that are called after a secret, and passwords in URLs, are left out. Pure."""
    kept: list[str] = []
    hidden = False
    for argument in arguments:
        found = _OPTION.fullmatch(argument)
        if hidden:
            kept.append(LEFT_OUT)
            hidden = False
        elif found is not None:
            kept.append(found[1] if found[2] is None else f"{found[1]}={LEFT_OUT}")
            hidden = found[2] is None
        else:
            text = _IN_TEXT.sub(rf"\1{LEFT_OUT}", argument)
            kept.append(_TOKEN_IN_URL.sub(rf"\1{LEFT_OUT}@", _IN_URL.sub(rf"\1:{LEFT_OUT}@", text)))
    return tuple(kept)
