"""Export and import, backup and restore, forgetting, and SQL that cannot write (D3.2, D3.3)."""

from __future__ import annotations

import json
import sqlite3
import threading
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner, Result

from benchmarks.store_runs import runs
from edgekit.cli.commands.results import results
from edgekit.errors import EdgekitError, InputError, StoreError, VerificationError
from edgekit.records import Asked, Device, Environment, Samples, TelemetryPoint
from edgekit.results import backing_up, querying
from edgekit.results.backing_up import backup, restore
from edgekit.results.database import migrate, open_database
from edgekit.results.export import export
from edgekit.results.filters import parse_filters
from edgekit.results.foreign import google_benchmark_records
from edgekit.results.importing import read_runs
from edgekit.results.place import place_of
from edgekit.results.pruning import prune
from edgekit.results.querying import ask
from edgekit.results.redacting import redacted
from edgekit.results.store import Store
from tests.cli.running import edgekit

_GOOGLE = (
    b'{"context": {"date": "%s"}, "benchmarks": [{"name": "a", "real_time": 1, "iterations": 1, "time_unit": "%s"},'
    b' {"name": "a", "real_time": 1, "iterations": 1, "time_unit": "%s"}]}'
)
_CSV = (
    b"run,started_at,model,model_version,recipe,profile,device,device_model,runtime,verdict,launches,count,"
    b"peak_rss_bytes\n"
)
Whole = list[tuple[bytes, list[bytes], list[tuple[str, str, str, bytes, bytes]]]]


def whole(store: Store) -> Whole:
    """All that a store holds of its runs."""
    return [
        (
            data,
            [launch.tobytes() for launch in samples.launches] if samples else [],
            [
                (one.name, one.unit, one.path, one.t_us.tobytes(), one.value.tobytes())
                for one in (samples.telemetry if samples else ())
            ],
        )
        for data, samples in store.entries()
    ]


@pytest.fixture
def some(store: Store) -> Store:
    """Twelve generated runs, and one with readings that failed."""
    store.add_many(runs(12))
    record, samples = next(runs(1, seed=5))
    odd = Samples.of(
        samples.launches, [TelemetryPoint(float(t), "x", float("nan"), "mC", "/p") for t in range(3)]
    )
    store.add(msgspec.structs.replace(record, id="20260101-000000000-nannan"), odd)
    return store


@pytest.mark.parametrize("name", ["jsonl", "parquet"])
def test_what_is_exported_comes_back_exactly(some: Store, tmp_path: Path, name: str) -> None:
    """Bytes of records, samples and seals (D3.2)."""
    if name == "parquet":
        pytest.importorskip("pyarrow")
        from edgekit.results.frames import write_parquet

        assert write_parquet(some.entries(), tmp_path / "runs.parquet") == 13
    else:
        (tmp_path / "runs.jsonl").write_text("".join(some.export(with_samples=True)), encoding="utf-8")
    back = Store(tmp_path / "back.sqlite")
    source = tmp_path / f"runs.{name}"
    assert back.add_many(read_runs(source)) == 13
    assert back.add_many(read_runs(source)) == 0
    assert whole(back) == whole(some)


@pytest.mark.base
@pytest.mark.parametrize(("old", "new"), [(b'"format":"tflite"', b'"format":"tflitf"'), (b"[[", b"[[1.5,")])
def test_a_changed_line_breaks_its_seal(some: Store, tmp_path: Path, old: bytes, new: bytes) -> None:
    """D3.1: sealed by content hash: a record and its samples."""
    text = "".join(some.export(["nannan"], with_samples=True)).encode()
    assert old in text
    (tmp_path / "runs.jsonl").write_bytes(text.replace(old, new, 1))
    with pytest.raises(VerificationError) as caught:
        Store(tmp_path / "back.sqlite").add_many(read_runs(tmp_path / "runs.jsonl"))
    assert caught.value.code == "E_SEAL"


