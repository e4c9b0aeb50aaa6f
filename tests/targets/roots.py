"""File trees that targets run in, made once and kept in the cache under a hash of all that shapes them.

`folder(recipe)` gives the tree (`make` outside of a test), and makes it first where it is not there. A tree is
made beside its place and renamed; a lock keeps two test processes from making the same one. Nobody writes into a
finished tree.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.targets.cachefolder import test_roots
from tests.targets.sandbox import why_not

DONE = "recipe.json"
"""Written last; a folder without it is not finished."""
BUILD_TIMEOUT_S = 600.0
_EXCLUDED = ("doc", "man", "locale", "info", "lintian")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """`build(target, needed)` fills the folder `target`; `needed` are the finished trees of `needs`.

    The hash is of `inputs` (texts), the bytes of `sources` (files) and the hashes of `needs`.
    """

    name: str
    build: Callable[[Path, Sequence[Path]], None]
    inputs: tuple[str, ...] = ()
    sources: tuple[Path, ...] = ()
    needs: tuple[Recipe, ...] = ()
    tools: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        parts = [self.name, *self.inputs]
        parts += [hashlib.sha256(path.read_bytes()).hexdigest() for path in self.sources]
        parts += [needed.key for needed in self.needs]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


class Unavailable(Exception):
    """A tree cannot be made here: not root, not Debian, a tool is missing, or the archive is out of reach."""


_unavailable: dict[str, str] = {}
"""Key to reason: an archive that does not answer is asked once, not by every test."""


def folder(recipe: Recipe) -> Path:
    """The finished tree of a recipe. Skips the test where it cannot be had."""
    try:
        return make(recipe)
    except Unavailable as reason:
        pytest.skip(str(reason))


def make(recipe: Recipe) -> Path:
    """The finished tree of a recipe, made now if it is not there. Raises Unavailable."""
    place = test_roots() / recipe.key
    if (place / DONE).exists():
        return place
    if recipe.key in _unavailable:
        raise Unavailable(_unavailable[recipe.key])
    if reason := why_not(*recipe.tools, root=True):
        raise Unavailable(reason)
    needed = [make(other) for other in recipe.needs]
    with _locked(test_roots() / f"{recipe.key}.lock"):
        if not (place / DONE).exists():
            try:
                _make(recipe, place, needed)
            except Unavailable as reason:
                _unavailable[recipe.key] = str(reason)
                raise
    return place


def _make(recipe: Recipe, place: Path, needed: Sequence[Path]) -> None:
    unfinished = place.with_name(f"{place.name}.unfinished")
    for leftover in (unfinished, place):
        if leftover.exists():
            shutil.rmtree(leftover)
    unfinished.mkdir(mode=0o755)
    began = time.monotonic()
    recipe.build(unfinished, needed)
    about = {"name": recipe.name, "key": recipe.key, "seconds": round(time.monotonic() - began, 1)}
    (unfinished / DONE).write_text(json.dumps(about), encoding="utf-8")
    unfinished.rename(place)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with open(path, "w", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def debian(name: str, suite: str, arch: str, packages: Sequence[str]) -> Recipe:
    """The files of Debian packages and what they depend on, unpacked into `root`; no script of theirs is run."""

    def build(target: Path, needed: Sequence[Path]) -> None:
        uri = mirror()
        command = ["mmdebstrap", "--quiet", f"--arch={arch}", "--variant=extract", "--mode=root"]
        command += [f"--include={','.join(packages)}"]
        command += [f"--aptopt={option}" for option in ('Acquire::Languages "none"', *_apt_settings())]
        command += [f"--dpkgopt=path-exclude=/usr/share/{folder}/*" for folder in _EXCLUDED]
        command += [suite, str(target / "root"), f"deb {uri} {suite} main"]
        done = subprocess.run(command, capture_output=True, timeout=BUILD_TIMEOUT_S, check=False)
        if done.returncode != 0:
            said = done.stderr.decode(errors="replace").strip()[-2000:]
            raise Unavailable(f"mmdebstrap could not fetch {name} from {uri}:\n{said}")

    inputs = (suite, arch, *sorted(packages))
    tools = ("mmdebstrap", "apt-get", "arch-test")
    return Recipe(name=name, build=build, inputs=inputs, tools=tools)


def mirror() -> str:
    """The Debian archive that this machine's apt uses (any suite of it: one archive serves all suites)."""
    if not Path("/usr/bin/apt-get").exists():
        raise Unavailable("needs Debian's apt")
    command = ["apt-get", "indextargets", "--format", "$(COMPONENT) $(REPO_URI)", "Created-By: Packages"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    for line in done.stdout.splitlines():
        component, _, uri = line.partition(" ")
        if component == "main" and uri.rstrip("/").endswith("/debian"):
            return uri.rstrip("/")
    raise Unavailable(
        "this machine's apt sources name no Debian archive (.../debian with the component main)"
    )


def _apt_settings() -> list[str]:
    """This machine's settings of how apt fetches (proxy, date checks); mmdebstrap does not read them."""
    done = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, timeout=30, check=True)
    wanted = ("Acquire::http::Proxy ", "Acquire::https::Proxy ", "Acquire::Check-", "Acquire::Retries ")
    return [line.rstrip(";") for line in done.stdout.splitlines() if line.startswith(wanted)]


def finished() -> list[tuple[str, str, int]]:
    """(name, key, bytes on disk) of every finished tree in the cache."""
    found = []
    for about in sorted(test_roots().glob(f"*/{DONE}")):
        facts = json.loads(about.read_text("utf-8"))
        found.append((facts["name"], facts["key"], _disk_bytes(about.parent)))
    return found


def _disk_bytes(top: Path) -> int:
    total = 0
    for base, _, names in os.walk(top):
        total += sum(Path(base, name).lstat().st_blocks * 512 for name in names)
    return total
