"""A pytest plug-in that runs mutants: one process that has collected the tests, and a fork of it for each mutant.

mutmut makes the mutants and finds out which tests reach which function; its own runner starts pytest anew for every
mutant, which takes ten times as long as these tests do. Results go to the file MUTATION_RESULTS, as lines of JSON:
the mutant's name and what became of it (killed, survived, timeout, untested).
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

SLOWER = 10
"""A mutant that computes so many times as long as its tests usually take goes on for ever. Time of the processor, not of the
wall: on a busy machine a mutant that survives would else be taken for one that was killed."""
LEAST_S = 3
WAITS = 40
"""Of the wall's time, so many times more: no test waits, and a mutant that does so for ever ends all the same."""
KILLED, SURVIVED = 1, 0


def pytest_runtestloop(session: pytest.Session) -> bool:
    stats = json.loads(Path("mutmut-stats.json").read_text(encoding="utf-8"))
    items = {item.nodeid: item for item in session.items}
    durations = stats["duration_by_test"]
    jobs = int(os.environ["MUTATION_JOBS"])
    running: dict[int, str] = {}
    with open(os.environ["MUTATION_RESULTS"], "w", encoding="utf-8") as results:

        def note(name: str, state: str) -> None:
            results.write(json.dumps([name, state]) + "\n")
            results.flush()

        def reap() -> None:
            pid, status = os.wait()
            code = os.waitstatus_to_exitcode(status)
            states = {SURVIVED: "survived", -signal.SIGPROF: "timeout", -signal.SIGALRM: "timeout"}
            note(running.pop(pid), states.get(code, "killed"))

        began = time.monotonic()
        for number, name in enumerate(names := list(mutants())):
            reached = [
                node
                for node in stats["tests_by_mangled_function_name"].get(name.rpartition("__mutmut_")[0], ())
                if node in items
            ]
            if not reached:
                note(name, "untested")
                continue
            reached.sort(key=lambda node: durations[node])
            while len(running) >= jobs:
                reap()
            seconds = LEAST_S + SLOWER * sum(durations[node] for node in reached)
            running[fork(name, [items[node] for node in reached], int(seconds))] = name
            if number % 200 == 0:
                spent = time.monotonic() - began
                print(f"{number} of {len(names)} mutants, {spent:.0f} s", file=sys.__stderr__, flush=True)
        while running:
            reap()
    return True


def mutants() -> Iterator[str]:
    """Their names, as mutmut has them beside each mutated file."""
    for meta in sorted(Path("edgekit").rglob("*.py.meta")):
        yield from json.loads(meta.read_text(encoding="utf-8"))["exit_code_by_key"]


def fork(name: str, items: Sequence[pytest.Item], seconds: int) -> int:
    """The process that runs these tests with the mutant, until one fails."""
    if (pid := os.fork()) != 0:
        return pid
    code = KILLED
    try:
        for ending in (signal.SIGALRM, signal.SIGPROF):
            signal.signal(ending, signal.SIG_DFL)
        signal.alarm(seconds * WAITS)
        signal.setitimer(signal.ITIMER_PROF, seconds)
        os.environ["MUTANT_UNDER_TEST"] = name
        code = KILLED if any(fails(item) for item in items) else SURVIVED
    finally:
        os._exit(code)


def fails(item: pytest.Item) -> bool:
    """Without pytest's report, which takes the source of every function on the way apart: mutated files are long."""
    state = item.session._setupstate
    try:
        state.setup(item)
        item.runtest()
    except BaseException:
        return True
    finally:
        state.teardown_exact(None)
    return False
