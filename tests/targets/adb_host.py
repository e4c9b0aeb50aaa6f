"""An adb server of the tests' own: private port, private keys, either generation of adb."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.targets.ports import free_port, wait_for_port
from tests.targets.sandbox import Sandbox

CALL_TIMEOUT_S = 30.0


def adb_binary(version: str) -> str:
    """ "36": the one inside adbutils; "29": Debian 12's. Skips where it is not there."""
    if version == "29":
        if not Path("/usr/bin/adb").exists():
            pytest.skip("Debian's adb is not installed (package adb)")
        return "/usr/bin/adb"
    assert version == "36", version
    spec = importlib.util.find_spec("adbutils")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("adbutils is not installed")
    bundled = Path(spec.submodule_search_locations[0]) / "binaries/adb"
    if not bundled.exists():
        pytest.skip(f"this adbutils brings no adb: {bundled}")
    return str(bundled)


class AdbHost:
    """`env` is what a program needs to use this server. `start` may be left to the product: `close` ends any
    server on the port. With `sandbox` the server runs (and listens) inside it."""

    def __init__(
        self, folder: Path, version: str = "36", *, sandbox: Sandbox | None = None, port: int | None = None
    ) -> None:
        self.version = version
        self.binary = adb_binary(version)
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.port = port or free_port()
        self.sandbox = sandbox
        self.log = folder / "adb-server.log"
        self.home = folder / "home"
        self.home.mkdir()
        self._server: subprocess.Popen[bytes] | None = None
        self._space: Sandbox | None = None

    @property
    def env(self) -> dict[str, str]:
        """What differs from the environment of the tests. HOME holds this host's adb key."""
        return {
            "ANDROID_ADB_SERVER_PORT": str(self.port),
            "ADB_LIBUSB": "0",
            "ADB_MDNS": "0",
            "HOME": str(self.home),
        }

    def use(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Make this the adb server of the test and of the product in it."""
        for name, value in self.env.items():
            monkeypatch.setenv(name, value)
        for name in ("ANDROID_SERIAL", "ANDROID_ADB_SERVER_ADDRESS", "ADB_SERVER_SOCKET", "ADB_VENDOR_KEYS"):
            monkeypatch.delenv(name, raising=False)

    @property
    def public_key(self) -> str:
        """This host's key, as a device keeps it; made by the server's first start. One line."""
        return (self.home / ".android/adbkey.pub").read_text("ascii").strip() + "\n"

    def start(self) -> None:
        """Start the server in the foreground of a sandbox, so that it ends with the tests."""
        command = [self.binary, "nodaemon", "server"]
        env = {**os.environ, **self.env}
        if os.geteuid() == 0:
            self._space = None if self.sandbox else Sandbox(hostname="host")
            space = self.sandbox or self._space
            assert space is not None
            self._server = space.popen(command, log=self.log, env=env)
        else:
            with open(self.log, "ab") as file:
                self._server = subprocess.Popen(
                    command,
                    env=env,
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=file,
                    start_new_session=True,
                )
        if self.sandbox is None:
            wait_for_port("127.0.0.1", self.port, 30.0)
        else:
            self.poll_until(lambda: self.adb("devices").returncode == 0, "the adb server to answer")

    def adb(
        self, *arguments: str, stdin: bytes = b"", timeout: float = CALL_TIMEOUT_S
    ) -> subprocess.CompletedProcess[bytes]:
        """Run this host's adb client."""
        command = [self.binary, *arguments]
        if self.sandbox is not None:
            command = self.sandbox.command(command)
        env = {**os.environ, **self.env}
        return subprocess.run(
            command, input=stdin, capture_output=True, env=env, timeout=timeout, check=False
        )

    def states(self) -> Mapping[str, str]:
        """Serial to state, as `adb devices` tells."""
        lines = self.adb("devices").stdout.decode().splitlines()
        return dict(line.split("\t", 1) for line in lines if "\t" in line)

    def connect(self, serial: str, state: str | None = "device", timeout: float = 30.0) -> None:
        """`adb connect`, then wait for the state (None: do not wait)."""
        self.adb("connect", serial)
        if state is not None:
            self.poll_until(lambda: self.states().get(serial) == state, f"{serial} to be {state}", timeout)

    def connect_again_until(self, serial: str, state: str = "device", timeout: float = 30.0) -> None:
        """For a device that is still starting: adb keeps a connection that came too early as "offline"."""
        end = time.monotonic() + timeout
        while True:
            try:
                return self.connect(serial, state, timeout=2.0)
            except TimeoutError:
                if time.monotonic() > end:
                    raise
                self.disconnect(serial)

    def disconnect(self, serial: str) -> None:
        """Forget a network device."""
        self.adb("disconnect", serial)

    def poll_until(self, happened: Callable[[], bool], what: str, timeout: float = 30.0) -> None:
        """Wait for `happened()`; adb has no way to be told of it. Raises TimeoutError."""
        end = time.monotonic() + timeout
        while not happened():
            if time.monotonic() > end:
                raise TimeoutError(f"waited {timeout} s for {what}; adb sees {dict(self.states())}")
            time.sleep(0.005)

    def close(self) -> None:
        """End whatever server answers on this port."""
        self.adb("kill-server")
        if self._server is not None:
            try:
                self._server.wait(timeout=5)
            except subprocess.TimeoutExpired:
                self._server.kill()
                self._server.wait(timeout=30)
        if self._space is not None:
            self._space.close()
