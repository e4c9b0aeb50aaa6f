"""D1.2: a simulated device answers as the real agent does: the same requests to both, the answers compared."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edgekit.addresses import parse
from edgekit.agent import requests as rq
from edgekit.agent.answers import Content, Entry, FileStat, GlobEntry, Opened
from edgekit.agent.bootstrap import connect_agent
from edgekit.agent.client import AgentClient
from edgekit.agent.encoding import patch_file
from edgekit.agent.failures import RemoteFileError
from edgekit.agent.protocol import Encoding
from edgekit.agent.transfer import PutSpec
from edgekit.errors import EdgekitError
from edgekit.transports import connect
from edgekit.transports.sim.transport import forget
from tests.agent.starting import agent
from tests.sim.devices import address

NAMES = ("a", "b", "c.txt", ".hidden", ".d.ek-tmp")
CONTENTS = [b"", b"x", bytes(range(256)) * 40, random.Random(3).randbytes(5000)]


@dataclass(frozen=True)
class Pair:
    real: AgentClient
    sim: AgentClient

    def ask(self, work: Callable[[AgentClient], Any]) -> None:
        """Both give the same answer, or the same error."""
        assert _outcome(self.real, work) == _outcome(self.sim, work)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    where = address()
    with (
        agent(tmp_path / "root") as real,
        connect_agent(connect(where, timeout=5), root="/home/sim/root") as sim,
    ):
        for each in (real, sim):
            each.mkdir(each.root)
            each.remove(f"{each.root}/agent", recursive=True)
        yield Pair(real, sim)
    forget(parse(where))


def _outcome(client: AgentClient, work: Callable[[AgentClient], Any]) -> Any:
    try:
        return _plain(work(client), client.root)
    except EdgekitError as error:
        number = error.errno if isinstance(error, RemoteFileError) else None
        return type(error).__name__, error.code, number, error.transient


def _plain(answer: Any, root: str) -> Any:
    """What both must agree in: no times, no numbers of the file system, no order where there is none."""
    if isinstance(answer, FileStat):
        return oct(answer.mode), answer.size_bytes if answer.is_file else None, answer.sha256
    if isinstance(answer, Content):
        return answer.path.removeprefix(root), answer.errno, answer.data, answer.truncated
    if isinstance(answer, Entry):
        return answer.name, oct(answer.mode), None if answer.is_dir else answer.size_bytes
    if isinstance(answer, GlobEntry):
        size = None if answer.is_dir else answer.size_bytes
        return (
            answer.path.removeprefix(root),
            oct(answer.mode),
            size,
            answer.errno,
            answer.data,
            answer.truncated,
        )
    if isinstance(answer, Opened):
        return answer.used
    if isinstance(answer, tuple) and answer and isinstance(answer[0], Entry | GlobEntry):
        return sorted(map(str, (_plain(each, root) for each in answer)))
    if isinstance(answer, list | tuple):
        return [_plain(each, root) for each in answer]
    return answer


def _path(dice: random.Random) -> Callable[[str], str]:
    parts = [dice.choice(NAMES) for _ in range(dice.randint(1, 3))]
    return lambda root: "/".join([root, *parts])


def _request(dice: random.Random) -> Callable[[str], rq.AnyRequest]:
    """A simple request, to be made for a root."""
    one, two = _path(dice), _path(dice)
    content, mode = dice.choice(CONTENTS), dice.choice([0o644, 0o755, 0o600])
    flags = [dice.random() < 0.5 for _ in range(3)]
    pattern = "/".join(dice.choice(["*", "a", ".*", "[ab]", "?", "*.txt"]) for _ in range(dice.randint(1, 3)))
    kinds: list[Callable[[str], rq.AnyRequest]] = [
        lambda root: rq.stat(one(root), sha256=flags[0], missing_ok=flags[1]),
        lambda root: rq.read([one(root), two(root)], max_bytes=dice.choice([4096])),
        lambda root: rq.write(one(root), content, mode=mode),
        lambda root: rq.mkdir(one(root), mode=0o755),
        lambda root: rq.rename(one(root), two(root), exchange=flags[0] and flags[1], replace=flags[2]),
        lambda root: rq.chmod(one(root), mode),
        lambda root: rq.remove(one(root), recursive=flags[0], missing_ok=flags[1]),
        lambda root: rq.list_dir(one(root)),
        lambda root: rq.fsync(one(root)),
        lambda root: rq.glob([f"{root}/{pattern}"], max_bytes=100),
        lambda root: rq.opened([one(root)]),
    ]
    return dice.choice(kinds)


def _spec(dice: random.Random, tmp_path: Path) -> Callable[[AgentClient], PutSpec]:
    """One file at a time: where one of several fails the others are cut off, at a moment that is not the same twice."""
    target, base = _path(dice), _path(dice)
    content = dice.choice(CONTENTS)
    encoding: Encoding = dice.choice(["raw", "zstd", "patch", "copy"])
    there = dice.choice(CONTENTS)
    digest = hashlib.sha256(content if dice.random() < 0.8 else b"other").hexdigest()
    keep, offset = dice.random() < 0.5, dice.choice([0, 0, 1, 200])
    keep = keep and not offset
    wire = None
    if encoding == "patch":
        wire = tmp_path / f"patch-{dice.random()}"
        patch_file(content, there, wire, offset=min(offset, len(content)))
    return lambda client: PutSpec(
        source=content,
        remote=target(client.root),
        sha256=digest,
        keep_partial=keep,
        resume_from=min(offset, len(content)),
        encoding=encoding,
        base=base(client.root) if encoding in ("patch", "copy") else None,
        wire=wire,
    )


@pytest.mark.parametrize("seed", range(12))
def test_the_same_requests_get_the_same_answers(pair: Pair, tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    for _ in range(250):
        if dice.random() < 0.2:
            spec, then = _spec(dice, tmp_path), _request(dice)
            pair.ask(lambda c, spec=spec, then=then: c.put_many([spec(c)], then=[then(c.root)]))  # type: ignore[misc]
        elif dice.random() < 0.3:
            items = [_request(dice) for _ in range(dice.randint(0, 4))]
            pair.ask(lambda c, items=items: c.batch([item(c.root) for item in items]))  # type: ignore[misc]
        else:
            request = _request(dice)
            pair.ask(lambda c, request=request: c.call(request(c.root)))  # type: ignore[misc]
    pair.ask(lambda c: c.glob([f"{c.root}/{stars}" for stars in ("*", "*/*", "*/*/*")], max_bytes=5000))


def test_paths_that_lead_out(pair: Pair) -> None:
    pair.ask(lambda c: c.write(f"{c.root}/f", b"content"))
    for work in (
        lambda c: c.glob([f"{c.root}/../*"]),
        lambda c: c.glob(["relative/*"]),
        lambda c: c.glob(["/*"]),
        lambda c: c.glob([f"{c.root}/none/*"]),
        lambda c: c.remove("/", recursive=True),
        lambda c: c.remove(f"{c.root}/../..", recursive=True),
        lambda c: c.remove(c.root, recursive=True),
        lambda c: c.get(f"{c.root}/f", offset=3, length=2),
        lambda c: c.get(f"{c.root}/none"),
        lambda c: c.get(c.root),
        lambda c: c.knob_set("relative", b"1"),
        lambda c: c.knob_set(f"{c.root}/none", b"1"),
        lambda c: c.lease_renew(),
        lambda c: c.lease_release(),
        lambda c: c.run([f"{c.root}/none"]),
        lambda c: c.run([f"{c.root}/f"]),
        lambda c: c.run(["true"], cwd=f"{c.root}/none"),
        lambda c: c.job_status("none"),
        lambda c: c.job_kill("none"),
        lambda c: c.job_start("../out", ["true"]),
    ):
        pair.ask(work)
