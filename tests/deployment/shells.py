"""Places for pushes by plain shell, and what must hold there whatever happened."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edgekit.deployment.outcome import PushResult
from edgekit.deployment.shell import push_by_shell
from edgekit.errors import EdgekitError
from edgekit.models import Artifact, ModelInfo, open_model
from edgekit.transports import Transport
from edgekit.transports.local import LocalTransport
from tests.cli.running import MODEL

AWKWARD = 'it\'s a "root"; $(touch x) `id` & * ? [a] \\n -rf é ~'
NAME = "digits"


@dataclass(frozen=True)
class Place:
    """`folder`: the root as the test sees it."""

    transport: Transport
    root: str
    folder: Path

    def push(self, model: Artifact | ModelInfo, **options: Any) -> PushResult:
        wishes: dict[str, Any] = {
            "profile": None,
            "name": NAME,
            "version": None,
            "activate": True,
            "smoke": False,
            "lease_wait_seconds": 0.0,
            "why": "a test",
        }
        transport = options.pop("transport", self.transport)
        return push_by_shell(model, transport, root=self.root, **{**wishes, **options})

    def active(self, name: str = NAME) -> str | None:
        """The active version, after a look that it is there and whole; None: none is."""
        models = self.folder / "models" / name
        if not (models / "current").exists():
            return None
        version = (models / "current").read_text()
        assert version.endswith("\n")
        manifest = json.loads((models / version[:-1] / "manifest.json").read_bytes())
        assert manifest["version"] == version[:-1]
        for entry in manifest["files"]:
            data = (models / version[:-1] / entry["file"]).read_bytes()
            assert hashlib.sha256(data).hexdigest() == entry["sha256"]
        return version[:-1]

    def left_over(self) -> list[str]:
        """What a push leaves only when it is cut off."""
        return sorted(
            str(path.relative_to(self.folder))
            for path in self.folder.rglob(".*")
            if path.name.endswith((".ek-tmp", ".ek-gone"))
        )


def model_file(folder: Path, number: int, more_bytes: int = 0) -> ModelInfo:
    """The same model in other bytes: what follows the flatbuffer is not read."""
    path = folder / f"model-{number}.tflite"
    path.write_bytes(MODEL.read_bytes() + bytes([number % 256]) * 16 + os.urandom(more_bytes))
    return open_model(path)


def local_place(tmp_path: Path, name: str = "device") -> Place:
    return Place(LocalTransport(), f"{tmp_path}/{name}", tmp_path / name)


def only_busybox(folder: Path, monkeypatch: pytest.MonkeyPatch, without: Sequence[str] = ()) -> None:
    """From here on `local:` has the commands of a small board: busybox, which on Debian has no flock."""
    busybox = shutil.which("busybox")
    if busybox is None:
        pytest.skip("needs busybox")
    folder.mkdir()
    names = "sh cat chmod df head mkdir mv rm sed sleep sync sha256sum touch id"
    for name in names.split():
        if name not in without:
            (folder / name).symlink_to(busybox)
    monkeypatch.setenv("PATH", str(folder))


@contextmanager
def tmpfs(folder: Path, options: str) -> Iterator[Path]:
    """A file system of its own."""
    folder.mkdir()
    argv = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    done = subprocess.run(argv, capture_output=True, timeout=10, check=False)
    if done.returncode:
        pytest.skip(f"cannot mount: {done.stderr.decode()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], timeout=10, check=True)


def recovers(place: Place, folder: Path, version: str = "next") -> None:
    assert place.push(model_file(folder, 99), version=version, lease_wait_seconds=150.0).activated
    assert place.active() == version
    assert place.left_over() == []


def outcome_of(push: Callable[[], PushResult]) -> PushResult | EdgekitError:
    try:
        return push()
    except EdgekitError as error:
        return error
