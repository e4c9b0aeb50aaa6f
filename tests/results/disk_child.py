"""A child process of the store's tests. `hold PATH`: keep the write lock until stdin ends. `write PATH N`: add
N runs with many samples (0: for ever), and print the id of each when it is kept.
`stop PATH TEMPLATE K`: add one run, and stand still right after the K-th SQL statement of `add`, having said so."""

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


def stop(path: Path, template: Path, at: int) -> None:
    import numpy as np
    from sqlalchemy import event

    from edgekit.records import Samples, decode
    from edgekit.results.store import Store

    record = decode(template.read_bytes())
    store = Store(path)
    seen = 0

    def count(*_: object) -> None:
        nonlocal seen
        seen += 1
        if seen == at:
            print(f"inside {record.id}", flush=True)
            sys.stdin.read()

    event.listen(store.database.engine, "after_cursor_execute", count)
    store.add(record, Samples.of([np.arange(8000.0) for _ in record.launches]))
    print(f"added {record.id}", flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "hold":
        hold(Path(sys.argv[2]))
    elif sys.argv[1] == "stop":
        stop(Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
    else:
        write(Path(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
