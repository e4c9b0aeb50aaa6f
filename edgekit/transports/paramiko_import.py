"""The way to import paramiko here: `from edgekit.transports.paramiko_import import paramiko`. Halves what it costs.

paramiko.config imports `invoke` if it can, for one use: `Match exec` in an ssh_config that paramiko itself reads. edgekit
asks `ssh -G` for that, and `invoke` takes 80 of paramiko's 170 ms. paramiko's own fallback for a missing `invoke` is to
refuse `Match exec`, with a message that says so.
"""

from __future__ import annotations

import sys

__all__ = ["paramiko"]

_HIDDEN = "paramiko" not in sys.modules and "invoke" not in sys.modules
if _HIDDEN:
    sys.modules["invoke"] = None  # type: ignore[assignment]  # the documented way to make an import fail
try:
    import paramiko
finally:
    if _HIDDEN:
        del sys.modules["invoke"]
