"""How fast a store of 100,000 runs answers and takes more, on either database (D3-b1).

`benchmarks/store.py` measures it up to a million, and has the bars: 100 ms and 2,000 a second. Here they have threefold
room, because whatever else runs on the machine counts, too.
"""

from __future__ import annotations

from benchmarks.store import (
    INSERT_BAR_PER_S,
    P95_BAR_MS,
    QUERIES,
    fill,
    insertion_per_s,
    p95,
    set_baselines,
    times_ms,
)
from edgekit.results.store import Store

RUNS = 100_000
ROOM = 3


def test_a_store_of_many_runs_answers_at_once_and_takes_more(any_store: Store) -> None:
    fill(any_store, RUNS, samples=False)
    assert any_store.count() == RUNS
    set_baselines(any_store)
    slow: dict[str, float] = dict.fromkeys(QUERIES, 0.0)
    for seed in range(6):  # what was in the way once is not in the way six times
        took = {name: p95(values) for name, values in times_ms(any_store, 20, seed).items()}
        print({name: f"{ms:.1f} ms" for name, ms in took.items()})
        assert took.keys() == QUERIES.keys()
        slow = {name: took[name] for name in slow if took[name] > ROOM * P95_BAR_MS}
        if not slow:
            break
    assert not slow
    rate = 0.0
    for seed in range(90, 106):
        rate = max(rate, insertion_per_s(any_store, 500, 1, seed))
        if rate >= INSERT_BAR_PER_S / ROOM:
            break
    print(f"{rate:.0f} a second")
    assert rate >= INSERT_BAR_PER_S / ROOM
