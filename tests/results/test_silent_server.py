"""A PostgreSQL that takes what is sent and never answers, as a hung disk or a stopped host has it: nobody waits for it without
an end, and it is used again once it answers. (D3.2, D3-b2)"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from benchmarks.postgres_here import Cluster
from edgekit.api import showing
from edgekit.api.devices import connect
from edgekit.api.pipelines import bench
from edgekit.benchmarking import BenchOptions
from edgekit.errors import StoreError
from edgekit.events import Event, LaunchesDone
from edgekit.results import postgres as side
from edgekit.results.database import migrate
from edgekit.results.place import place_of
from edgekit.results.querying import ask
from edgekit.results.store import Store
from edgekit.results.under_way import Beat
from tests.cli.running import MODEL
from tests.sim.devices import RUNTIME, address

LIMIT_S = 1.0


def processes(cluster: Cluster) -> list[int]:
    """The server and all that it has started."""
    parent = cluster.process.pid
    children = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent:
            children.append(int(stat.parent.name))
    return [parent, *children]


@contextmanager
def stopped(cluster: Cluster) -> Iterator[None]:
    stop(cluster)
    try:
        yield
    finally:
        go_on(cluster)


def stop(cluster: Cluster) -> None:
    _every(cluster, signal.SIGSTOP)


def go_on(cluster: Cluster) -> None:
    _every(cluster, signal.SIGCONT)


def _every(cluster: Cluster, what: signal.Signals) -> None:
    for pid in processes(cluster):
        with suppress(ProcessLookupError):  # one that served a connection which has ended
            os.kill(pid, what)


@pytest.fixture
def url(postgres: Cluster) -> str:
    found = postgres.new_database()
    migrate(place_of(found))
    return found


def test_a_server_that_says_nothing_is_given_up_and_used_again(postgres: Cluster, url: str) -> None:
    store = Store(url, statement_timeout_s=LIMIT_S)
    said = Beat(key="a", model="m", device="local:", total=3)
    store.beat(said, 600)
    with stopped(postgres):
        begin = time.monotonic()
        with pytest.raises(StoreError) as caught:
            store.beat(said, 600)
        took_s = time.monotonic() - begin
    assert caught.value.code == "E_STORE_UNREACHABLE"
    assert caught.value.transient
    assert took_s < 30, "without the deadline it would be without an end"
    store.beat(said, 600)
    assert len(store.under_way()) == 1


def test_one_that_stops_in_a_transaction_too(
    postgres: Cluster, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Writing, and a query with a deadline of its own."""
    store = Store(url, statement_timeout_s=LIMIT_S)
    begin = time.monotonic()

    def write() -> None:
        with store.database.writing() as connection:
            connection.exec_driver_sql("SELECT 1")
            with stopped(postgres):
                connection.exec_driver_sql("SELECT 2")

    with pytest.raises(StoreError) as caught:
        write()
    assert "does not answer" in caught.value.message
    monkeypatch.setattr(side, "SPARE_S", LIMIT_S)
    with stopped(postgres), pytest.raises(StoreError):
        ask(store.database, "SELECT 1 AS n", timeout_s=LIMIT_S)
    assert time.monotonic() - begin < 60
    assert ask(store.database, "SELECT 1 AS n", timeout_s=30).rows == ((1,),)


def test_a_slow_answer_within_the_time_is_waited_for(url: str) -> None:
    """Also where it takes longer than what a usual question may."""
    store = Store(url, statement_timeout_s=LIMIT_S)
    assert ask(store.database, "SELECT pg_sleep(2.5)", timeout_s=30).rows
    with pytest.raises(StoreError) as caught, store.database.reading() as connection:
        connection.exec_driver_sql("SELECT pg_sleep(30)")
    assert caught.value.code == "E_STORE_TIMEOUT"


def test_it_holds_a_measurement_for_moments_only(
    postgres: Cluster, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two launches the store hears of them. The run is kept by a server that is there again at the end."""
    monkeypatch.setattr(showing, "ANSWER_S", LIMIT_S)
    monkeypatch.setattr(showing, "PAUSE_FACTOR", 0.0)  # these launches last milliseconds
    held: dict[int, float] = {}

    def watch(event: Event) -> None:
        if isinstance(event, LaunchesDone) and event.done is not None:
            held[event.done] = time.monotonic()
            if event.done == 1:
                stop(postgres)
            if event.done == 3:
                go_on(postgres)

    options = BenchOptions(launches=4, iterations=20, min_seconds=0, runtime=RUNTIME, seed=1)
    try:
        with connect(address(median_us=1000)) as device:
            record = bench(str(MODEL), device, options=options, store=url, sink=watch)
    finally:
        go_on(postgres)
    assert held[2] - held[1] < 30
    assert [row.id for row in Store(url).list()] == [record.id]
