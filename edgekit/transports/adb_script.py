"""The commands that go to a device's shell (pure)."""

from __future__ import annotations

import secrets
import shlex
from collections.abc import Sequence

from edgekit.errors import InputError

SCRATCH = "/data/local/tmp"


def plain(argv: Sequence[str]) -> str:
    """For shell_v2, which brings the exit code itself."""
    if any("\0" in word for word in argv):
        raise InputError("a command's argument holds a NUL character", code="E_ARGUMENT")
    return "exec " + shlex.join(argv)


def marked(argv: Sequence[str], marker: str, *, stdin: str | None) -> str:
    """For an adbd without shell_v2, where the shell prints MARKER and the exit code after the output, then
    stderr, which travels nowhere else, then MARKER. `stdin`: a file on the device; None keeps the connection's.

    The marker never stands in one piece here: a command that lists processes or files would print it.
    """
    source = "" if stdin is None else f" <{shlex.quote(stdin)}"
    half = len(marker) // 2
    errors = f"{SCRATCH}/.edgekit-stderr-{secrets.token_hex(8)}"
    return (
        # Open and without a name at once: nothing is left behind when the connection breaks.
        f"M={marker[:half]}; E={errors}; "
        "if (: >$E) 2>/dev/null; then exec 3>$E 4<$E; rm -f $E; else exec 3>/dev/null 4</dev/null; fi; "
        f"(exec 2>&3 3>&- 4<&-; {plain(argv)}){source}; echo ${{M}}{marker[half:]}$?; cat <&4; "
        f"echo ${{M}}{marker[half:]}"
    )
