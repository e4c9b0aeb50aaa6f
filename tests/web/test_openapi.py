"""The API is what its description says: schemathesis asks whatever that allows, and what it does not. (D3.6, D3-b4)"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgekit.records import decode
from tests.web.conftest import Run, Served, start

pytest.importorskip("fastapi")
EXAMPLES = 20
"""Of each operation and kind; beside them every boundary of every schema (the phase "coverage"), but for the record's, whose
200 fields take minutes and are checked by their own tests."""


@pytest.fixture(scope="module")
def served(real: Run, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    found = start(tmp_path_factory.mktemp("openapi") / "results.sqlite")
    found.store.add(*real)
    yield found
    found.stop()


def test_the_description_is_served_and_complete(served: Served) -> None:
    """D3.6"""
    document = served.ask("/api/v1/openapi.json").json
    assert document["openapi"] == "3.1.0"
    operations = {(path, method) for path, item in document["paths"].items() for method in item}
    assert operations == {
        ("/api/v1/health", "get"),
        ("/api/v1/records", "get"),
        ("/api/v1/records/missing", "post"),
        ("/api/v1/records/{run}", "get"),
        ("/api/v1/records/{run}", "put"),
        ("/api/v1/records/{run}/labels", "get"),
        ("/api/v1/records/{run}/labels", "patch"),
    }


def test_schemathesis_finds_nothing(served: Served, real: Run, tmp_path: Path) -> None:
    """D3-b4. All checks but one: that whatever the schema allows is taken. No schema can say that a filter has a meaning,
    a text is a time, or bytes are zlib; such things are answered with 400, and are tested by name."""
    settings = f"""
    [[operations]]
    include-operation-id = ["get", "labels", "label"]
    parameters = {{ run = "{real[0].id}" }}
    [[operations]]
    include-operation-id = "put"
    phases.coverage.enabled = false
    """
    (tmp_path / "schemathesis.toml").write_text(settings)
    argv = [
        *(str(Path(sys.executable).with_name("st")), "--config-file", "schemathesis.toml", "run"),
        *(
            f"{served.url}/api/v1/openapi.json",
            "--checks",
            "all",
            "--exclude-checks",
            "positive_data_acceptance",
        ),
        *(
            "--max-examples",
            str(EXAMPLES),
            "--generation-deterministic",
            "--no-color",
            "--request-timeout",
            "30",
        ),
    ]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=280, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    tested = re.search(r"Tested: (\d+)", done.stdout)
    cases = re.search(r"(\d+) generated", done.stdout)
    assert tested is not None
    assert cases is not None
    assert int(tested[1]) == 7
    assert int(cases[1]) >= 100
    assert decode(served.store.get_bytes(real[0].id)[0]) == real[0]
