#!/usr/bin/env python3
"""How fast a results store answers, on SQLite and on a real PostgreSQL, from 1,000 to 1,000,000 runs (D3-b1).

    python benchmarks/store.py [--runs 1000,10000,100000,1000000] [--calls 60] [--databases sqlite,postgresql]

Prints Markdown. Each query is asked `--calls` times with other arguments, in a random order among the other queries; the
table has the 95th percentile of each, and its median. `processor share`: of the time of all calls, what this process got
of a processor; on SQLite, where nobody else works on a query, less than nine tenths says that the machine was busy. Insertion is `Store.add_many` of whole records with their samples, in batches, their
encoding, hashing and compression included, the median of five rounds; the load of a large store is not: its rows are made in bulk.
"""

from __future__ import annotations

import argparse
import gc
import math
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.postgres_here import Cluster, cluster
from benchmarks.store_runs import BEGIN, DEVICES, MODELS, MONTHS, entries, runs
from edgekit.benchmarking.difference import difference
from edgekit.benchmarking.gates import check_gate, parse_gate
from edgekit.results.adding import add_entries, batches
from edgekit.results.database import migrate
from edgekit.results.place import place_of
from edgekit.results.select import Cursor
from edgekit.results.store import Store

P95_BAR_MS = 100.0
INSERT_BAR_PER_S = 2000.0
Query = Callable[[Store, random.Random], object]


def fill(store: Store, count: int, seed: int = 1, *, samples: bool = True) -> float:
    """Load `count` generated runs; seconds. Without samples it is twice as fast, and all but reports ask the same rows."""
    begin = time.perf_counter()
    for some in batches(entries(count, seed, samples=samples), 2000):
        with store.database.writing() as connection:
            add_entries(connection, some)
    analyze(store)
    return time.perf_counter() - begin


def analyze(store: Store) -> None:
    """What PostgreSQL's autovacuum does by itself within a minute."""
    if not store.place.is_sqlite:
        with store.database.writing() as connection:
            connection.exec_driver_sql("ANALYZE")


def insertion_per_s(store: Store, count: int = 2000, rounds: int = 5, seed: int = 99) -> float:
    """Whole records a second through `add_many`: the median of the rounds."""
    found = []
    for one in range(rounds):
        made = list(runs(count, seed + one))
        begin = time.perf_counter()
        added = store.add_many(made)
        assert added == count
        found.append(count / (time.perf_counter() - begin))
    return statistics.median(found)


def _some_run(store: Store, draw: random.Random) -> str:
    rows = store.list([f"model={draw.choice(MODELS)}", f"device={draw.choice(DEVICES)[0]}"], limit=20)
    return draw.choice(rows).id if rows else "latest"


def _diff(store: Store, draw: random.Random) -> object:
    model, device = draw.choice(MODELS), draw.choice(DEVICES)[0]
    rows = store.list([f"model={model}", f"device={device}"], limit=2)
    found = [store.get(row.id) for row in rows]
    return difference(found[0], found[-1]) if found else None


def _gate(store: Store, draw: random.Random) -> object:
    record = store.get(_some_run(store, draw))
    assert record.profile is not None
    baseline = store.baseline(record.model.name, record.profile.name, record.runtime.name)
    return check_gate(parse_gate("median_latency<=baseline*1.03"), record, baseline or record)


def _report(store: Store, draw: random.Random) -> object:
    run = _some_run(store, draw)
    return store.get(run), store.samples(run), store.labels(run)


def _later(store: Store, draw: random.Random) -> object:
    """A page of one model that begins at any time."""
    begin = Cursor(BEGIN.timestamp() + draw.random() * 30 * MONTHS * 86_400, "")
    return store.list([f"model={draw.choice(MODELS)}"], limit=30, before=begin)


def _trends_page(store: Store, draw: random.Random) -> object:
    from edgekit.web.trends_page import MAX_RUNS  # needs the extra `dashboard`

    return store.trend([], limit=MAX_RUNS)


def _best_page(store: Store, draw: random.Random) -> object:
    from edgekit.web.best_page import MAX_POINTS

    return store.ranked(metrics=("median_latency", "accuracy"), limit=MAX_POINTS)


