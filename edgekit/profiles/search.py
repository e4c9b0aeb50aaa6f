"""Where profiles are found: beside the file that extends them, in the user's folder, among the shipped ones."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from edgekit.cache import expanded, is_file
from edgekit.config import user_config_dir

SUFFIX: Final = ".yaml"


def user_folder() -> Path:
    """`$XDG_CONFIG_HOME/edgekit/profiles`, else `~/.config/edgekit/profiles`: a folder of edgekit's settings."""
    return user_config_dir() / "profiles"


def shipped_folder() -> Path:
    """The profiles that come with edgekit: inside the package when installed, in the tree of a checkout."""
    installed = Path(__file__).parent / "shipped"
    return installed if installed.is_dir() else Path(__file__).parents[2] / "device_profiles"


def profile_files() -> dict[str, Path]:
    """Every profile that a name can mean; the user's own comes before a shipped one of the same name."""
    found: dict[str, Path] = {}
    for folder in (user_folder(), shipped_folder()):
        try:
            names = sorted(path.name for path in folder.iterdir())
        except OSError:  # no such folder, or not ours to read: there are no profiles in it
            continue
        for name in names:
            if name.endswith(SUFFIX) and not name.startswith("."):
                found.setdefault(name.removesuffix(SUFFIX), folder / name)
    return found


def find_named(name: str) -> Path | None:
    """The file that a profile's name means."""
    for folder in (user_folder(), shipped_folder()):
        path = folder / f"{name}{SUFFIX}"
        if is_file(path):
            return path
    return None


def find_parent(name: str, child: Path) -> Path | None:
    """The file that `extends: name` means in `child`.

    A user's profile may extend the shipped one of its own name: the child itself is never its parent.
    A text with a slash or the suffix is a path, relative to the child.
    """
    if looks_like_path(name):
        path = child.parent / expanded(name, "extends")
        return path if is_file(path) else None
    for folder in (child.parent, user_folder(), shipped_folder()):
        path = folder / f"{name}{SUFFIX}"
        if is_file(path) and not _same(path, child):
            return path
    return None


def looks_like_path(text: str) -> bool:
    return "/" in text or text.endswith((".yaml", ".yml"))


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False
