"""Which profile fits a device. Pure but for `profile_heads`, which reads the shipped and the user's profiles."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct
from msgspec import inspect as mi

from edgekit.errors import Finding
from edgekit.profiles.check import Walk
from edgekit.profiles.facts import DeviceFacts
from edgekit.profiles.load import Reader, chain_of, merge_chain
from edgekit.profiles.nodes import MapNode, Scalar, read_nodes
from edgekit.profiles.schema import Match, Profile
from edgekit.profiles.search import profile_files, user_folder

WEIGHTS: Final = {
    "android_device": 100,
    "android_model": 100,
    "device_tree_model": 100,
    "device_tree_compatible": 100,
    "soc": 30,
    "cpu_part": 20,
    "android_manufacturer": 10,
    "kind": 5,
    "machine": 2,
    "abi": 1,
    "os": 1,
}
"""How much a fact says about which device this is: a board's name outweighs all that many boards share."""

_HEAD_KEYS: Final = frozenset({"name", "extends", "match"})


class Head(Struct, frozen=True):
    """The part of a profile that matching needs."""

    name: str
    match: Match
    path: str = ""
    own: bool = False
    """True for a profile in the user's folder: among equals it wins over a shipped one."""


class Candidate(Struct, frozen=True):
    """A profile that fits. `score` orders candidates (weight of the facts, letters of their globs, the
    user's own); `facts` are the ones that fitted."""

    name: str
    score: tuple[int, int, bool]
    facts: tuple[str, ...]


class MatchResult(Struct, frozen=True):
    """`name` is the profile to use: None where nothing fits, or where several fit equally (`ties`).

    `candidates` are all that fit, best first.
    """

    name: str | None
    candidates: tuple[Candidate, ...] = ()
    ties: tuple[str, ...] = ()


def match_profile(facts: DeviceFacts, profiles: Iterable[Head | Profile]) -> MatchResult:
    """The most specific of the profiles whose every given fact fits. A fact that is unknown fits nothing."""
    fitting = [one for head in profiles if (one := _candidate(facts, head)) is not None]
    if not fitting:
        return MatchResult(None)
    ordered = tuple(sorted(fitting, key=lambda one: ([-part for part in one.score], one.name)))
    best = [one.name for one in ordered if one.score == ordered[0].score]
    return MatchResult(best[0] if len(best) == 1 else None, ordered, tuple(best) if len(best) > 1 else ())


def _candidate(facts: DeviceFacts, head: Head | Profile) -> Candidate | None:
    weight = letters = 0
    fitted = []
    for name in head.match.__struct_fields__:
        wanted = getattr(head.match, name)
        if wanted is None:
            continue
        globs = (wanted,) if isinstance(wanted, str) else wanted
        fits = [glob for glob in globs for value in _values(facts, name) if fnmatchcase(value, glob)]
        if not fits:
            return None
        fitted.append(name)
        weight += WEIGHTS[name]
        letters += max(_literal_letters(glob) for glob in fits)
    own = getattr(head, "own", False)
    return Candidate(head.name, (weight, letters, own), tuple(fitted)) if fitted else None


def _literal_letters(glob: str) -> int:
    return sum(letter not in "*?" for letter in glob)


def _values(facts: DeviceFacts, name: str) -> Sequence[str]:
    """The values that a fact has: none where it is unknown."""
    if name == "device_tree_compatible":
        return facts.device_tree_compatible
    if name == "cpu_part":
        return [cpu.part for cpu in facts.cpus if cpu.part is not None]
    if name.startswith("android_"):
        value = getattr(facts.android, name.removeprefix("android_")) if facts.android else None
    else:
        value = getattr(facts, name)
    return [value] if value is not None else []


def profile_heads() -> list[Head]:
    """Name and match of every profile that has a match, the user's own before shipped ones of the same name.

    Only these parts are checked: a mistake elsewhere is found when the profile is loaded, and a file whose
    head is broken matches nothing (`edgekit profile check` says why).
    """
    kind = mi.type_info(Match)
    own = user_folder()
    heads = []

    @cache  # many profiles extend the same few
    def read(path: Path) -> tuple[MapNode | None, list[Finding]]:
        return read_nodes(path, _HEAD_KEYS)

    for path in profile_files().values():
        head = _read_head(path, kind, read, own=path.parent == own)
        if head is not None:
            heads.append(head)
    return heads


def _read_head(path: Path, kind: mi.Type, read: Reader, *, own: bool) -> Head | None:
    chain, findings = chain_of(path, read)
    if findings or not chain:
        return None
    merged = merge_chain(chain)
    name, match = merged.items.get("name"), merged.items.get("match")
    if name is None or match is None or not isinstance(name[1], Scalar):
        return None
    walk = Walk()
    values = walk.value(kind, match[1], "match")
    if walk.findings or not values:
        return None
    return Head(name[1].text, msgspec.convert(values, Match), str(path), own)