QUERIES: dict[str, Query] = {
    "list, newest": lambda s, d: s.list(limit=30),
    "list model~": lambda s, d: s.list([f"model~{d.choice(MODELS)[:5]}"], limit=30),
    "list soc= verdict=": lambda s, d: s.list([f"soc={d.choice(DEVICES)[2]}", "verdict=valid"], limit=30),
    "list verdict=invalid": lambda s, d: s.list(["verdict=invalid"], limit=30),
    "list since= model=": lambda s, d: s.list(["since=2026-05-01", f"model={d.choice(MODELS)}"], limit=30),
    "list since= until=": lambda s, d: s.list(
        ["since=2025-06-01", f"until=2025-{d.randrange(7, 13):02}-01"], limit=30
    ),
    "list label=commit=": lambda s, d: s.list([f"label=commit={d.randrange(20):012x}"], limit=30),
    "list label=board= model~": lambda s, d: s.list(
        [f"label=board={d.randrange(20)}", f"model~{d.choice(MODELS)}"], limit=30
    ),
    "list label=commit= model~": lambda s, d: s.list(
        [f"label=commit={d.randrange(20_000):012x}", f"model~{d.choice(MODELS)}"], limit=30
    ),
    "list median_latency< model=": lambda s, d: s.list(
        ["median_latency<2ms", f"model={d.choice(MODELS)}"], limit=30
    ),
    "list median_latency<1ns model=": lambda s, d: s.list(
        ["median_latency<1ns", f"model={d.choice(MODELS)}"], limit=30
    ),
    "list, no match": lambda s, d: s.list(["model~nothing-like-this"], limit=30),
    "list, a later page": _later,
    "name of a run": lambda s, d: s.resolve(_some_run(s, d)[-6:]),
    "diff": _diff,
    "trend of a model on a device": lambda s, d: s.trend(
        [f"model={d.choice(MODELS)}", f"device={d.choice(DEVICES)[0]}"], limit=500
    ),
    "trends page": _trends_page,
    "gate": _gate,
    "report of a run": _report,
    "best, all": lambda s, d: s.best(),
    "best of a model": lambda s, d: s.best([f"model={d.choice(MODELS)}"]),
    "best until=": lambda s, d: s.best([f"until=2025-{d.randrange(7, 13):02}-01"]),
    "best median_latency<": lambda s, d: s.best([f"median_latency<{d.randrange(2, 50)}ms"]),
    "best with a label": lambda s, d: s.best([f"label=board={d.randrange(20)}"]),
    "best page": _best_page,
    "seals of 1,000": lambda s, d: s.seals(
        [f"{d.randrange(10**8)}-{d.randrange(10**6)}" for _ in range(1000)]
    ),
    "choices of a page": lambda s, d: [
        s.words(name) for name in ("model", "device", "runtime", "verdict", "project")
    ],
}
"""Questions of the commands and of the dashboard's pages."""


def times_ms(store: Store, calls: int, seed: int = 1) -> dict[str, list[float]]:
    """By query, sorted. Each is asked once before, which does not count."""
    draw = random.Random(seed)
    for query in QUERIES.values():
        query(store, draw)
    todo = [name for name in QUERIES for _ in range(calls)]
    draw.shuffle(todo)
    took: dict[str, list[float]] = {name: [] for name in QUERIES}
    gc.collect()
    gc.freeze()  # as the dashboard does
    try:
        for name in todo:
            begin = time.perf_counter()
            QUERIES[name](store, draw)
            took[name].append(1000 * (time.perf_counter() - begin))
    finally:
        gc.unfreeze()
    return {name: sorted(values) for name, values in took.items()}


def p95(values: list[float]) -> float:
    """Of sorted values: the smallest that 95 % do not exceed."""
    return values[max(0, math.ceil(0.95 * len(values)) - 1)]


def set_baselines(store: Store) -> None:
    for model in MODELS:
        rows = store.list([f"model={model}", "verdict=valid"], limit=1)
        if rows:
            store.set_baseline(rows[0].id)


def size_bytes(store: Store) -> int:
    if store.path is not None:
        with store.database.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        return store.path.stat().st_size
    with store.database.reading() as connection:
        found = connection.exec_driver_sql("SELECT pg_database_size(current_database())").scalar()
        return int(found or 0)


@contextmanager
def stores(kinds: list[str], folder: Path) -> Iterator[dict[str, Callable[[str], Store]]]:
    """What makes an empty store of each kind; PostgreSQL as its package sets it up, fsync and all."""
    makers: dict[str, Callable[[str], Store]] = {}
    if "sqlite" in kinds:
        makers["sqlite"] = lambda name: Store(folder / f"{name}.sqlite")
    if "postgresql" not in kinds:
        yield makers
        return

    def database(running: Cluster) -> Store:
        url = running.new_database()
        migrate(place_of(url))
        return Store(url)

    with cluster({}) as running:
        makers["postgresql"] = lambda name: database(running)
        yield makers


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", default="1000,10000,100000,1000000")
    parser.add_argument("--calls", type=int, default=60)
    parser.add_argument("--databases", default="sqlite,postgresql")
    parser.add_argument("--folder", help="where the files are made (default: the temporary folder)")
    options = parser.parse_args()
    counts = [int(text) for text in options.runs.split(",")]
    load = os.getloadavg()[0]
    print(
        f"{os.cpu_count()} processors, load {load:.1f} at the beginning; p95 in ms of {options.calls} calls\n"
    )
    with (
        tempfile.TemporaryDirectory(dir=options.folder) as folder,
        stores(options.databases.split(","), Path(folder)) as makers,
    ):
        for kind, make in makers.items():
            rows: dict[str, list[str]] = {
                name: [] for name in ("load s", "insert /s", "bytes a run", *QUERIES, "processor share")
            }
            for count in counts:
                print(f"{kind}, {count:,} runs", file=sys.stderr, flush=True)
                store = make(f"{kind}-{count}")
                rows["load s"].append(f"{fill(store, count):.0f}")
                rows["bytes a run"].append(f"{size_bytes(store) / count:,.0f}")
                set_baselines(store)
                wall, cpu = time.perf_counter(), time.process_time()
                for name, took in times_ms(store, options.calls).items():
                    rows[name].append(f"{p95(took):.1f} ({took[len(took) // 2]:.1f})")
                share = (time.process_time() - cpu) / (time.perf_counter() - wall)
                rows["processor share"].append(f"{share:.0%}")
                rows["insert /s"].append(f"{insertion_per_s(store):,.0f}")
                print({name: cells[-1] for name, cells in rows.items()}, file=sys.stderr, flush=True)
            print(f"| {kind} | " + " | ".join(f"{count:,}" for count in counts) + " |")
            print("|---|" + "---|" * len(counts))
            for name, cells in rows.items():
                print(f"| {name} | " + " | ".join(cells) + " |", flush=True)
            print()


if __name__ == "__main__":
    main()
