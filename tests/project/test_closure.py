"""What a file of tests can run (tests/closure.py): each rule, and a process that really imported."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests import closure as rules
from tests import passes
from tests.closure import ROOT, closure

CONVERTS = ROOT / "tests" / "conversion" / "test_matrix.py"
COMMANDS = ROOT / "tests" / "failures" / "test_bad_input.py"
PURE = ROOT / "tests" / "stats" / "test_summarize.py"


def _names(path: Path) -> set[str]:
    return {str(found.relative_to(ROOT)) for found in closure(path)}


def _mentioned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> set[str]:
    """Of a test file with this text."""
    folder = tmp_path / "tests" / "made"
    folder.mkdir(parents=True)
    (folder / "test_made.py").write_text(text, encoding="utf-8")
    monkeypatch.setitem(rules.PACKAGES, "tests", tmp_path / "tests")
    monkeypatch.setattr(rules, "TESTS", tmp_path / "tests")
    return {
        str(found.relative_to(ROOT))
        for found in closure(folder / "test_made.py")
        if found.is_relative_to(ROOT)
    }


@pytest.mark.parametrize(
    ("text", "reached"),
    [
        ("import edgekit.stats.energy", "edgekit/stats/energy.py"),
        ("from edgekit.stats import energy", "edgekit/stats/energy.py"),
        ("from edgekit.stats.energy import anything", "edgekit/stats/energy.py"),
        ("def f():\n    from edgekit.stats import energy", "edgekit/stats/energy.py"),
        ("import_module('edgekit.stats.energy')", "edgekit/stats/energy.py"),
        ("f'edgekit.stats.{name}'", "edgekit/stats/energy.py"),
        ("x = ['-c', 'import edgekit.stats.energy as e']", "edgekit/stats/energy.py"),
        ("import edgekit\nedgekit.bench()", "edgekit/benchmarking/ci_report.py"),
        ("import edgekit.errors\nedgekit.bench()", "edgekit/benchmarking/ci_report.py"),
        ("from edgekit import bench", "edgekit/benchmarking/ci_report.py"),
        ("argv = [sys.executable, '-m', 'edgekit']", "edgekit/cli/main.py"),
        ("argv = [f'{folder}/edgekit', 'push']", "edgekit/cli/main.py"),
        ("code = 'import edgekit; edgekit.push()'", "edgekit/deployment/collect.py"),
        ("name = 'litert_runner.py'", "edgekit/runtimes/board/litert_runner.py"),
        ("script = ROOT / 'scripts' / 'fuzz_agent'", "scripts/fuzz_agent"),
        ("from edgekit.registry import load\nload('meters', x)", "edgekit/meters/hwmon.py"),
        ("from edgekit.registry import load\nload(x, y)", "edgekit/meters/hwmon.py"),
        ("from edgekit import conversion", "edgekit/conversion/recipes/int8-static.yaml"),
    ],
)
def test_what_is_reached(text: str, reached: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert reached in _mentioned(tmp_path, monkeypatch, text)


@pytest.mark.parametrize(
    "text",
    [
        "'''Says what edgekit.stats.energy and edgekit.cli.main are for.'''",
        "from edgekit.errors import InputError",
        "import edgekit.errors\nedgekit.errors.InputError",
        "from edgekit.registry import plugins\nplugins('meters')",
    ],
)
def test_what_is_not_reached(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = _mentioned(tmp_path, monkeypatch, text)
    assert not [name for name in found if name.startswith(("edgekit/stats", "edgekit/cli", "edgekit/meters"))]


def test_a_change_concerns_those_that_can_run_it() -> None:
    """Converters do not know commands and reports; whoever runs commands knows all; statistics know themselves."""
    converts, commands, pure = _names(CONVERTS), _names(COMMANDS), _names(PURE)
    everything = {str(path.relative_to(ROOT)) for path in (ROOT / "edgekit").rglob("*.py")}
    everything = {name for name in everything if "/bin/" not in name}
    assert "edgekit/conversion/targets/onnx.py" in converts, "a plug-in"
    assert "ios_export/edgekit_ios/converting.py" in converts, "a plug-in of another package"
    assert not [
        name for name in converts if name.startswith(("edgekit/cli", "edgekit/results", "edgekit/meters"))
    ]
    assert everything <= commands
    assert not [name for name in pure if name.startswith(("edgekit/conversion", "edgekit/models"))]


def test_what_is_imported_from_another_file_of_tests_counts() -> None:
    """With all that it reaches; a file of tests that only has a name like what is meant does not."""
    found = _names(ROOT / "tests" / "profiles" / "test_capability_libraries.py")
    assert "tests/profiles/test_capabilities.py" in found
    found = _names(ROOT / "tests" / "conversion" / "layers" / "test_quantized.py")
    assert "tests/conversion/test_takeable.py" in found, "imported in a function"
    assert [name for name in _names(CONVERTS) if "/test_" in name] == ["tests/conversion/test_matrix.py"]


def test_every_file_whose_passes_are_kept_can_be_judged() -> None:
    """Whatever others write there: an answer, and the file itself in it."""
    for path in (ROOT / "tests").rglob("test_*.py"):
        if str(path.relative_to(ROOT)).startswith((*passes.LONG, *passes.FOLDERS)):
            assert path in closure(path)


def test_the_products_own_init_is_lazy() -> None:
    """Whatever it imports at once would have to count for everyone; what it imports on use counts for who uses it."""
    assert rules.referred(ROOT / "edgekit" / "__init__.py") <= {
        ROOT / "edgekit" / "__init__.py",
        ROOT / "edgekit" / "_version.py",
    }


IMPORTED = """
import importlib, json, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
print(json.dumps([m.__file__ for m in sys.modules.values() if getattr(m, "__file__", None)]))
"""


@pytest.mark.parametrize(
    "module", ["tests.faults.table", "tests.sim.test_pipeline", "tests.meters.test_meters"]
)
def test_all_that_a_process_imported_is_in_the_closure(module: str) -> None:
    path = ROOT / f"{module.replace('.', '/')}.py"
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED, module],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    loaded = {Path(name) for name in json.loads(done.stdout)}
    ours = {p for p in loaded if any(p.is_relative_to(folder) for folder in rules.PACKAGES.values())}
    assert ours <= closure(path)
