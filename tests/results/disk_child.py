"""A child process of the store's tests. `hold PATH`: keep the write lock until stdin ends. `write PATH N`: add
N runs with many samples (0: for ever), and print the id of each when it is kept."""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path


def hold(path: Path) -> None:
    raw = sqlite3.connect(path, isolation_level=None)
    raw.execute("BEGIN EXCLUSIVE")
    print("held", flush=True)
    sys.stdin.read()


def write(path: Path, count: int, template: Path) -> None:
    import msgspec
    import numpy as np

    from edgekit.records import Samples, decode, new_id
    from edgekit.results.store import Store

    base = decode(template.read_bytes())
    noise = np.random.default_rng()
    print("ready", flush=True)
    store = Store(path)
    done = 0
    while not count or done < count:
        record = msgspec.structs.replace(base, id=new_id())
        launches = [noise.random(8000) for _ in record.launches]
        store.add(record, Samples.of(launches))
        print(record.id, flush=True)
        done += 1


if __name__ == "__main__":
    if sys.argv[1] == "hold":
        hold(Path(sys.argv[2]))
    else:
        write(Path(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
