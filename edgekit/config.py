"""Settings: flag > EDGEKIT_* > edgekit.yaml (found upward from here) > the user's file.

    device: pi                        # used where no -d is given
    profile: my-board.yaml            # used where no -p is given
    recipe: int8-mine.yaml            # tried first where no --recipe is given, before what the profile prefers
    results: /data/edgekit.sqlite     # the store; or postgresql://HOST/DATABASE, without a password
    devices:
      pi: ssh://pi@rpi5
      bench: {address: "adb:0123", profile: pixel-8, root: /data/local/tmp/edgekit, sysroot: /mnt/recorded}
      phone: {address: "adb:192.168.1.7:5555", usb_port: {location: "1-1", port: 2}}      # of uhubctl
    runtimes:                         # tools of your own (docs/runtimes.md)
      benchmark-model: {binary: ./benchmark_model, sha256: 0123..., version: "2.17"}
    meters:                           # power meters beside a device (docs/measuring.md)
      bench-supply: {command: [./read_supply, --json], boundary: board-input}     # `meter: bench-supply` of a device is wired to it

`sysroot` is put before every /sys and /proc/sys path of telemetry and knobs on that device: a recorded tree
can stand in for the real one.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from edgekit.cache import expanded, home_dir, host_errors, is_file
from edgekit.errors import InputError

FILE_NAME = "edgekit.yaml"
MAX_CONFIG_BYTES = 1 << 20
MAX_DEPTH = 12


class UsbPort(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The port of a USB hub that a device hangs on, as `uhubctl` names it; its power can be cut (`bench --charging off`)."""

    location: Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,3}(-[0-9]{1,3}(\.[0-9]{1,3})*)?$")]
    port: Annotated[int, msgspec.Meta(ge=1, le=255)]


class DeviceEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry of `devices:`."""

    address: str
    profile: str | None = None
    recipe: str | None = None
    root: str | None = None
    sysroot: str | None = None
    usb_port: UsbPort | None = None
    meter: str | None = None
    """What tells its power where no --meter is given: one of `meters:`, which is wired to it, or any other."""


class RuntimeEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry of `runtimes:`: a tool that the user brings.

    `binary`: a program on this host that is put on devices, `sha256` what it must be; `version` as its owner says
    it; `generation`: whose flags it has; `result_file`: whether it knows `--result_file_path` (builds since 2025, with
    more digits than their text). `program`: the name or path of a tool that is on the device already.
    """

    binary: str | None = None
    sha256: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")] | None = None
    version: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,39}$")] | None = None
    generation: Literal["tflite", "litert"] = "tflite"
    result_file: bool = False
    program: str | None = None


class MeterEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry of `meters:`: a power meter beside the device, whose readings this host sees as lines.

    `command` prints them, or `file` grows by them. `columns`: names of its columns to edgekit's (`Current(uA): current_ua`);
    `voltage`: of a meter that tells its current only; `boundary`: what it is wired to; `excluded`: what is not behind it;
    `start_timeout`: until its first readings are there; `late`: by how much they may come late."""

    command: tuple[str, ...] = ()
    file: str | None = None
    columns: dict[str, str] = {}
    voltage: str | None = None
    boundary: str = "board-input"
    excluded: str | None = None
    start_timeout: str = "10s"
    late: str = "30s"


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one edgekit.yaml says, or all of them merged."""

    device: str | None = None
    profile: str | None = None
    recipe: str | None = None
    results: str | None = None
    devices: dict[str, DeviceEntry | str] = {}
    runtimes: dict[str, RuntimeEntry] = {}
    meters: dict[str, MeterEntry] = {}

    def entry(self, name: str) -> DeviceEntry | None:
        """The entry of that name, a bare address made into one."""
        found = self.devices.get(name)
        return DeviceEntry(address=found) if isinstance(found, str) else found


def user_config_dir() -> Path:
    """`$XDG_CONFIG_HOME/edgekit`, else `~/.config/edgekit`. Raises HostError E_HOME where '~' means nothing."""
    name = "XDG_CONFIG_HOME"
    base = os.environ.get(name)
    return (expanded(base, name) if base else home_dir(name) / ".config") / "edgekit"


def find_upward(start: Path) -> Path | None:
    """The nearest edgekit.yaml at or above `start`."""
    for folder in (start, *start.parents):
        if is_file(folder / FILE_NAME):
            return folder / FILE_NAME
    return None


