"""Settings: flag > EDGEKIT_* > edgekit.yaml (found upward from here) > the user's file.

    device: pi                        # used where no -d is given
    profile: my-board.yaml            # used where no -p is given
    results: /data/edgekit.sqlite     # the store
    devices:
      pi: ssh://pi@rpi5
      bench: {address: "adb:0123", profile: pixel-8, root: /data/local/tmp/edgekit, sysroot: /mnt/recorded}

`sysroot` is put before every /sys and /proc/sys path of telemetry and knobs on that device: a recorded tree
can stand in for the real one.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from edgekit.cache import host_errors
from edgekit.errors import InputError

FILE_NAME = "edgekit.yaml"
MAX_CONFIG_BYTES = 1 << 20


class DeviceEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry of `devices:`."""

    address: str
    profile: str | None = None
    root: str | None = None
    sysroot: str | None = None


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one edgekit.yaml says, or all of them merged."""

    device: str | None = None
    profile: str | None = None
    results: str | None = None
    devices: dict[str, DeviceEntry | str] = {}

    def entry(self, name: str) -> DeviceEntry | None:
        """The entry of that name, a bare address made into one."""
        found = self.devices.get(name)
        return DeviceEntry(address=found) if isinstance(found, str) else found


def user_config_dir() -> Path:
    """`$XDG_CONFIG_HOME/edgekit`, else `~/.config/edgekit`."""
    base = os.environ.get("XDG_CONFIG_HOME")
    return (Path(base).expanduser() if base else Path.home() / ".config") / "edgekit"


def find_upward(start: Path) -> Path | None:
    """The nearest edgekit.yaml at or above `start`."""
    for folder in (start, *start.parents):
        if (folder / FILE_NAME).is_file():
            return folder / FILE_NAME
    return None


def read_config(path: Path) -> Config:
    """Read one file. Raises InputError E_CONFIG naming the file and what is wrong in it."""
    import yaml

    with host_errors(path):
        data = path.read_bytes()[: MAX_CONFIG_BYTES + 1]
    if len(data) > MAX_CONFIG_BYTES:
        raise InputError(f"{path} is larger than {MAX_CONFIG_BYTES} bytes", code="E_CONFIG")
    try:
        raw = yaml.load(data, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506  (a safe loader, in C)
        return _rooted(msgspec.convert(raw if raw is not None else {}, Config), path.parent)
    except (yaml.YAMLError, msgspec.ValidationError) as error:
        raise InputError(
            f"{path}: {error}", code="E_CONFIG", hint="keys: device, profile, results, devices"
        ) from error


def _rooted(config: Config, folder: Path) -> Config:
    """Files that a settings file names are meant from where it lies."""

    def file(text: str | None) -> str | None:
        is_path = text is not None and ("/" in text or text.endswith((".yaml", ".yml")))
        return str(folder / Path(text).expanduser()) if text is not None and is_path else text

    devices = {
        name: entry if isinstance(entry, str) else msgspec.structs.replace(entry, profile=file(entry.profile))
        for name, entry in config.devices.items()
    }
    results = None if config.results is None else str(folder / Path(config.results).expanduser())
    return Config(device=config.device, profile=file(config.profile), results=results, devices=devices)


def merge(over: Config, under: Config) -> Config:
    """`over` wins, entry by entry."""
    return Config(
        device=over.device or under.device,
        profile=over.profile or under.profile,
        results=over.results or under.results,
        devices={**under.devices, **over.devices},
    )


def load_config(start: Path | None = None) -> Config:
    """All settings that are not flags."""
    env = os.environ.get
    config = Config(
        device=env("EDGEKIT_DEVICE"), profile=env("EDGEKIT_PROFILE"), results=env("EDGEKIT_RESULTS")
    )
    project = find_upward(start or Path.cwd())
    user = user_config_dir() / FILE_NAME
    for path in (project, user):
        if path is not None and path.is_file():
            config = merge(config, read_config(path))
    return config
