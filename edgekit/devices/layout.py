"""Where things are on a device (docs/architecture.md, "On the device"). Pure: names in, paths out."""

from __future__ import annotations

import re
from dataclasses import dataclass

from edgekit.errors import InputError

LAYOUT_VERSION = 1
TEMPORARY_SUFFIX = ".ek-tmp"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,79}")


def checked_name(text: str, what: str) -> str:
    """`text` if it is safe as one path component, else InputError E_NAME.

    Names begin with a letter or digit, so that no name is hidden, an option, or a way out of the folder.
    """
    if not _NAME.fullmatch(text) or text.endswith(TEMPORARY_SUFFIX) or text in ("current", "current.log"):
        raise InputError(
            f"'{text}' cannot be a {what}",
            code="E_NAME",
            hint="letters, digits and . _ + - only, beginning with a letter or digit, at most 80",
        )
    return text


def name_from_file(stem: str) -> str:
    """A release name made of a file's stem: what is not allowed becomes '-'."""
    cleaned = re.sub(r"[^A-Za-z0-9._+-]+", "-", stem).strip("-._+")[:80]
    return checked_name(cleaned or "model", "release name")


def split_release(text: str) -> tuple[str, str | None]:
    """`NAME` or `NAME@VERSION`, both checked."""
    name, sep, version = text.partition("@")
    return checked_name(name, "release name"), checked_name(version, "version") if sep else None


def is_name(text: str) -> bool:
    """Whether `checked_name` would take it: what a device says is a name goes into paths and onto terminals."""
    try:
        checked_name(text, "name")
    except InputError:
        return False
    return True


def active_version(text: str | None) -> str | None:
    """What the file `current` names; None where there is no such file, or what it holds cannot be a version."""
    version = (text or "").strip()
    return version if is_name(version) else None


def is_layout(text: str) -> bool:
    """Whether this is what edgekit, of whatever version, writes into the file `layout`."""
    return re.fullmatch(r"[0-9]{1,9}\n?", text) is not None


@dataclass(frozen=True)
class Layout:
    """Paths below one root."""

    root: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", self.root.rstrip("/") or "/")

    def models(self) -> str:
        return f"{self.root}/models"

    def model(self, name: str) -> str:
        return f"{self.root}/models/{name}"

    def release(self, name: str, version: str) -> str:
        return f"{self.root}/models/{name}/{version}"

    def staging(self, name: str, version: str) -> str:
        """A release that is not complete: never read by an app, removed when found without a lease."""
        return f"{self.root}/models/{name}/.{version}{TEMPORARY_SUFFIX}"

    def current(self, name: str) -> str:
        return f"{self.root}/models/{name}/current"

    def manifest(self, name: str, version: str) -> str:
        return f"{self.release(name, version)}/manifest.json"

    def runtime(self, name: str, sha256: str) -> str:
        return f"{self.root}/runtimes/{name}/{sha256}"

    def runs(self) -> str:
        return f"{self.root}/run"

    def run(self, token: str) -> str:
        """Scratch of one measurement."""
        return f"{self.root}/run/{token}"

    def version_file(self) -> str:
        return f"{self.root}/layout"

    def kept(self) -> tuple[str, ...]:
        """Folders that are made only after the version file: without it they are somebody else's."""
        return tuple(f"{self.root}/{name}" for name in ("models", "run", "runtimes", "jobs"))