def read_config(path: Path) -> Config:
    """Read one file. Raises InputError E_CONFIG naming the file and what is wrong in it."""
    import yaml

    with host_errors(path), open(path, "rb") as file:
        data = file.read(MAX_CONFIG_BYTES + 1)
    if len(data) > MAX_CONFIG_BYTES:
        raise InputError(f"{path} is larger than {MAX_CONFIG_BYTES} bytes", code="E_CONFIG")
    try:
        config = msgspec.convert(_load(data), Config)
    except (yaml.YAMLError, ValueError) as error:  # of msgspec too; of a date or a number that cannot be
        raise InputError(
            f"{path}: {error}",
            code="E_CONFIG",
            hint="keys: device, profile, recipe, results, devices, runtimes, meters",
        ) from error
    return _rooted(config, path.parent)


def _load(data: bytes) -> Any:
    """The YAML as plain values. Nesting is counted first, on events: the loader recurses in C, without a limit.

    Raises yaml.YAMLError, ValueError.
    """
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # safe loaders both, the first one in C
    depth = 0
    for event in yaml.parse(data, Loader=loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.AliasEvent):  # a few lines of them can unfold into more than memory holds
            raise ValueError("aliases (*name) are not for edgekit.yaml")
        elif tag := getattr(event, "tag", None):  # the loader stumbles over some that do not fit
            raise ValueError(f"tags ({tag}) are not for edgekit.yaml")
        elif isinstance(event, yaml.ScalarEvent) and "\0" in event.value:
            raise ValueError("a value holds the character NUL")
        if depth > MAX_DEPTH:
            raise ValueError(f"nested deeper than {MAX_DEPTH} levels")
    raw = yaml.load(data, Loader=loader)  # noqa: S506
    return {} if raw is None else raw


def _rooted(config: Config, folder: Path) -> Config:
    """Files that a settings file names are meant from where it lies."""

    def file(text: str | None) -> str | None:
        is_path = text is not None and ("/" in text or text.endswith((".yaml", ".yml")))
        return str(folder / expanded(text, "the file")) if text is not None and is_path else text

    devices = {
        name: entry
        if isinstance(entry, str)
        else msgspec.structs.replace(entry, profile=file(entry.profile), recipe=file(entry.recipe))
        for name, entry in config.devices.items()
    }
    results = config.results
    if results is not None and "://" not in results:
        results = str(folder / expanded(results, "results"))
    runtimes = {
        name: msgspec.structs.replace(entry, binary=str(folder / expanded(entry.binary, "the binary")))
        if entry.binary is not None
        else entry
        for name, entry in config.runtimes.items()
    }
    meters = {
        name: msgspec.structs.replace(
            entry,
            command=tuple(
                str(folder / expanded(word, "the command")) if index == 0 and "/" in word else word
                for index, word in enumerate(entry.command)
            ),
            file=str(folder / expanded(entry.file, "the file")) if entry.file is not None else None,
        )
        for name, entry in config.meters.items()
    }
    return Config(
        device=config.device,
        profile=file(config.profile),
        recipe=file(config.recipe),
        results=results,
        devices=devices,
        runtimes=runtimes,
        meters=meters,
    )


def merge(over: Config, under: Config) -> Config:
    """`over` wins, entry by entry."""
    return Config(
        device=over.device or under.device,
        profile=over.profile or under.profile,
        recipe=over.recipe or under.recipe,
        results=over.results or under.results,
        devices={**under.devices, **over.devices},
        runtimes={**under.runtimes, **over.runtimes},
        meters={**under.meters, **over.meters},
    )


def load_config(start: Path | None = None) -> Config:
    """All settings that are not flags."""
    env = os.environ.get
    results = env("EDGEKIT_RESULTS")
    config = Config(
        device=env("EDGEKIT_DEVICE"),
        profile=env("EDGEKIT_PROFILE"),
        recipe=env("EDGEKIT_RECIPE"),
        results=_place(results) if results else None,
    )
    project = find_upward(start) if (start := start or _here()) else None
    user = user_config_dir() / FILE_NAME
    for path in (project, user):
        if path is not None and is_file(path):
            config = merge(config, read_config(path))
    return config


def _place(results: str) -> str:
    """A file with its `~` replaced, or a database's URL as it is."""
    return results if "://" in results else str(expanded(results, "EDGEKIT_RESULTS"))


def _here() -> Path | None:
    """The current folder, None where it was deleted."""
    try:
        return Path.cwd()
    except OSError:
        return None
