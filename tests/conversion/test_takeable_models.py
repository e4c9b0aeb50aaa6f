"""The table of docs/formats.md about MediaPipe's files, run again in part (B2.3)."""

from __future__ import annotations

import pytest

from tests.conversion.takeable import RECIPES, expected, names, run

pytest.importorskip("ai_edge_quantizer.quantizer")
AGAIN = ("face_detection_short_range", "hand_recrop", "face_detection_full_range_sparse")


def test_the_table_has_every_model() -> None:
    table = expected()
    assert sorted(table) == names()
    assert len(table) == 14
    assert all(set(recipes) == set(RECIPES) for recipes in table.values())


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("name", AGAIN)
def test_again(name: str, recipe: str) -> None:
    before, now = expected()[name][recipe], run(name, recipe)
    assert (now.state, now.code, now.size_bytes) == (before.state, before.code, before.size_bytes)
    assert now.notes == before.notes
    if before.snr_db is not None:
        assert now.snr_db == pytest.approx(before.snr_db, abs=1.0)
