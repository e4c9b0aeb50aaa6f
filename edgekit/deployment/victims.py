"""What `edgekit gc` deletes and why: decided from what lies there, the rules, and two clocks. Pure.

How age is judged: a release has two dates, `pushed_at` by the host's clock that pushed it and the folder's mtime by the
device's, and each is compared with the same kind of clock now. Either may be wrong (a board without a battery begins
in 1970), so the younger age of the two counts, and a date in the future is no age at all. Whatever clocks say, the
active release, the one that a rollback would go to, and what a process uses are kept: they are known by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from edgekit.devices.layout import is_candidates

Kind = Literal["release", "failed", "runtime", "agent", "staging", "garbage"]

CUT_OFF_SECONDS = 86_400.0
"""A push that was cut off can be taken up again for so long, and no `--recipe auto` takes longer."""
RUNTIMES_OF_A_NAME = 2


@dataclass(frozen=True)
class Item:
    """Something on the device. `rank`: orders those of one name, the newest last; `pushed_at_s`: the host's clock,
    None where it is not known; `mtime_s`: the device's; `kept_as`: why it stays whatever the rules say."""

    kind: Kind
    name: str
    version: str
    path: str
    mtime_s: float
    size_bytes: int = 0
    pushed_at_s: float | None = None
    rank: str = ""
    damaged: bool = False
    kept_as: str | None = None

    @property
    def label(self) -> str:
        separator = "@" if self.kind in ("release", "failed") else "/"
        return f"{self.name}{separator}{self.version}" if self.name else self.version


@dataclass(frozen=True)
class Rules:
    """`keep`: the newest so many of a name stay. `older_than_s`: what is younger stays as well. `max_bytes`: then the
    oldest go until the rest fits, be they new or many."""

    keep: int = 2
    older_than_s: float | None = None
    max_bytes: int | None = None


@dataclass(frozen=True)
class Now:
    """The same moment on both clocks, seconds since 1970."""

    host_s: float
    device_s: float


@dataclass(frozen=True)
class Victim:
    item: Item
    why: str


def age_s(item: Item, now: Now) -> float:
    """See the module. 0 for what seems to come from the future."""
    by_device = now.device_s - item.mtime_s
    by_host = now.host_s - item.pushed_at_s if item.pushed_at_s is not None else by_device
    return max(0.0, min(by_device, by_host))


def choose_victims(items: Sequence[Item], rules: Rules, now: Now) -> list[Victim]:
    """In the order in which they are deleted: garbage first, the newest release last."""
    free = [item for item in items if item.kept_as is None]
    candidates = [item for item in _of("release", items) if is_candidates(item.name)]
    chosen = [
        *(Victim(item, "left of a deletion that was cut off") for item in _of("garbage", free)),
        *(
            Victim(item, "a push that was cut off more than a day ago")
            for item in _of("staging", free)
            if age_s(item, now) > CUT_OFF_SECONDS
        ),
        *(Victim(item, "no agent that runs") for item in _of("agent", free)),
        *_old_runtimes(items),
        *_beyond(_of("failed", items), rules, now),
        *(
            Victim(item, "a candidate of --recipe auto that was left behind")
            for item in candidates
            if item.kept_as is None and age_s(item, now) > CUT_OFF_SECONDS
        ),
        *_beyond([item for item in _of("release", items) if item not in candidates], rules, now),
    ]
    return [*chosen, *_until_it_fits(items, {victim.item for victim in chosen}, rules, now)]


def _of(kind: Kind, items: Iterable[Item]) -> list[Item]:
    return [item for item in items if item.kind == kind]


def _by_name(items: Iterable[Item]) -> list[list[Item]]:
    """Each name's, the newest first."""
    ordered = sorted(items, key=lambda item: (item.name, item.rank, item.version), reverse=True)
    return [list(group) for _, group in groupby(ordered, key=lambda item: item.name)]


def _old_runtimes(items: Sequence[Item]) -> list[Victim]:
    """An edgekit of another version may have put them; its next push puts what it misses."""
    why = f"beyond the newest {RUNTIMES_OF_A_NAME} of its name"
    old = (item for group in _by_name(_of("runtime", items)) for item in group[RUNTIMES_OF_A_NAME:])
    return [Victim(item, why) for item in old if item.kept_as is None]


def _beyond(items: Sequence[Item], rules: Rules, now: Now) -> list[Victim]:
    """The oldest first. A damaged one helps nobody: it is not counted, and goes whatever its age."""
    chosen = [
        Victim(item, "damaged: its manifest cannot be read")
        for item in items
        if item.damaged and item.kept_as is None
    ]
    for group in _by_name(item for item in items if not item.damaged):
        for item in reversed(group[rules.keep :]):
            if item.kept_as is not None:
                continue
            if rules.older_than_s is None or age_s(item, now) > rules.older_than_s:
                chosen.append(Victim(item, f"beyond the newest {rules.keep} of its name"))
    return chosen


def _until_it_fits(items: Sequence[Item], gone: set[Item], rules: Rules, now: Now) -> list[Victim]:
    """Failed ones first, as nothing can use them; then releases; of each the oldest first."""
    if rules.max_bytes is None:
        return []
    left = sum(item.size_bytes for item in items if item not in gone)
    can_go = [
        item
        for item in items
        if item not in gone and item.kept_as is None and item.kind in ("failed", "release")
    ]
    chosen = []
    for item in sorted(
        can_go, key=lambda i: (i.kind == "release", -age_s(i, now), i.rank, i.name, i.version)
    ):
        if left <= rules.max_bytes:
            break
        left -= item.size_bytes
        chosen.append(Victim(item, "too much in all"))
    return chosen
