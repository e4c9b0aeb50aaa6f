"""Records and samples as other programs may send them: what is taken can be shown, exported and brought back. (D3.2)"""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from benchmarks.store_runs import runs
from edgekit.records import encode
from edgekit.results.importing import read_runs
from edgekit.results.store import Store
from tests.results.test_keeping import whole

pytestmark = pytest.mark.base


def exported(store: Store, path: Path, *, with_samples: bool = True) -> Path:
    path.write_text("".join(store.export(with_samples=with_samples)), encoding="utf-8")
    return path


@pytest.mark.parametrize("with_samples", [True, False])
def test_a_record_of_several_lines_is_one_line_in_every_export(tmp_path: Path, with_samples: bool) -> None:
    record, samples = next(runs(1, seed=5))
    store, back = Store(tmp_path / "a.sqlite"), Store(tmp_path / "back.sqlite")
    pretty = msgspec.json.format(encode(record), indent=2) + b"\n"
    assert store.add(pretty, samples)
    assert not store.add(pretty, samples)
    assert back.add_many(read_runs(exported(store, tmp_path / "a.jsonl", with_samples=with_samples))) == 1
    assert back.get_bytes(record.id) == store.get_bytes(record.id)
    assert not with_samples or whole(back) == whole(store)
