"""`--streams` on real targets (D1.3): processes that run together on this machine and on a board."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.cli.running import MODEL, edgekit
from tests.timed import timed

pytestmark = pytest.mark.usefixtures("own_local")

SHORT = ("--launches", "2", "--min-seconds", "0.5", "--warmup-iterations", "5")


def streams_of(record: dict[str, Any]) -> list[list[dict[str, Any]]]:
    return [launch["group"]["streams"] for launch in record["launches"]]


@timed
def test_throughput_of_two_processes_on_this_machine(tmp_path: Path) -> None:
    done = edgekit(
        *("bench", MODEL, "-d", "local:", "--streams", "2", *SHORT, "--gate", "throughput>=10/s", "--json"),
        cwd=tmp_path,
    )
    record = done.ok().json()
    found = record["throughput"]
    assert record["plan"]["streams"] == found["streams"] == 2
    assert found["inferences_per_second"] > 100
    assert found["ci95"][0] < found["inferences_per_second"] < found["ci95"][1]
    assert found["overlap_share"] > 0.5
    assert record["gates"][0]["passed"] is True
    for launch, streams in zip(record["launches"], streams_of(record), strict=True):
        assert [stream["stream"] for stream in streams] == [0, 1]
        assert launch["count"] == sum(stream["counted"] for stream in streams)
        assert launch["memory"]["peak_rss_bytes"] == sum(stream["peak_rss_bytes"] for stream in streams)
        begins = [stream["begin_us"] for stream in streams]
        assert max(begins) - min(begins) < 0.4e6
        # from the counts, without what the record computes: each stream's inferences over its own time
        rough = sum(stream["count"] / stream["wall_us"] * 1e6 for stream in streams)
        assert launch["inferences_per_second"] == pytest.approx(rough, rel=0.25)
    exported = edgekit("results", "export", record["id"], "--samples", "--format", "csv", cwd=tmp_path).ok()
    rows = exported.stdout.splitlines()
    assert sum(row.split(",")[1] == "latency" for row in rows) == record["latency"]["count"]
    kept = sum("stream 2: latency" in row for row in rows)
    assert kept == sum(streams[1]["count"] for streams in streams_of(record))


@timed
def test_streams_over_ssh(make_sshd: Any, ssh_client: Any, tmp_path: Path) -> None:
    server = make_sshd(user="pi")
    done = edgekit(
        *("bench", MODEL, "-d", server.address, "--streams", "2", *SHORT, "--json"),
        env=ssh_client.env,
        cwd=tmp_path,
    )
    record = done.ok().json()
    assert record["throughput"]["inferences_per_second"] > 100
    assert all(len(streams) == 2 for streams in streams_of(record))


def test_more_streams_than_there_are_is_refused(tmp_path: Path) -> None:
    error = edgekit("bench", MODEL, "-d", "local:", "--streams", "65", "--json", cwd=tmp_path).error()
    assert error["code"] == "E_PLAN"
