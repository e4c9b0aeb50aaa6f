"""Puts releases where a device has them, as a push would leave them; opens that folder as a device."""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path

from edgekit.config import Config, DeviceEntry
from edgekit.deployment.collect import GcResult
from edgekit.devices import Device, open_device

T0 = 1_700_000_000
"""2023-11-14T22:13:20Z."""


def opened(root: Path) -> Device:
    return open_device("it", config=Config(devices={"it": DeviceEntry(address="local:", root=str(root))}))


def claimed(root: Path) -> Path:
    """A folder that is edgekit's."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "layout").write_text("1\n")
    return root


def manifest(name: str, version: str, data: bytes, **changed: object) -> str:
    file = {"file": "model.tflite", "sha256": hashlib.sha256(data).hexdigest(), "size_bytes": len(data)}
    document = {
        **{"schema": "edgekit.release/1", "name": name, "version": version, "model": file, "files": [file]},
        **{"format": "tflite", "recipe": None, "smoke": "passed", "pushed_at": "", "edgekit_version": "0"},
    }
    return json.dumps({**document, **changed})


def put_release(
    root: Path,
    name: str,
    version: str,
    day: int = 0,
    *,
    size: int = 1000,
    place: str = "models",
    **changed: object,
) -> Path:
    """Pushed `day` days after T0, on the host's and the device's clock."""
    folder = root / place / name / version
    folder.mkdir(parents=True)
    data = f"{name}@{version}".encode().ljust(size, b".")
    (folder / "model.tflite").write_bytes(data)
    at = f"{2000 + day // 300:04}-{1 + day // 25 % 12:02}-{1 + day % 25:02}T00:00:00.000Z"
    said = (
        version.split(".")[1] if version.startswith(".") else version
    )  # a staging folder's: what it will be
    text = manifest(name, said, data, **{"pushed_at": at, **changed})
    (folder / "manifest.json").write_text(text)
    dated(folder, T0 + day * 86_400)
    return folder


def put_many(root: Path, name: str, count: int, current: int | None = None) -> list[Path]:
    """v1, v2, ...; the last is active unless `current` says which."""
    folders = [put_release(root, name, f"v{i}", i) for i in range(1, count + 1)]
    activate(root, name, f"v{current or count}")
    return folders


def activate(root: Path, name: str, version: str) -> None:
    (root / "models" / name / "current").write_text(f"{version}\n")


def dated(path: Path, seconds: float) -> None:
    os.utime(path, (seconds, seconds))


def tree(root: Path) -> dict[str, bytes | str | None]:
    """All below, with contents; without what an agent that is up has there."""
    found: dict[str, bytes | str | None] = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if name in ("lease", "lease.lock") or name.startswith("run"):
            continue
        found[name] = (
            str(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else None
        )
    return found


def runtime(root: Path, name: str, *digits: str) -> list[Path]:
    """The digits' order is their age's: the last is the newest."""
    folders = [root / "runtimes" / name / (digit * 64) for digit in digits]
    for day, folder in enumerate(folders):
        folder.mkdir(parents=True)
        (folder / "library.so").write_bytes(bytes(5000))
        dated(folder, T0 + day * 86_400)
    return folders


def cut_off(path: Path, days: float = 3.0) -> Path:
    path.mkdir(parents=True)
    (path / ".model.tflite.ek-tmp").write_bytes(bytes(700))
    for each in (path / ".model.tflite.ek-tmp", path):
        dated(each, time.time() - days * 86_400)
    return path


def removed(result: GcResult) -> list[str]:
    return sorted(each.name for each in result.removed)
