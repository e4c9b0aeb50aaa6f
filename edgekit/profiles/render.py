"""A resolved profile as YAML again, each value with the file and line it came from."""

from __future__ import annotations

import json
from pathlib import Path

from edgekit.profiles.nodes import ListNode, MapNode, Node, Scalar


def render_tree(tree: Node) -> str:
    """YAML text that means what `tree` means; comments say `file:line` of every single value and list."""
    lines: list[tuple[str, str]] = []
    _emit(tree, 0, "", lines)
    width = min(60, max((len(text) for text, _ in lines), default=0))
    rows = (f"{text:<{width}}  # {origin}" if origin else text for text, origin in lines)
    return "\n".join(rows) + "\n"


def _emit(node: Node, indent: int, prefix: str, lines: list[tuple[str, str]]) -> None:
    pad = "  " * indent
    if isinstance(node, MapNode):
        if prefix:
            lines.append((f"{pad}{prefix}", ""))
        for key, value in node.items.values():
            inner = indent + (1 if prefix else 0)
            label = f"{_text(key)}:"
            if isinstance(value, MapNode) and value.items:
                _emit(value, inner, label, lines)
            else:
                lines.append((f"{'  ' * inner}{label} {_flow(value)}", _origin(value)))
    else:
        lines.append((f"{pad}{prefix} {_flow(node)}".rstrip(), _origin(node)))


def _flow(node: Node) -> str:
    if isinstance(node, Scalar):
        return _text(node)
    if isinstance(node, ListNode):
        return "[" + ", ".join(_flow(item) for item in node.items) + "]"
    return "{" + ", ".join(f"{_text(key)}: {_flow(value)}" for key, value in node.items.values()) + "}"


def _text(node: Scalar) -> str:
    safe = node.plain and node.text.isprintable() and not any(sign in node.text for sign in ",[]{}#:\"'")
    return node.text if safe else json.dumps(node.text, ensure_ascii=False)


def _origin(node: Node) -> str:
    return f"{Path(node.file).name}:{node.line}"
