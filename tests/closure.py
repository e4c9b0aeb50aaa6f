"""Which files of this project a file of tests can run: the closure of its imports, read from the source.

What is imported counts wherever it stands: in a function, behind TYPE_CHECKING, in a text. So do

* texts that name a module (`"edgekit.api.models"`, `f"edgekit.cli.commands.{name}"`, code for another Python),
* texts that name a file of the project's Python or scripts (`"litert_runner.py"`, `scripts / "fuzz_agent"`),
* plug-ins: a module that loads some takes all that pyproject.toml registers in the groups that it names,
* `"edgekit"`, `"bin/edgekit"` and `f"{folder}/edgekit"` as a command in tests, and `import edgekit`: the whole product,
* conftest.py of every folder above, and what lies in a package beside its Python (recipes, style sheets).

Text of documentation does not count. The answer may be too large, never too small: where a rule cannot tell, it takes
all. tests/project/test_closure.py compares it with what a process really imported.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from edgekit.registry import GROUPS

ROOT = Path(__file__).parents[1]
TESTS = ROOT / "tests"
PACKAGES = {
    "edgekit": ROOT / "edgekit",
    "edgekit_ios": ROOT / "ios_export" / "edgekit_ios",
    "tests": TESTS,
}
SCRIPTS = ("scripts", "benchmarks", "examples")
"""Folders whose Python is started by its file's name."""

_DOTTED = re.compile(rf"\b({'|'.join(PACKAGES)})((?:\.\w+)*)(\.?)(?!\w)")
_FILE = re.compile(r"[\w*]*\.py\b")
_WHOLE = re.compile(
    r"^/?edgekit$|\bbin/edgekit$|\bimport edgekit\b(?!\.)|\bfrom edgekit import|\bedgekit\.\{"
)
_MACHINERY = tuple(TESTS / name for name in ("closure.py", "order.py", "passes.py"))
"""Decide which tests run, and name for that what no test uses."""
_MADE = ("__pycache__", "bin", ".mypy_cache")


@dataclass
class Mentions:
    """What one file refers to."""

    modules: set[str] = field(default_factory=set)
    """Dotted names that are imported; the last part may be a name within the module."""
    trees: set[str] = field(default_factory=set)
    """Packages of which all is meant."""
    files: set[str] = field(default_factory=set)
    """Names of files, or their ends."""
    groups: set[str] = field(default_factory=set)
    """Plug-ins' groups."""


def closure(test_file: Path) -> frozenset[Path]:
    """Files below ROOT: of the product, of tests' helpers, of scripts; other files of tests only where one is imported."""
    todo = [test_file, *(f / "conftest.py" for f in test_file.parents if f.is_relative_to(TESTS))]
    found: set[Path] = set()
    while todo:
        path = todo.pop()
        if path in found or not path.is_file():
            continue
        found.add(path)
        if path not in _MACHINERY:
            todo += referred(path)
    return frozenset(found | {data for path in found for data in _data_beside(path)})


@cache
def referred(path: Path) -> frozenset[Path]:
    mentions = _mentions(path)
    found: set[Path] = set()
    for name in mentions.trees:
        found.update(_python_below(_place(name)))
    for name in mentions.files:
        found |= _named(name)
    found = {file for file in found if not file.name.startswith("test_")}  # only looks like what is meant
    for name in mentions.modules:
        found |= _of_module(name)
    for group in mentions.groups:
        for name in _registered().get(group, ()):
            found |= _of_module(name)
    return frozenset(found)


