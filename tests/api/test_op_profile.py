"""D1.8: the time of each operator, from a launch of its own, in one table for every runtime that has one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.agent.test_faults import _tmpfs as small_disk
from tests.api.places import Place, make_place
from tests.cli.running import MODEL, QUICK, edgekit

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


@pytest.fixture
def here(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return make_place(request, "local", tmp_path)


def named_products(path: Path) -> Path:
    """Two products of matrices with names that a runtime keeps: 1x64 by 64x128, and that by 128x32."""
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    rng = np.random.default_rng(1)
    weights = [
        numpy_helper.from_array(rng.normal(size=shape).astype(np.float32), name)
        for name, shape in (("w1", (64, 128)), ("w2", (128, 32)))
    ]
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["a"], name="first"),
        helper.make_node("Sin", ["a"], ["b"], name="between"),
        helper.make_node("MatMul", ["b", "w2"], ["y"], name="second"),
    ]
    shape = lambda name, size: helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, size])  # noqa: E731
    graph = helper.make_graph(
        nodes, "g", [shape("x", 64)], [shape("y", 32)], weights, value_info=[shape("a", 128), shape("b", 128)]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def bench(here: Place, model: Path) -> dict[str, Any]:
    command = ("bench", model, "--op-profile", *QUICK, "--json", *here.device)
    document: dict[str, Any] = edgekit(*command, env=here.env, cwd=here.folder).ok().json()
    return document


def test_operators_of_onnxruntime_have_macs_where_the_file_tells(here: Place) -> None:
    record = bench(here, named_products(here.folder / "net.onnx"))
    operators = record["operators"]
    rows = {row["node"]: row for row in operators["rows"]}
    assert operators["runtime"] == "onnxruntime"
    assert (rows["first"]["op"], rows["first"]["unit"], rows["first"]["macs"]) == ("MatMul", "cpu", 64 * 128)
    assert (rows["second"]["macs"], rows["between"]["macs"]) == (128 * 32, None)
    assert rows["first"]["bytes"] == 4 * (64 + 64 * 128 + 128)
    assert sum(row["share"] for row in operators["rows"] if row["share"] is not None) == pytest.approx(1)
    # the launches that the latency is of timed no operators, and are as many as were asked for
    assert len(record["launches"]) == 3
    assert "--op-profile" in operators["argv"]
    assert "--op-profile" not in record["runtime"]["argv"]


def test_operators_in_terminal_report_and_a_run_that_has_none(here: Place) -> None:
    command = ("bench", MODEL, *QUICK, *here.device)
    plain = edgekit(*command, "--json", env=here.env, cwd=here.folder).ok().json()
    assert plain["operators"] is None
    shown = edgekit(*command, "--op-profile", env=here.env, cwd=here.folder).ok()
    assert "operators" in shown.stdout
    assert "shares count, not times" in " ".join(shown.stdout.split())
    page = here.folder / "report.html"
    edgekit("report", "-o", page, env=here.env, cwd=here.folder).ok()
    assert "Operators, as litert tells" in page.read_text(encoding="utf-8")


def test_a_runtime_without_operators_says_which_have_them(here: Place) -> None:
    refused = edgekit(
        *("bench", MODEL, "--op-profile", "--runtime", "litert-python", "--json", *here.device),
        env=here.env,
        cwd=here.folder,
    )
    assert (refused.code, refused.error()["code"]) == (1, "E_TOOL_OPTION")
    assert "onnxruntime" in refused.error()["hint"]


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small tmpfs, which needs root")
def test_a_full_disk_here_costs_the_macs_and_no_measurement(here: Place, tmp_path: Path) -> None:
    """D1.8, D1-b3: MACs are read from a copy of the model; where there is no room for it, the rest is kept."""
    with small_disk(tmp_path / "small", "size=64k") as small:
        record = edgekit(
            *("bench", MODEL, "--op-profile", "--meter", "none", *QUICK, "--json", *here.device),
            env={**here.env, "TMPDIR": str(small)},
            cwd=here.folder,
        )
    found = record.ok().json()
    assert found["latency"]["count"] > 0
    assert found["operators"]["rows"]
    assert any(
        "operators without MACs and bytes: E_HOST_DISK_FULL" in note for note in found["verdict"]["notes"]
    )
