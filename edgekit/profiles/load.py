"""Loading and checking: read a file and what it extends, find every error, merge, convert."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, cast

import msgspec
from msgspec import inspect as mi

from edgekit.errors import Finding, ProfileError
from edgekit.profiles.check import Walk, suggestion
from edgekit.profiles.nodes import MapNode, Node, Scalar, merge, read_nodes
from edgekit.profiles.rules import check_rules
from edgekit.profiles.schema import Document, Profile
from edgekit.profiles.search import find_named, find_parent, looks_like_path, profile_files

MAX_EXTENDS = 8


class Resolved(msgspec.Struct, frozen=True):
    """A profile's files merged; `profile` is None exactly where there are findings."""

    profile: Profile | None
    tree: Node | None
    findings: tuple[Finding, ...]


def load_profile(name_or_path: str | Path) -> Profile:
    """The resolved profile of a name (user's folder, then the shipped ones) or of a file.

    A text with a slash or ending in .yaml or .yml is a file. Raises ProfileError with every finding:
    E_PROFILE_NOT_FOUND where there is none of that name, E_PROFILE where it has errors.
    """
    path = locate(name_or_path)
    resolved = resolve(path)
    if resolved.profile is None:
        raise profile_error(resolved.findings)
    if not isinstance(name_or_path, Path) and not looks_like_path(name_or_path):
        _check_own_name(resolved, path, name_or_path)
    return resolved.profile


def check_profile(path: str | Path) -> list[Finding]:
    """Everything that is wrong with a profile file and what it extends; empty where it is right."""
    return list(resolve(Path(path)).findings)


def locate(name_or_path: str | Path) -> Path:
    """The file meant. Raises ProfileError E_PROFILE_NOT_FOUND, with the nearest name that exists."""
    if isinstance(name_or_path, Path) or looks_like_path(name_or_path):
        path = Path(name_or_path).expanduser()
        if not path.is_file():
            raise ProfileError(
                f"there is no profile file {path}",
                [Finding(str(path), None, "", "there is no such file")],
                code="E_PROFILE_NOT_FOUND",
                hint="edgekit profile list shows the profiles that have a name",
            )
        return path
    found = find_named(name_or_path)
    if found is None:
        near = suggestion(name_or_path, profile_files())
        raise ProfileError(
            f"there is no profile called '{name_or_path}'{near}",
            code="E_PROFILE_NOT_FOUND",
            hint="edgekit profile list shows them; a file is given with its path",
        )
    return found


def profile_error(findings: tuple[Finding, ...] | list[Finding]) -> ProfileError:
    """One error for all findings."""
    first = findings[0]
    more = f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
    return ProfileError(
        f"{first}{more}", findings, hint=f"edgekit profile check {first.file} shows every error with its line"
    )


def resolve(path: Path) -> Resolved:
    """Read, check and merge a file with all that it extends."""
    chain, findings = chain_of(path)
    for tree in chain:
        walk = Walk()
        walk.value(_document_type(), tree, "")
        findings += walk.findings
    order = {tree.file: number for number, tree in enumerate(chain)}
    findings = sorted(
        dict.fromkeys(findings), key=lambda one: (order.get(one.file, len(order)), one.line or 0)
    )
    if not chain:
        return Resolved(None, None, tuple(findings))
    merged = merge_chain(chain)
    if findings:
        return Resolved(None, merged, tuple(findings))
    values = Walk().value(_document_type(), merged, "")
    document = msgspec.convert(values, Document)
    if broken := check_rules(document, merged):
        return Resolved(None, merged, tuple(broken))
    return Resolved(_profile(document, tuple(tree.file for tree in chain)), merged, ())


def merge_chain(chain: list[MapNode]) -> MapNode:
    """`chain` is child first. What says who a file is (name, description, extends) is never inherited, and
    export_only neither: it is about the one device."""
    merged = chain[-1]
    for child in reversed(chain[:-1]):
        kept = {k: v for k, v in merged.items.items() if k not in ("description", "extends", "export_only")}
        merged = cast(MapNode, merge(MapNode(kept, merged.file, merged.line), child))
    return merged


Reader = Callable[[Path], tuple[MapNode | None, list[Finding]]]


def chain_of(path: Path, read: Reader = read_nodes) -> tuple[list[MapNode], list[Finding]]:
    """The file and its ancestors, child first; stops with a finding where one cannot be had."""
    chain: list[MapNode] = []
    findings: list[Finding] = []
    seen: list[Path] = []
    while True:
        seen.append(path.resolve())
        tree, found = read(path)
        findings += found
        if tree is None:
            return chain, findings
        chain.append(tree)
        entry = tree.items.get("extends")
        if entry is None or not isinstance(entry[1], Scalar):
            return chain, findings
        parent, problem = _parent(entry[1], path, seen)
        if parent is None:
            findings.append(problem)
            return chain, findings
        path = parent


def _parent(extends: Scalar, child: Path, seen: list[Path]) -> tuple[Path | None, Finding]:
    name = extends.text
    parent = find_parent(name, child) if name else None
    problem = f"there is no profile '{name}' to extend"
    if parent is None:
        problem += suggestion(name, profile_files())
    elif parent.resolve() in seen:
        loop = " -> ".join([*(p.stem for p in seen[seen.index(parent.resolve()) :]), parent.stem])
        parent, problem = None, f"extends itself in a circle: {loop}"
    elif len(seen) >= MAX_EXTENDS:
        parent, problem = None, f"extends more than {MAX_EXTENDS} levels"
    return parent, Finding(extends.file, extends.line, "extends", problem)


def _check_own_name(resolved: Resolved, path: Path, asked: str) -> None:
    profile = resolved.profile
    if profile is not None and profile.name != asked:
        raise profile_error(
            [Finding(str(path), 1, "name", f"is '{profile.name}', but the file is called '{path.name}'")]
        )


def _profile(document: Document, sources: tuple[str, ...]) -> Profile:
    values: dict[str, Any] = {name: getattr(document, name) for name in document.__struct_fields__}
    return Profile(**values, sources=sources)


@cache
def _document_type() -> mi.Type:
    return mi.type_info(Document)
