"""The walls: layers, types, style, and habits that a linter does not know (A1)."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = Path(sys.executable).parent


def _is_python(path: Path) -> bool:
    if path.suffix == ".py":
        return True
    with path.open("rb") as file:
        return file.readline().startswith(b"#!/usr/bin/env python")


PYTHON_FILES = sorted(
    path
    for folder in ("edgekit", "ios_export", "scripts", "benchmarks", "tests")
    for path in (ROOT / folder).rglob("*")
    if path.is_file() and "__pycache__" not in path.parts and "bin" not in path.parts and _is_python(path)
)


@pytest.mark.parametrize(
    "argv",
    [
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
        ["mypy"],
        ["lint-imports"],
    ],
    ids=lambda argv: " ".join(argv),
)
def test_a1_tool_is_content(argv: list[str]) -> None:
    if not (TOOLS / argv[0]).exists():
        pytest.skip(f"{argv[0]} is not installed")
    done = subprocess.run([TOOLS / argv[0], *argv[1:]], cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a1_the_core_ml_package_is_typed() -> None:
    if not (TOOLS / "mypy").exists():
        pytest.skip("mypy is not installed")
    folder = ROOT / "ios_export"
    command = [TOOLS / "mypy", "--config-file", ROOT / "pyproject.toml", "-p", "edgekit_ios"]
    environment = {**os.environ, "MYPYPATH": str(folder)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr


def _calls(tree: ast.AST) -> list[ast.Call]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call)]


@pytest.mark.base
@pytest.mark.parametrize("path", PYTHON_FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_outside_call_has_a_deadline_and_no_shell(path: Path) -> None:
    for call in _calls(ast.parse(path.read_text(encoding="utf-8"))):
        keywords = {keyword.arg: keyword.value for keyword in call.keywords}
        shell = keywords.get("shell")
        assert not (isinstance(shell, ast.Constant) and shell.value is True), (
            f"{path}:{call.lineno}: shell=True"
        )
        name = ast.unparse(call.func)
        if name in ("subprocess.run", "subprocess.check_output", "subprocess.check_call", "subprocess.call"):
            assert "timeout" in keywords or None in keywords, f"{path}:{call.lineno}: {name} without timeout"


@pytest.mark.base
def test_heavy_packages_are_not_imported_for_help() -> None:
    """A-b4: `--help` imports none of these."""
    code = (
        "import sys; from edgekit.cli.main import cli\n"
        "try: cli.main(['--help'], standalone_mode=False)\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy','pydantic','paramiko','adbutils','sqlalchemy','matplotlib','tensorflow','torch',"
        "'ai_edge_litert','ai_edge_quantizer','yaml','rich','tflite'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert done.stderr.strip() == "[]"
    assert "Commands:" in done.stdout


@pytest.mark.base
def test_importing_edgekit_is_light() -> None:
    code = "import sys, edgekit; print(sorted({'numpy','paramiko','adbutils','sqlalchemy','click'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]"
