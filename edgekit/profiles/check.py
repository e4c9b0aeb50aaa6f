"""Nodes against the schema: every error at once, each with its line, and the typed values where there are none.

The walk follows what msgspec says about the Structs of `schema.py`, so a field is described in one place only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import inspect as mi

from edgekit.cache import is_file
from edgekit.errors import Finding, InputError
from edgekit.profiles.nodes import ListNode, MapNode, Node, Scalar
from edgekit.units import parse_quantity

UNSET: Final = msgspec.UNSET
"""What the walk gives for a value that has a finding."""
_INTEGER: Final = re.compile(r"[+-]?\d{1,18}", re.ASCII)
_NULLS: Final = ("", "~", "null", "Null", "NULL")


class Walk:
    """One walk over one tree; collects findings."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []

    def bad(self, node: Node, path: str, message: str) -> Any:
        self.findings.append(Finding(node.file, node.line, path, message))
        return UNSET

    def value(self, kind: mi.Type, node: Node, path: str, meta: mi.Metadata | None = None) -> Any:
        """The value as builtins, or UNSET with a finding."""
        if isinstance(kind, mi.Metadata):
            return self.value(kind.type, node, path, kind)
        if isinstance(kind, mi.UnionType):
            return self.union(kind, node, path)
        if isinstance(kind, mi.StructType):
            return self.struct(kind, node, path)
        if isinstance(kind, mi.DictType):
            return self.mapping(kind, node, path)
        if isinstance(kind, mi.VarTupleType):
            return self.sequence(kind, node, path)
        what = (meta.extra_json_schema or {}).get("description") if meta else None
        return self.scalar(kind, node, path, {**((meta.extra or {}) if meta else {}), "what": what})

    def union(self, kind: mi.UnionType, node: Node, path: str) -> Any:
        choices = [one for one in kind.types if not isinstance(one, mi.NoneType)]
        lists = [one for one in choices if isinstance(_plain(one), mi.VarTupleType)]
        others = [one for one in choices if one not in lists]
        return self.value((lists if isinstance(node, ListNode) and lists else others or lists)[0], node, path)

    def struct(self, kind: mi.StructType, node: Node, path: str) -> Any:
        if not isinstance(node, MapNode):
            return self.bad(node, path, f"must be a map of {_words(f.encode_name for f in kind.fields)}")
        fields = {field.encode_name: field for field in kind.fields}
        values = {}
        for name, (key, child) in node.items.items():
            here = f"{path}.{name}" if path else name
            field = fields.get(name)
            if field is None:
                self.bad(key, here, f"unknown key '{name}'{suggestion(name, fields)}")
                continue
            values[name] = self.value(field.type, child, here)
        for name, field in fields.items():
            if field.required and name not in node.items:
                self.bad(node, f"{path}.{name}" if path else name, f"'{name}' is missing")
        return values

    def mapping(self, kind: mi.DictType, node: Node, path: str) -> Any:
        if not isinstance(node, MapNode):
            return self.bad(node, path, "must be a map")
        values = {}
        for name, (key, child) in node.items.items():
            here = f"{path}.{name}" if path else name
            key_value = self.value(kind.key_type, key, here)
            if key_value is not UNSET:
                values[key_value] = self.value(kind.value_type, child, here)
        return values

    def sequence(self, kind: mi.VarTupleType, node: Node, path: str) -> Any:
        if not isinstance(node, ListNode):
            return self.bad(node, path, "must be a list, such as [a, b]")
        values = [self.value(kind.item_type, item, f"{path}[{i}]") for i, item in enumerate(node.items)]
        for index, item in enumerate(node.items):
            value = values[index]  # numbers may be the same: one for each colour of an image
            if isinstance(item, Scalar) and isinstance(value, str) and value in values[:index]:
                self.bad(item, f"{path}[{index}]", f"'{item.text}' is in this list twice")
        return values

    def scalar(self, kind: mi.Type, node: Node, path: str, extra: dict[str, Any]) -> Any:
        if not isinstance(node, Scalar):
            found = "a map" if isinstance(node, MapNode) else "a list"
            return self.bad(node, path, f"must be a single value, this is {found}")
        if node.plain and node.text in _NULLS:
            return self.bad(node, path, "has no value; give one or remove the key")
        if "quantity" in extra:
            value = self.quantity(extra["quantity"], node, path)
            return int(value) if isinstance(kind, mi.IntType) and value is not UNSET else value
        if "known" in extra:
            return self.open_enum(extra, node, path)
        if "recipes" in extra:
            return self.recipe(extra["recipes"], node, path)
        if isinstance(kind, mi.LiteralType):
            return self.literal(kind, node, path)
        if isinstance(kind, mi.BoolType):
            if node.plain and node.text in ("true", "false"):
                return node.text == "true"
            return self.bad(node, path, f"must be true or false, not '{_short(node.text)}'")
        if isinstance(kind, mi.IntType | mi.FloatType):
            return self.number(kind, node, path)
        if isinstance(kind, mi.StrType):
            return self.string(kind, node, path, extra["what"])
        raise TypeError(f"the schema uses a type that the checker does not know: {kind}")

    def quantity(self, kind: Any, node: Scalar, path: str) -> Any:
        try:
            value = parse_quantity(kind, node.text)
        except InputError as error:
            return self.bad(node, path, f"{error.message}; {error.hint}")
        return value

    def open_enum(self, extra: dict[str, Any], node: Scalar, path: str) -> Any:
        if node.text in extra["known"]:
            return node.text
        from edgekit.registry import plugins  # tens of milliseconds: only for a name that is not built in

        installed = plugins(extra["group"])
        if node.text in installed:
            return node.text
        names = sorted({*extra["known"], *installed})
        return self.bad(
            node,
            path,
            f"unknown '{_short(node.text)}' (known: {_words(names)}){suggestion(node.text, names)}{extra['elsewhere']}",
        )

    def recipe(self, known: tuple[str, ...], node: Scalar, path: str) -> Any:
        """A built-in recipe's name, or the path of a file, from where this file lies."""
        if node.text in known:
            return node.text
        if not node.text.endswith((".yaml", ".yml")):
            near = suggestion(node.text, known)
            return self.bad(
                node, path, f"must be one of {_words(known)}, or FILE.yaml, not '{_short(node.text)}'{near}"
            )
        file = (Path(node.file).parent / node.text).absolute()
        return (
            str(file)
            if is_file(file)
            else self.bad(node, path, f"there is no recipe file {_short(str(file))}")
        )

    def literal(self, kind: mi.LiteralType, node: Scalar, path: str) -> Any:
        by_text = {str(value): value for value in kind.values}
        text = node.text.removeprefix("+") if all(isinstance(v, int) for v in kind.values) else node.text
        if text in by_text:
            return by_text[text]
        allowed = f"must be {_words(by_text)}" if len(by_text) == 1 else f"must be one of {_words(by_text)}"
        return self.bad(node, path, f"{allowed}, not '{_short(node.text)}'{suggestion(node.text, by_text)}")

    def number(self, kind: mi.IntType | mi.FloatType, node: Scalar, path: str) -> Any:
        whole = isinstance(kind, mi.IntType)
        value: float
        if node.plain and _INTEGER.fullmatch(node.text):
            value = int(node.text)
        elif not whole and node.plain and re.fullmatch(r"[+-]?\d{1,18}\.\d{0,18}", node.text, re.ASCII):
            value = float(node.text)
        else:
            return self.bad(
                node, path, f"must be a {'whole ' if whole else ''}number, not '{_short(node.text)}'"
            )
        if (kind.ge is not None and value < kind.ge) or (kind.le is not None and value > kind.le):
            return self.bad(node, path, f"must be from {kind.ge} to {kind.le}, not {node.text}")
        return value

    def string(self, kind: mi.StrType, node: Scalar, path: str, what: str | None) -> Any:
        text = node.text.rstrip("\n")  # a block scalar ends with one
        if any(ord(letter) < 32 or ord(letter) == 127 for letter in text):
            return self.bad(node, path, "has control characters")
        if kind.min_length is not None and len(text) < kind.min_length:
            return self.bad(node, path, "is empty")
        if kind.max_length is not None and len(text) > kind.max_length:
            return self.bad(node, path, f"is longer than {kind.max_length} characters")
        if kind.pattern is not None and not re.search(kind.pattern, text, re.ASCII):
            return self.bad(node, path, f"'{_short(text)}' does not fit; what fits: {what or kind.pattern}")
        return text


def _plain(kind: mi.Type) -> mi.Type:
    return kind.type if isinstance(kind, mi.Metadata) else kind


def _words(names: Iterable[object]) -> str:
    return ", ".join(str(name) for name in names)


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."


def suggestion(word: str, known: Iterable[str]) -> str:
    """ "; did you mean 'x'?" where one known word is near, else ""."""
    from difflib import get_close_matches

    candidates = list(known)
    lower = {name.lower(): name for name in candidates}
    close = get_close_matches(
        word.lower().replace("_", "-"), [n.replace("_", "-") for n in lower], n=1, cutoff=0.6
    )
    if not close:
        return ""
    original = next(name for low, name in lower.items() if low.replace("_", "-") == close[0])
    return f"; did you mean '{original}'?"
