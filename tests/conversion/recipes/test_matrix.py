"""B2-b1: the table of recipes does what it says. Usually TFLite and ONNX of two nets; with CI=true, or -m matrix, the whole."""

from __future__ import annotations

import os

import pytest

from edgekit.conversion.routes import ROUTES
from tests.conversion.nets import NETS
from tests.conversion.recipe_matrix import SOURCES, Cell, cells, expected, run_cell

pytest.importorskip("ai_edge_quantizer.quantizer")


def _parameters() -> list[object]:
    found: list[object] = []
    for cell in cells():
        usual = cell.target in ("tflite", "onnx") and cell.net in ("mobilenet", "lstm") and not cell.source
        marks = [pytest.mark.heavy, *([] if usual else [pytest.mark.matrix])]
        found.append(pytest.param(cell, id=cell.key, marks=marks))
    return found


@pytest.mark.parametrize("cell", _parameters())
def test_cell(cell: Cell, request: pytest.FixtureRequest) -> None:
    whole = os.environ.get("CI") == "true" or "matrix" in request.config.getoption("markexpr")
    if request.node.get_closest_marker("matrix") and not whole:
        pytest.skip("the whole matrix runs in CI, and with -m matrix")
    wanted, found = expected()[cell.key], run_cell(cell)
    assert (found.state, found.code) == (wanted.state, wanted.code), found
    if found.size_bytes is not None and wanted.size_bytes is not None:
        assert found.size_bytes == pytest.approx(wanted.size_bytes, rel=0.02)
    if found.snr_db is not None and wanted.snr_db is not None and wanted.snr_db < 60:
        assert found.snr_db == pytest.approx(wanted.snr_db, abs=2)


def test_every_way_is_covered() -> None:
    """B2-b1: each way from a source to a target that a tool makes, quantized, with each net among them."""
    ways = {(source, target) for (source, target), route in ROUTES.items() if route.tool is not None}
    seen = {(one.source or SOURCES[one.target], one.target) for one in cells() if one.recipe != "float32"}
    assert ways <= seen, ways - seen
    assert {one.net for one in cells() if one.source} == set(NETS)


def test_the_table_is_whole() -> None:
    """Not one cell is left out, and what each target makes is made of every net."""
    table = expected()
    assert set(table) == {cell.key for cell in cells()}
    bad = {key: one for key, one in table.items() if one.state == "refused" and one.code != "E_RECIPE"}
    assert {key: one.code for key, one in bad.items() if one.code != "E_NOTHING_QUANTIZED"} == {}
