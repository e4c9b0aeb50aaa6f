"""Where things are on a device (docs/architecture.md, "On the device"). Pure: names in, paths out."""

from __future__ import annotations

import re
from dataclasses import dataclass

from edgekit.names import GONE_SUFFIX, TEMPORARY_SUFFIX, checked_name, is_name

LAYOUT_VERSION = 1


def name_from_file(stem: str) -> str:
    """A release name made of a file's stem: what is not allowed becomes '-'."""
    cleaned = re.sub(r"[^A-Za-z0-9._+-]+", "-", stem).strip("-._+")[:80]
    return checked_name(cleaned or "model", "release name")


def candidates_name(token: str) -> str:
    """What the candidates of one `--recipe auto` are called while they are on a device; `token`: 8 hexadecimal digits."""
    return f"auto-candidates-{token}"


def is_candidates(name: str) -> bool:
    return re.fullmatch(r"auto-candidates-[0-9a-f]{8}", name) is not None


def split_release(text: str) -> tuple[str, str | None]:
    """`NAME` or `NAME@VERSION`, both checked."""
    name, sep, version = text.partition("@")
    return checked_name(name, "release name"), checked_name(version, "version") if sep else None


def active_version(text: str | None) -> str | None:
    """What the file `current` names; None where there is no such file, or what it holds cannot be a version."""
    version = (text or "").strip()
    return version if is_name(version) else None


def gone_path(path: str) -> str:
    """The name that a file or folder has from when its deletion begins, beside where it was."""
    folder, _, name = path.rpartition("/")
    return f"{folder}/.{name}{GONE_SUFFIX}"


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

    def staging(self, name: str, version: str, content: str) -> str:
        """A release that is not complete: never read by an app. `content`: 12 hex digits of what is pushed, so that
        a push that is taken up again finds its own, and no other's."""
        return f"{self.root}/models/{name}/.{version}.{content}{TEMPORARY_SUFFIX}"

    def gone(self, name: str, version: str) -> str:
        """What a release is renamed to when it is deleted."""
        return gone_path(self.release(name, version))

    def gone_name(self, name: str) -> str:
        """What all of a name is renamed to when it is deleted."""
        return gone_path(self.model(name))

    def gone_patterns(self) -> tuple[str, ...]:
        """Glob patterns of all that a deletion was cut off at: whoever holds the lease may remove it."""
        folders = ("models", "models/*", "failed", "failed/*", "runtimes", "runtimes/*", "agent")
        return tuple(f"{self.root}/{folder}/.*{GONE_SUFFIX}" for folder in folders)

    def pattern(self, path: str) -> str:
        """A path as a glob pattern that matches it and nothing else. The root is taken as it is anyway."""
        return self.root + re.sub(r"([*?\[\\])", r"\\\1", path.removeprefix(self.root))

    def failed(self) -> str:
        """Releases that did not pass, kept aside with the reason: never read by an app, never active."""
        return f"{self.root}/failed"

    def failed_release(self, name: str, version: str) -> str:
        return f"{self.root}/failed/{name}/{version}"

    def journal(self) -> str:
        """What is under way; read at the next connect."""
        return f"{self.root}/journal"

    def current(self, name: str) -> str:
        return f"{self.root}/models/{name}/current"

    def manifest(self, name: str, version: str) -> str:
        return f"{self.release(name, version)}/manifest.json"

    def runtimes(self) -> str:
        return f"{self.root}/runtimes"

    def runtime(self, name: str, sha256: str) -> str:
        return f"{self.root}/runtimes/{name}/{sha256}"

    def agents(self) -> str:
        return f"{self.root}/agent"

    def runs(self) -> str:
        return f"{self.root}/run"

    def run(self, token: str) -> str:
        """Scratch of one measurement."""
        return f"{self.root}/run/{token}"

    def version_file(self) -> str:
        return f"{self.root}/layout"

    def kept(self) -> tuple[str, ...]:
        """Folders that are made only after the version file: without it they are somebody else's."""
        return tuple(f"{self.root}/{name}" for name in ("models", "run", "runtimes", "jobs", "failed"))
