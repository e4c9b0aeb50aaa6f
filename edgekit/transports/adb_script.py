"""The commands that go to a device's shell (pure)."""

from __future__ import annotations

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
    stderr, which travels nowhere else. `stdin`: a file on the device; None keeps the connection's."""
    source = "" if stdin is None else f" <{shlex.quote(stdin)}"
    errors = f"{SCRATCH}/.edgekit-stderr-{marker}"
    return (
        f"E={errors}; (: >$E) 2>/dev/null || E=/dev/null; ({plain(argv)}) 2>$E{source}; "
        f"echo {marker}$?; cat $E 2>/dev/null; test $E = /dev/null || rm -f $E"
    )
