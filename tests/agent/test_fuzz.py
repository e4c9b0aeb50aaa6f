"""The fuzzer of the agent's protocol (C1-b3): a short run finds nothing, and it does find what is there."""

from __future__ import annotations

import importlib.util
import os
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.agent.starting import CHECKED, REPOSITORY, built

CORPUS = REPOSITORY / "tests" / "agent" / "corpus"
needs_jail = pytest.mark.skipif(
    os.getuid() != 0 or shutil.which("unshare") is None, reason="a jail needs root's rights and unshare"
)


def _fuzz(repository: Path, *arguments: str, seconds: float = 200) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, str(repository / "scripts" / "fuzz_agent"), *arguments]
    return subprocess.run(argv, capture_output=True, text=True, timeout=seconds, check=False, cwd=REPOSITORY)


@pytest.fixture(scope="module")
def frames() -> ModuleType:
    path = REPOSITORY / "scripts" / "lib" / "fuzz_frames.py"
    spec = importlib.util.spec_from_file_location("fuzz_frames", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


@needs_jail
def test_a_short_run_finds_nothing(tmp_path: Path) -> None:
    """Every type of frame is sent, and the agent is alive or ended as it should after each case."""
    built(CHECKED)
    done = _fuzz(REPOSITORY, "--minutes", "0.33", "--seed", "5", "--findings", str(tmp_path / "found"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert not (tmp_path / "found").exists()
    assert "frame types never sent: none" in done.stdout
    cases = re.search(r"(\d+) cases in", done.stdout)
    answers = re.search(r"different answers: (\d+); findings: 0", done.stdout)
    assert cases is not None
    assert answers is not None
    assert int(cases[1]) > 60, "on a machine ten times slower than usual"
    assert int(answers[1]) > 50


PLANTED = {
    "sanitizer report": (
        "glob.c",
        "    w->len = 0;",
        "    char copy[16];\n    strcpy(copy, pattern);\n    if (!realpath(copy, real)) errno = 0;\n    w->len = 0;",
    ),
    "files outside of ROOT changed": (
        "tree.c",
        "(flags & REMOVE_INSIDE_ROOT) && !inside_root(path)",
        "(flags & REMOVE_INSIDE_ROOT) && !inside_root(path) && strncmp(path, agent.root, 3)",
    ),
    "hang": (
        "glob.c",
        "    if (!under_root(real)) return EPERM;",
        "    if (!under_root(real)) return EPERM;\n    kill(getppid(), 19);",
    ),
}


@needs_jail
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", PLANTED)
def test_what_is_planted_is_found_and_shown_again(kind: str, tmp_path: Path) -> None:
    """Were it blind for one of these, a run without findings would say nothing."""
    built(CHECKED)
    copy = tmp_path / "copy"
    for folder in ("scripts", "native/agent", "tests/agent/corpus"):
        shutil.copytree(REPOSITORY / folder, copy / folder)
    name, sound, broken = PLANTED[kind]
    source = copy / "native" / "agent" / name
    assert sound in source.read_text()
    source.write_text(source.read_text().replace(sound, broken))
    found = tmp_path / "found"
    for minutes in ("0.5", "4"):  # a busy machine gets to few cases in the usual time
        done = _fuzz(copy, "--minutes", minutes, "--seed", "5", "--findings", str(found), seconds=400)
        if done.returncode:
            break
    assert done.returncode == 1, done.stdout + done.stderr
    assert (found / "0.txt").read_text().startswith(kind)
    again = _fuzz(copy, "--replay", str(found / "0.bin"))
    assert again.returncode == 1
    assert kind in again.stdout


@needs_jail
@pytest.mark.parametrize("name", sorted(path.name for path in CORPUS.glob("*.bin")))
def test_kept_conversations_are_of_today(name: str) -> None:
    """Not one is refused as malformed: else the fuzzer would start from nonsense."""
    built(CHECKED)
    done = _fuzz(REPOSITORY, "--replay", str(CORPUS / name))
    assert done.stdout.endswith("nothing wrong: exit 0\n"), done.stdout + done.stderr
    answers = [line for line in done.stdout.splitlines() if line.startswith(("0x80", "0x81"))]
    assert len(answers) > 1, "each is answered, and what is behind it"
    if name.startswith("put-"):
        assert not [line for line in answers if line.startswith("0x81")], done.stdout


def test_corpus_is_what_the_requests_make(tmp_path: Path) -> None:
    """A changed protocol has a changed corpus: fuzz_agent --write-corpus."""
    done = _fuzz(REPOSITORY, "--write-corpus", "--corpus", str(tmp_path))
    assert done.returncode == 0, done.stderr
    made = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    kept = {path.name: path.read_bytes() for path in CORPUS.iterdir() if not path.name.startswith("found-")}
    assert made == kept
    assert sum(map(len, kept.values())) < 100_000


def test_frames_are_taken_apart_and_put_together(frames: ModuleType) -> None:
    for path in CORPUS.glob("*.bin"):
        stream = path.read_bytes()
        parts = frames.split(stream)
        assert b"".join(frame.pack() for frame in parts) == stream
        for frame in parts:
            fields = frames.take_apart(frame.type, frame.payload)
            assert fields is not None, (path.name, frame)
            assert frames.put_together(frame.type, fields) == frame.payload


def test_nothing_harmful_is_started(frames: ModuleType) -> None:
    """Whatever a mutation makes of a RUN or a JOB_START, also in a batch, the program is /bin/true or none."""
    rng = random.Random(1)
    streams = [frames.split(path.read_bytes()) for path in sorted(CORPUS.glob("*.bin"))]
    started = 0
    for _ in range(3000):
        case = frames.mutated(rng, rng.choice(streams), rng.choice(streams))
        for frame in case:
            fields = frames.take_apart(frame.type, frame.payload)
            items = [(frame.type, frame.payload)]
            if frame.type == frames.BATCH and fields is not None:
                items = fields[1]
            for kind, payload in items:
                inner = frames.take_apart(kind, payload)
                if kind in (frames.RUN, frames.JOB_START) and inner is not None:
                    argv = inner[0 if kind == frames.RUN else 1]
                    assert not argv or argv[0] in (b"/bin/true", b"/nowhere/at/all")
                    started += bool(argv)
    assert started > 50


def test_without_rights_it_says_what_is_needed(tmp_path: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("root gives its rights up for this")
    built(CHECKED)
    script = REPOSITORY / "scripts" / "lib"
    code = (
        f"import os, sys; sys.path.insert(0, {str(script)!r}); import fuzz_target; from pathlib import Path; "
        "os.setuid(65534); fuzz_target.make_jail(Path('/nowhere'), Path('/nowhere'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert "root's rights are needed" in done.stderr