@pytest.mark.base
@pytest.mark.parametrize("name", ["json", "junit", "csv", "google-benchmark"])
def test_other_formats_bring_back_what_they_can_hold(some: Store, tmp_path: Path, name: str) -> None:
    text = "".join(export(some.entries(with_samples=False), name))  # type: ignore[arg-type]
    source = tmp_path / f"runs.{ {'junit': 'xml', 'google-benchmark': 'json'}.get(name, name) }"
    source.write_text(text, encoding="utf-8")
    back = Store(tmp_path / "back.sqlite")
    assert back.add_many(read_runs(source)) == 13
    if name in ("json", "junit"):
        assert [one[0] for one in whole(back)] == [one[0] for one in whole(some)]
    if name == "csv":
        assert [(row.id, row.median_us, row.verdict) for row in back.list()] == [
            (row.id, row.median_us, row.verdict) for row in some.list()
        ]
    if name == "google-benchmark":
        mean = {row.model_name.split("/")[-1]: row.value("mean_latency") for row in back.list()}
        assert mean == {row.id: pytest.approx(row.value("mean_latency"), rel=1e-12) for row in some.list()}


@pytest.mark.base
def test_google_benchmark_s_repetitions_are_launches() -> None:
    document = {
        "context": {"date": "2026-01-31T12:00:00+01:00", "host_name": "h", "num_cpus": 4, "caches": []},
        "benchmarks": [
            {"name": "BM/8", "run_name": "BM/8", "run_type": "iteration", "repetition_index": i, "threads": 2,
             "iterations": 1000, "real_time": 1500.0 + i, "cpu_time": 1400.0, "time_unit": "ns"}
            for i in range(3)
        ] + [{"name": "BM/8_mean", "run_name": "BM/8", "run_type": "aggregate", "iterations": 3, "real_time": 1.0}],
    }  # fmt: skip
    (record,) = google_benchmark_records(json.dumps(document).encode())
    (again,) = google_benchmark_records(json.dumps(document).encode())
    assert record == again
    assert (record.model.name, record.latency.mean, record.latency.launches) == (
        "BM/8",
        pytest.approx(1.501),
        3,
    )
    assert (record.latency.median, record.verdict.state, record.started_at[:16]) == (
        None,
        "suspect",
        "2026-01-31T11:00",
    )


@pytest.mark.base
@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.json", b"{}"),
        ("a.json", b'{"context": {}, "benchmarks": 3}'),
        ("a.json", _GOOGLE % (b"2026-01-01", b"ns", b"fortnights")),
        ("a.json", _GOOGLE % (b"0001-01-01T00:00:00+14:00", b"ns", b"ns")),
        ("a.xml", b"<testsuites/>"),
        ("a.xml", b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'),
        ("a.xml", b"<testsuites"),
        ("a.pb", b"\xff\xff"),
        ("a.csv", b"a,b\n1,2\n"),
        ("a.csv", _CSV + b"r,2026-01-01,m\n"),
        ("a.csv", _CSV + b"r,2026-01-01,m,,,,d,,r,valid,1,1,inf\n"),
        ("a.csv", b"\xff"),
        ("a.jsonl", b"{\n"),
        ("a.txt", b"hello"),
    ],
)
def test_a_file_that_is_not_what_it_should_be_is_refused(
    store: Store, tmp_path: Path, name: str, data: bytes
) -> None:
    refused(store, tmp_path / name, data)


def refused(store: Store, file: Path, data: bytes) -> None:
    file.write_bytes(data)
    with pytest.raises(InputError):
        store.add_many(read_runs(file))
    assert store.count() == 0


def test_a_file_that_is_no_parquet_is_refused(store: Store, tmp_path: Path) -> None:
    """Needs pyarrow, which the base install lacks."""
    pytest.importorskip("pyarrow")
    refused(store, tmp_path / "a.parquet", b"hello")


def test_backup_and_restore_while_others_write(any_store: Store, tmp_path: Path) -> None:
    """A backup is of one moment: whole batches of those that were written at the time (D3.2)."""
    entries = list(runs(400))
    any_store.add_many(entries[:40])
    any_store.set_baseline(entries[3][0].id)
    started = threading.Event()

    def write() -> None:
        for begin in range(40, 400, 20):
            any_store.add_many(entries[begin : begin + 20], batch=20)
            started.set()

    writer = threading.Thread(target=write)
    writer.start()
    started.wait(60)
    file = tmp_path / "copy"
    assert backup(any_store, file) > 0
    writer.join(120)
    with pytest.raises(InputError) as caught:
        backup(any_store, file)
    assert caught.value.code == "E_EXISTS"
    target = place_of(tmp_path / "restored.sqlite")
    found = restore(target, file)
    back = Store(target.path)
    assert back.count() == found.total >= 60
    assert back.count() % 20 == 0
    assert whole(back) == whole(any_store)[: back.count()]
    assert [one.run for one in back.baselines()] == [entries[3][0].id]
    assert any_store.count() == 400


