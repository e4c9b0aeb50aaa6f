"""B1-b1: the matrix does what its table says. Usually a pairwise subset; with CI=true, or -m matrix, the whole."""

from __future__ import annotations

import os

import pytest

from tests.conversion.matrix import RECIPES, SOURCES, TARGETS, Cell, cells, expected, run_cell
from tests.conversion.nets import NETS

MUST_PASS = {("torch", target) for target in TARGETS} | {
    ("keras", "tflite"),
    ("onnx", "tflite"),
    ("tflite", "tflite"),
}


def _pairwise() -> set[Cell]:
    """A Latin square over nets, sources and targets: every pair of net, source and target is in it once."""
    chosen = set()
    for i, net in enumerate(NETS):
        for j, source in enumerate(SOURCES):
            target = TARGETS[(i + j) % len(TARGETS)]
            chosen.add(Cell(net, source, target, RECIPES[(i + j // 2) % 2]))
    return chosen


def _parameters() -> list[object]:
    usual = _pairwise()
    found: list[object] = []
    for cell in cells():
        marks = [pytest.mark.heavy]
        if cell not in usual:
            marks.append(pytest.mark.matrix)
        found.append(pytest.param(cell, id=cell.key, marks=marks))
    return found


@pytest.mark.parametrize("cell", _parameters())
def test_cell(cell: Cell, request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("matrix") and not _whole(request.config):
        pytest.skip("the whole matrix runs in CI, and with -m matrix")
    wanted, found = expected()[cell.key], run_cell(cell)
    assert (found.state, found.code) == (wanted.state, wanted.code), found
    if wanted.quote is not None:
        assert found.quote == wanted.quote
    if found.state == "passed" and cell.recipe in RECIPES:
        assert found.relative_error is not None
        assert found.relative_error <= {"float32": 1e-5, "float16": 2e-3}[cell.recipe]


def _whole(config: pytest.Config) -> bool:
    return os.environ.get("CI") == "true" or "matrix" in config.getoption("markexpr")


def test_the_table_is_whole_and_what_must_pass_passes() -> None:
    """Not one cell is left out, and the paths that are promised hold for every net and both recipes."""
    table = expected()
    assert set(table) == {cell.key for cell in cells()}
    for cell in cells():
        if (cell.source, cell.target) in MUST_PASS:
            assert table[cell.key].state == "passed", cell.key
        elif table[cell.key].state == "refused":
            assert table[cell.key].quote, cell.key
