"""D1.3: `edgekit bench --threads 1,2` on this machine as a device."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.running import MODEL, QUICK, edgekit


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "edgekit.yaml").write_text(
        f'devices: {{it: {{address: "local:", root: "{tmp_path}/device"}}}}\nresults: "{tmp_path}/results.sqlite"\n'
    )
    return tmp_path


def test_d1_3_two_thread_counts_give_two_records(project: Path) -> None:
    """Interleaved, kept, each of its own; the exit code is the worst of the verdicts."""
    done = edgekit(
        "bench", MODEL, "-d", "it", "--json", *QUICK, "--threads", "1,2", "--seed", "5", cwd=project
    )
    assert done.code in (0, 4), done.stderr
    found = done.json()
    assert set(found) == {"records"}
    assert [one["plan"]["threads"] for one in found["records"]] == [1, 2]
    assert [{launch["threads"] for launch in one["launches"]} for one in found["records"]] == [{1}, {2}]
    assert {(one["plan"]["seed"], one["plan"]["other"]["configurations"]) for one in found["records"]} == {
        (5, "1,2")
    }
    orders = [[launch["order"] for launch in one["launches"]] for one in found["records"]]
    assert [{a, b} for a, b in zip(*orders, strict=True)] == [{0, 1}, {2, 3}, {4, 5}]
    assert (done.code == 4) == any(one["verdict"]["state"] == "invalid" for one in found["records"])
    kept = edgekit("results", "list", "--json", cwd=project).ok().json()["runs"]
    assert {run["id"] for run in kept} == {one["id"] for one in found["records"]}


def test_d1_3_the_text_ends_with_both_side_by_side(project: Path) -> None:
    done = edgekit("bench", MODEL, "-d", "it", *QUICK, "--threads", "1,2", cwd=project)
    assert done.code in (0, 4), done.stderr
    *_, head, one, two = done.stdout.rstrip().splitlines()
    assert head.split() == [
        "threads",
        "latency",
        "95",
        "%",
        "interval",
        "times",
        "as",
        "fast",
        "as",
        "1",
        "peak",
        "memory",
    ]
    assert (one.split()[0], two.split()[0]) == ("1", "2")
    assert " 1.00 " in one


def test_d1_3_one_count_is_one_record_as_ever(project: Path) -> None:
    done = edgekit("bench", MODEL, "-d", "it", "--json", *QUICK, "--threads", "2", cwd=project)
    assert done.json()["plan"]["threads"] == 2
    assert "configurations" not in done.json()["plan"]["other"]


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        (("compare", MODEL, MODEL, "--threads", "1,2"), 2, "edgekit bench"),
        (("run", MODEL, "--threads", "1,2"), 2, "edgekit bench"),
        (("bench", MODEL, "--threads", "1,two"), 2, "1,2,4"),
        (("bench", MODEL, "--threads", "1,2", "--sustained", "1"), 1, "--sustained"),
    ],
)
def test_d1_3_what_is_of_one_count_is_refused(
    project: Path, command: tuple[str, ...], code: int, words: str
) -> None:
    done = edgekit(*command, "-d", "it", cwd=project)
    assert done.code == code
    assert words in " ".join(done.stderr.split())
