"""Every operator that the evaluator claims, against PyTorch or its definition (B1.3).

Each row is a program of coremltools' own builder, written and read back as a package.
"""

from __future__ import annotations

import pytest

pytest.importorskip("coremltools")
pytest.importorskip("torch")

from edgekit_ios.mil import SUPPORTED_OPERATORS

from tests.ios_export.table import compressed, control, elementwise, shapes, spatial
from tests.ios_export.table.row import Row, check

pytestmark = pytest.mark.heavy

ROWS: list[Row] = [*elementwise.ROWS, *spatial.ROWS, *shapes.ROWS, *control.ROWS, *compressed.ROWS]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_operator(row: Row) -> None:
    check(row)


def test_every_claimed_operator_has_a_row() -> None:
    assert set(SUPPORTED_OPERATORS) == {row.operator for row in ROWS}
