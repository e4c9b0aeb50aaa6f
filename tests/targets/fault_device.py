"""A device like the one of adbd.py, with faultd in the place of adbd."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.targets.adb_host import AdbHost
from tests.targets.adbd import AdbdDevice, AdbdOptions
from tests.targets.ports import wait_for_port

OLD_DIALECT: dict[str, Any] = {"features": "", "exec_service": False, "old": True}
"""Android 4: no shell_v2, no exec, packets of 4 KiB."""


class FaultDevice(AdbdDevice):
    """`fault(...)` changes faultd's Settings at any time, and starts its byte counters anew."""

    def __init__(
        self, folder: Path, host: AdbHost, options: AdbdOptions | None = None, **settings: Any
    ) -> None:
        self._settings = settings
        super().__init__(folder, host, options)

    def start_adbd(self) -> None:
        in_network = self.options.network_pid is not None
        fixed = {
            "port": self.port,
            "host": "0.0.0.0" if in_network else "127.0.0.1",
            "shell": [*self.chroot_command(()), "/system/bin/sh", "-c"],
        }
        argv = [sys.executable, "-S", "-m", "tests.targets.faultd", json.dumps({**fixed, **self._settings})]
        env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        pipe = subprocess.PIPE
        self._adbd = self.sandbox.popen(argv, log=self.log, env=env, stdin=pipe, stdout=pipe)
        self._await_ok()
        wait_for_port(self.options.host_address, self.port, 30.0, server=self._adbd)

    def fault(self, **settings: Any) -> None:
        """Counts from the next byte on; stays until it is changed or the daemon is started again with it."""
        self._settings |= settings
        assert self._adbd is not None
        assert self._adbd.stdin is not None
        self._adbd.stdin.write(json.dumps(settings).encode() + b"\n")
        self._adbd.stdin.flush()
        self._await_ok()

    def _await_ok(self) -> None:
        assert self._adbd is not None
        assert self._adbd.stdout is not None
        if self._adbd.stdout.readline() != b"ok\n":
            raise RuntimeError(f"faultd ended:\n{self.log.read_text('utf-8', errors='replace')}")

    def kill(self) -> None:
        daemon = self._adbd
        super().kill()
        for stream in () if daemon is None else (daemon.stdin, daemon.stdout):
            if stream is not None:
                stream.close()

    def fault_free_restart(self) -> None:
        """Start again, in good health (the dialect stays)."""
        for name in ("state", "die_after_sent", "die_after_received", "how"):
            self._settings.pop(name, None)
        self.restart()