def _mentions(path: Path) -> Mentions:
    try:
        tree = ast.parse(path.read_bytes())
    except SyntaxError:  # a script of another language
        return Mentions()
    found = Mentions()
    own = _dotted(path)
    nodes = list(_eager(tree)) if path == PACKAGES["edgekit"] / "__init__.py" else list(_live(tree))
    for node in nodes:
        if isinstance(node, ast.Import):
            found.modules.update(alias.name for alias in node.names)
            if any(a.asname is None and a.name.split(".")[0] == "edgekit" for a in node.names):
                used = _used_of_edgekit(nodes)
                found.modules |= used or set()
                found.trees |= {"edgekit"} if used is None else set()
        elif isinstance(node, ast.ImportFrom):
            module = _absolute(node, own)
            if module == "edgekit" and any(not _is_module(f"edgekit.{a.name}") for a in node.names):
                found.trees.add("edgekit")
            found.modules.update(f"{module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            _add_text(node.value, path, found)
    if any(name.startswith("edgekit.registry") for name in found.modules):
        found.groups = _groups(nodes, found.modules)
    return found


def _add_text(text: str, path: Path, found: Mentions) -> None:
    for match in _DOTTED.finditer(text):
        root, rest, dot = match.groups()
        if rest:
            found.modules.add(root + rest)
        if rest and dot and match.end() == len(text):
            found.trees.add(root + rest)
    if path.is_relative_to(TESTS) and _WHOLE.search(text):
        found.trees.add("edgekit")
    for name in _FILE.findall(text):
        found.files.add(name.lstrip("*"))
        if name in (".py", "*.py"):
            found.trees.add(_around(path))
    last = text.rstrip("/").rpartition("/")[2]
    if last and "." not in last:
        found.files.add(last)


def _groups(nodes: list[ast.AST], imported: set[str]) -> set[str]:
    """The groups that a module names which loads plug-ins; all, where it names none. Who only asks for names loads none."""
    loads = any(isinstance(node, ast.Attribute) and node.attr == "load" for node in nodes)
    if not loads and {name for name in imported if name.startswith("edgekit.registry")} == {
        "edgekit.registry.plugins"
    }:
        return set()
    texts = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    named = texts & set(GROUPS)
    whole = not named or "edgekit.registry.GROUPS" in imported
    return set(GROUPS) if whole else named


def _used_of_edgekit(nodes: list[ast.AST]) -> set[str] | None:
    """Modules that are used as `edgekit.x` where the name `edgekit` is bound; None: something else is done with it."""
    bound = sum(isinstance(node, ast.Name) and node.id == "edgekit" for node in nodes)
    used = [
        f"edgekit.{node.attr}"
        for node in nodes
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "edgekit"
    ]
    return set(used) if len(used) == bound and all(map(_is_module, used)) else None


def _live(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but texts that stand alone: documentation."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue
        yield node
        yield from _live(node)


def _eager(tree: ast.Module) -> Iterator[ast.AST]:
    """What runs when the module is imported: for edgekit's own __init__, all of whose names are lazy. Whoever uses
    these has written `import edgekit` or `from edgekit import`, which counts as the whole."""
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef | ast.If):
            yield from _live(ast.Module([node], []))


def _absolute(node: ast.ImportFrom, own: str) -> str:
    if not node.level:
        return node.module or ""
    parts = own.split(".")[: -node.level]
    return ".".join([*parts, *([node.module] if node.module else [])])


def _dotted(path: Path) -> str:
    """The module's name; a package's ends in `.__init__`."""
    for name, folder in PACKAGES.items():
        if path.is_relative_to(folder):
            return ".".join([name, *path.relative_to(folder).with_suffix("").parts])
    return path.stem


def _place(name: str) -> Path:
    root, *rest = name.split(".")
    return PACKAGES[root].joinpath(*rest)


def _around(path: Path) -> str:
    """The package below the root that a module belongs to; for a script, which may look anywhere, the product."""
    parts = _dotted(path).split(".")
    return ".".join(parts[:2]) if parts[0] in PACKAGES else "edgekit"


@cache
def _is_module(name: str) -> bool:
    place = _place(name)
    return place.with_name(f"{place.name}.py").is_file() or (place / "__init__.py").is_file()


@cache
def _of_module(name: str) -> frozenset[Path]:
    """The file of the longest part of the name that is a module, and every package above it."""
    parts = name.split(".")
    if parts[0] not in PACKAGES:
        return frozenset()
    while len(parts) > 1 and not _is_module(".".join(parts)):
        parts.pop()
    found: set[Path] = set()
    for end in range(1, len(parts) + 1):
        place = _place(".".join(parts[:end]))
        found |= {place.with_name(f"{place.name}.py"), place / "__init__.py"}
    return frozenset(path for path in found if path.is_file())


@cache
def _python_below(place: Path) -> tuple[Path, ...]:
    single = place.with_name(f"{place.name}.py")
    below = [path for path in place.rglob("*.py") if not set(path.parts) & set(_MADE)]
    return (single, *below) if single.is_file() else tuple(below)


@cache
def _named(end: str) -> frozenset[Path]:
    """Files whose name ends so; a script whose name is this."""
    if end == ".py":
        return frozenset()
    if not end.endswith(".py"):
        return frozenset(path for path in _scripts() if path.name == end)
    everything = [path for folder in PACKAGES.values() for path in _python_below(folder)]
    return frozenset(path for path in (*everything, *_scripts()) if path.name.endswith(end))


@cache
def _scripts() -> tuple[Path, ...]:
    found = (path for folder in SCRIPTS for path in (ROOT / folder).rglob("*") if path.is_file())
    return tuple(path for path in found if path.suffix in ("", ".py") and "__pycache__" not in path.parts)


@cache
def _registered() -> dict[str, tuple[str, ...]]:
    """The modules of the plug-ins of this project, by group."""
    found: dict[str, tuple[str, ...]] = {}
    for path in (ROOT / "pyproject.toml", ROOT / "ios_export" / "pyproject.toml"):
        groups = tomllib.loads(path.read_text(encoding="utf-8"))["project"].get("entry-points", {})
        for group, points in groups.items():
            name = group.removeprefix("edgekit.")
            found[name] = (*found.get(name, ()), *(value.split(":")[0] for value in points.values()))
    return found


@cache
def _data_beside(path: Path) -> frozenset[Path]:
    """Files that are no Python in and below the package that holds it: recipes, shipped tables, a style sheet."""
    for name in ("edgekit", "edgekit_ios"):
        folder = PACKAGES[name]
        if path.is_relative_to(folder) and path.parent != folder:
            top = folder / path.relative_to(folder).parts[0]
            return frozenset(
                data for data in top.rglob("*")
                if data.is_file() and data.suffix != ".py" and not set(data.parts) & set(_MADE)
            )  # fmt: skip
    return frozenset()