@pytest.mark.base
def test_restore_takes_the_place_of_runs_only_when_told(some: Store, tmp_path: Path) -> None:
    before = whole(some)
    backup(some, tmp_path / "copy.sqlite")
    prune(some.database, parse_filters(["launches>0"]))
    some.add_many(runs(1, seed=9))
    with pytest.raises(InputError) as caught:
        restore(some.place, tmp_path / "copy.sqlite")
    assert caught.value.code == "E_STORE_NOT_EMPTY"
    assert restore(some.place, tmp_path / "copy.sqlite", replace=True).replaced
    assert whole(some) == before
    damaged = bytearray((tmp_path / "copy.sqlite").read_bytes())
    damaged[4096 * 3 : 4096 * 9] = bytes(4096 * 6)
    (tmp_path / "bad.sqlite").write_bytes(damaged)
    with pytest.raises(EdgekitError) as broken:
        restore(some.place, tmp_path / "bad.sqlite", replace=True)
    assert broken.value.exit_code == 8
    assert whole(some) == before


@pytest.mark.base
@pytest.mark.timeout(300)
def test_restore_does_not_wait_for_a_lock_without_end(
    some: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup(some, tmp_path / "copy.sqlite")
    monkeypatch.setattr(backing_up, "BUSY_TIMEOUT_S", 0.3)
    assert some.path is not None
    with closing(sqlite3.connect(some.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError) as caught:
            restore(some.place, tmp_path / "copy.sqlite", replace=True)
        assert caught.value.code == "E_STORE_LOCKED"
    assert some.count() == 13


def test_a_file_s_backup_goes_into_postgresql(some: Store, postgres: object, tmp_path: Path) -> None:
    backup(some, tmp_path / "copy.sqlite")
    place = place_of(postgres.new_database())  # type: ignore[attr-defined]
    migrate(place)
    assert restore(place, tmp_path / "copy.sqlite").added == 13
    assert whole(Store(place.url.render_as_string(hide_password=False))) == whole(some)


def test_forgetting_spares_baselines_and_the_newest(any_store: Store) -> None:
    """Retention (D3.2)."""
    record, samples = next(runs(1))
    made = [
        msgspec.structs.replace(
            record, id=f"2026010{day}-000000000-aaaaa{day}", started_at=f"2026-01-0{day}T00:00:00Z"
        )
        for day in range(1, 7)
    ]
    any_store.add_many((one, samples) for one in made)
    any_store.set_baseline(made[1].id)
    old = parse_filters(["until=2026-01-05"])
    dry = prune(any_store.database, old, dry_run=True)
    assert (len(dry.runs), dry.baselines_kept, any_store.count()) == (3, 1, 6)
    thinned = prune(any_store.database, parse_filters([f"id={made[5].id}"]), samples_only=True)
    assert len(thinned.runs) == 1
    assert any_store.samples(made[5].id).launches == ()
    assert any_store.get(made[5].id) == made[5]
    assert prune(any_store.database, (), keep=2).runs == (made[0].id, made[2].id, made[3].id)
    assert [row.id[-1] for row in any_store.list(["model~e"], limit=10)] == ["6", "5", "2"]
    prune(any_store.database, parse_filters(["since=2026-01-05"]))
    assert [row.id[-1] for row in any_store.list([f"model={record.model.name}"], limit=1)] == ["2"]


HOSTILE = [
    "DELETE FROM run_rows",
    "INSERT INTO edgekit_schema VALUES (7)",
    "DROP VIEW runs",
    "CREATE TABLE x (y int)",
    "UPDATE run_rows SET id = 'x' RETURNING id",
    "WITH gone AS (DELETE FROM labels RETURNING 1) SELECT * FROM gone",
    "SELECT 1; DELETE FROM labels",
    "SELECT 1) AS q; DELETE FROM labels; --",
    "COMMIT",
    "BEGIN",
    "VACUUM",
    "SET TRANSACTION READ WRITE",
    "COPY (SELECT 1) TO PROGRAM 'touch /tmp/edgekit-was-here'",
    "ATTACH DATABASE '/tmp/edgekit-attached' AS x",
    "PRAGMA query_only = OFF",
    "PRAGMA writable_schema = ON",
    "SELECT load_extension('x')",
    "SELECT set_config('transaction_read_only', 'off', false)",
    "SELECT nextval('run_rows_key_seq')",
    "",
    ";",
    "not sql",
    "SELECT \0",
]


@pytest.mark.parametrize("sql", HOSTILE)
def test_a_query_cannot_write(hostile: Store, sql: str) -> None:
    """The database refuses, not a reader of the text (D3.3)."""
    with pytest.raises(InputError) as caught:
        ask(hostile.database, sql)
    assert caught.value.code == "E_QUERY"
    assert (hostile.count(), len(hostile.labels("latest"))) == (4, 3)
    assert not Path("/tmp/edgekit-was-here").exists()
    assert not Path("/tmp/edgekit-attached").exists()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def hostile(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Store:
    from tests.results.conftest import new_store

    store = new_store(request, tmp_path_factory.mktemp("hostile"))
    store.add_many(runs(4))
    return store


def test_a_query_answers_and_ends_in_time(hostile: Store) -> None:
    found = ask(
        hostile.database, "SELECT run, model, median_latency_us FROM runs ORDER BY started_s;", max_rows=3
    )
    assert (found.columns, len(found.rows), found.cut) == (("run", "model", "median_latency_us"), 3, True)
    labelled = ask(hostile.database, "SELECT count(*) FROM run_labels -- all of them")
    assert labelled.rows == ((12,),)
    endless = (
        "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c"
        if hostile.place.is_sqlite
        else "SELECT pg_sleep(60)"
    )
    with pytest.raises(StoreError) as caught:
        ask(hostile.database, endless, timeout_s=0.3)
    assert caught.value.code == "E_STORE_TIMEOUT"


def test_one_long_step_does_not_pass_the_deadline(some: Store) -> None:
    """SQLite looks at the clock between steps only, and this is one."""
    text = "replace(hex(zeroblob({})), '0', 'a')"
    slow = f"SELECT {text.format(50_000)} LIKE '%' || {text.format(4_000)} || 'b'"
    with pytest.raises(StoreError) as caught:
        ask(some.database, slow, timeout_s=0.05)
    assert caught.value.code == "E_STORE_TIMEOUT"


def test_an_answer_is_not_larger_than_memory(hostile: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are fetched a few at a time; one too many is refused before the rest is there."""
    monkeypatch.setattr(querying, "MAX_ANSWER_BYTES", 1 << 20)
    sql = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < {}) SELECT {} FROM c"
    wide = "hex(zeroblob(5000))" if hostile.place.is_sqlite else "repeat('x', 10000)"
    assert len(ask(hostile.database, sql.format(90, wide)).rows) == 90
    with pytest.raises(InputError) as caught:
        ask(hostile.database, sql.format(9000, wide))
    assert caught.value.code == "E_QUERY"
    assert "MiB" in caught.value.message
    assert len(ask(hostile.database, sql.format(350, "x")).rows) == 350


def test_a_pool_that_is_used_up_is_the_stores_error(postgres: Any) -> None:
    """Not a traceback: E_STORE_TIMEOUT, exit 8, and trying again can help."""
    place = place_of(postgres.new_database())
    migrate(place)
    database = open_database(place)
    database.engine.pool._timeout = 0.05  # type: ignore[attr-defined]
    with ExitStack() as stack:
        for _ in range(database.engine.pool.size() + database.engine.pool._max_overflow):  # type: ignore[attr-defined]
            stack.enter_context(database.reading())
        with pytest.raises(StoreError) as caught, database.reading():
            pass
    assert (caught.value.code, caught.value.exit_code, caught.value.transient) == ("E_STORE_TIMEOUT", 8, True)


def test_the_newest_of_a_series_are_spared_whatever_is_asked(any_store: Store) -> None:
    """`prune --older-than 90d --keep 2`: where there are two newer runs, old ones are not kept beside them."""
    record, samples = next(runs(1))
    made = [
        msgspec.structs.replace(record, id=f"run-{day}", started_at=f"2026-01-0{day}T00:00:00Z")
        for day in range(1, 7)
    ]
    any_store.add_many((one, samples) for one in made)
    old = parse_filters(["until=2026-01-04T00:00:00Z"])
    assert prune(any_store.database, old, keep=2, dry_run=True).runs == ("run-1", "run-2", "run-3")
    assert prune(any_store.database, old, keep=4, dry_run=True).runs == ("run-1", "run-2")


@pytest.mark.base
def test_what_is_shared_names_nobody() -> None:
    """--redact (D3.2)."""
    record, _ = next(runs(1))
    record = msgspec.structs.replace(
        record,
        started_at="2026-01-31T12:34:56.789Z",
        device=Device(
            address="ssh://alice@lab-7.example.org:2222",
            model="Raspberry Pi 5",
            fingerprint="ff" * 16,
            build_sha256="ee" * 32,
        ),
        labels={"user": "alice", "board": "7"},
        environment=Environment(
            argv=("bench", "-d", "lab", "--inputs", "/data/carol/x.npz"),
            rerun_of="20260131-123456789-abcdef",
            asked=Asked(device="lab", inputs="/data/carol/x.npz", evaluation="/data/carol/y.npz"),
        ),
        notes=("lab-7.example.org was slow", "see /home/alice/x and 10.0.0.7, mail bob@example.org"),
        runtime=msgspec.structs.replace(
            record.runtime, argv=("/home/alice/run", "--on", "lab-7.example.org")
        ),
    )
    shared = redacted(record, b"key")
    text = msgspec.json.encode(shared).decode()
    for secret in (
        "alice",
        "lab-7",
        "bob",
        "carol",
        "123456789-abc",
        "ee" * 32,
        "10.0.0.7",
        record.id,
        record.started_at,
        "ff" * 16,
    ):
        assert secret not in text
    assert (shared.model, shared.latency, shared.labels["board"]) == (record.model, record.latency, "7")
    assert redacted(record, b"key") == shared
    assert redacted(record, b"other").device.address != shared.device.address


def test_the_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One path through all of them (D3.2, D3.3)."""

    def edgekit(*args: str, db: str = "r.sqlite") -> Result:
        monkeypatch.setenv("EDGEKIT_RESULTS", str(tmp_path / db))
        return CliRunner().invoke(results, args)

    def told(*args: str, db: str = "r.sqlite") -> Any:
        done = edgekit(*args, "--json", db=db)
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    Store(tmp_path / "r.sqlite").add_many(runs(6))
    listed = told("list", "verdict=valid", "since=2025-01-01")["runs"]
    assert len(listed) == 6
    a = listed[-1]["id"]
    changed = told("diff", a, "latest")
    assert {one["metric"] for one in changed["metrics"]} >= {"median_latency", "peak_rss", "accuracy"}
    assert edgekit("list", "-n", "2", "--csv").stdout.startswith("run,started_at,project,")
    assert told("trend")["unit"] == "us"
    assert told("best")["runs"]
    assert told("query", "SELECT count(*) AS n FROM runs")["rows"] == [[6]]
    for command in (["list"], ["diff", a], ["trend"], ["best"], ["query", "SELECT 1"], ["show"]):
        assert edgekit(*command).exit_code == 0
    assert edgekit("label", a, "shelf=3").exit_code == 0
    assert "shelf=3" in edgekit("show", a).stdout
    assert "labels.shelf: 3 -> –" in edgekit("diff", a).stdout
    told("export", "-f", "verdict=valid", "--samples", "-o", str(tmp_path / "x.jsonl"))
    assert told("import", str(tmp_path / "x.jsonl"), db="other.sqlite")["files"][0]["added"] == 6
    told("backup", str(tmp_path / "b.sqlite"))
    assert len(told("prune", "launches>0")["runs"]) == 6
    assert told("prune", "launches>0", "--yes")["done"]
    assert told("restore", str(tmp_path / "b.sqlite"))["total"] == 6
    assert told("migrate")["before"] == told("migrate")["after"]


def test_exit_codes_of_commands(some: Store) -> None:
    """In processes of their own: a gate that fails is 5, and no password is shown (D3.2)."""
    env = {"EDGEKIT_RESULTS": str(some.path)}
    assert edgekit("results", "gate", "nannan", "median_latency<1ns", env=env).code == 5
    refused = edgekit("results", "list", "--db", "postgresql://me:secret@host/db", env=env)
    assert (refused.code, "secret" in refused.stdout + refused.stderr) == (1, False)


def test_frames_on_demand(some: Store) -> None:
    """The SDK's Arrow table and pandas frame (D3.3)."""
    pytest.importorskip("pyarrow")
    pytest.importorskip("pandas")
    from edgekit.results.frames import to_arrow, to_pandas

    rows = some.list()
    table, frame = to_arrow(rows), to_pandas(rows)
    assert table.num_rows == len(frame) == 13
    assert table.column("median_latency_us").to_pylist() == [row.median_us for row in rows]
    assert frame["median_latency_us"].tolist() == [row.median_us for row in rows]
    assert frame["started_at"].iloc[0] == datetime.fromisoformat(rows[0].started_at).astimezone(UTC)
    assert np.isnan(frame["sustained_slowdown"].astype(float)).all()
