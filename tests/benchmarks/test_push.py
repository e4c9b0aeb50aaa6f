"""The push benchmark (C1-b1): its pure parts, its model files, and that it runs and prints its table."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.push import parse
from benchmarks.push_models import UPDATES, Draw, write_model
from benchmarks.push_table import fastest, megabytes, ratio
from edgekit.models import open_model
from tests.targets.sandbox import why_not

ROOT = Path(__file__).parents[2]
SIZE_BYTES = 1_000_000


def test_c1_b1_a_ratio_is_paired_by_round() -> None:
    """A slow round makes both slow; the ratio does not see it."""
    found = ratio([1.0, 2.0, 8.0], [2.0, 4.0, 16.0])
    assert [found.median, found.low, found.high] == pytest.approx([0.5, 0.5, 0.5])


def test_c1_b1_the_interval_is_student_s_t_on_logarithms() -> None:
    """Two rounds, ratios 1 and e^2: mean of logarithms 1, standard error 1, t(0.975, 1) = 12.7062."""
    found = ratio([1.0, math.exp(2)], [1.0, 1.0])
    assert found.low == pytest.approx(math.exp(1 - 12.7062047), rel=1e-6)
    assert found.high == pytest.approx(math.exp(1 + 12.7062047), rel=1e-6)


def test_c1_b1_one_round_has_no_interval() -> None:
    assert str(ratio([3.0], [2.0])) == "1.50"


def test_c1_b1_rounds_that_do_not_pair_are_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        ratio([1.0, 2.0], [1.0])


def test_c1_b1_the_best_tool_has_the_smallest_median_not_the_smallest_time() -> None:
    assert fastest({"lucky once": [0.1, 9.0, 9.0], "steady": [1.0, 1.0, 1.0]}) == "steady"


@pytest.mark.parametrize(("count", "text"), [(None, ""), (0, "0"), (1_049_536, "1.05"), (209_715_200, "210")])
def test_c1_b1_megabytes(count: int | None, text: str) -> None:
    assert megabytes(count) == text


def test_c1_b1_options() -> None:
    """C1-b1: a quick run is small whatever else is asked; what does not exist is refused."""
    options = parse(["--links", "100mbit,adb29", "--sizes", "1,200", "--updates", "first,all"])
    assert (options.links, options.sizes, options.updates) == (
        ["100mbit", "adb29"],
        [1, 200],
        ["first", "all"],
    )
    quick = parse(["--quick", "--sizes", "200", "--rounds", "50"])
    assert (quick.links, quick.sizes, quick.rounds) == (["loopback"], [1], 2)
    with pytest.raises(SystemExit):
        parse(["--links", "carrier-pigeon"])


@pytest.mark.parametrize(
    ("update", "least", "most"),
    [("unchanged", 0.0, 0.0), ("last-layers", 0.25, 0.4), ("recalibrated", 0.002, 0.02), ("all", 0.5, 1.0)],
)
def test_c1_b1_an_update_changes_what_its_name_says(
    tmp_path: Path, update: str, least: float, most: float
) -> None:
    """Share of bytes that differ at the same place; the file's length stays."""
    assert update in UPDATES
    int8 = update == "recalibrated"
    old = write_model(tmp_path / "old.tflite", SIZE_BYTES, Draw(1), int8=int8).read_bytes()
    new = write_model(tmp_path / "new.tflite", SIZE_BYTES, Draw(1, update, 5), int8=int8).read_bytes()
    assert len(old) == len(new)
    changed = sum(a != b for a, b in zip(old, new, strict=True)) / len(old)
    assert least <= changed <= most


@pytest.mark.parametrize("int8", [False, True])
def test_c1_b1_the_files_are_models_that_edgekit_reads_and_the_runtime_runs(
    tmp_path: Path, int8: bool
) -> None:
    interpreter = pytest.importorskip("ai_edge_litert.interpreter")
    path = write_model(tmp_path / "model.tflite", SIZE_BYTES, Draw(1), int8=int8)
    info = open_model(path, use_cache=False)
    assert abs(info.size_bytes - SIZE_BYTES) < 0.1 * SIZE_BYTES
    assert info.quantization is not None
    assert info.quantization.kind == ("int8-static" if int8 else "float32")
    runner = interpreter.Interpreter(model_path=str(path), num_threads=1)
    runner.allocate_tensors()
    shape = runner.get_input_details()[0]
    runner.set_tensor(shape["index"], np.ones(shape["shape"], shape["dtype"]))
    runner.invoke()
    assert runner.get_tensor(runner.get_output_details()[0]["index"]).any()


def test_c1_b1_a_quick_run_measures_updates_against_every_tool() -> None:
    reason = why_not("ip", "sshd", "ssh", "scp", "sftp", "rsync", "unshare", "nsenter", root=True)
    if reason:
        pytest.skip(reason)
    argv = [sys.executable, "benchmarks/push.py", "--quick", "--details"]
    done = subprocess.run(
        argv, cwd=ROOT, capture_output=True, text=True, timeout=180, check=False, env={**os.environ}
    )
    assert done.returncode == 0, done.stderr[-2000:]
    for update in ("first", "unchanged", "recalibrated"):
        assert done.stdout.count(f"| ssh, loopback | 1 | {update} |") == 4, done.stdout
    for way in ("scp", "sftp", "rsync", "ssh cat", "A/A"):
        for connection in ("new", "reused"):
            assert f"| {way} | {connection} |" in done.stdout
