"""A validator for just the JSON Schema keywords that edgekit's schema uses; any other keyword is an error."""

from __future__ import annotations

import re
from typing import Any

TYPES = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
}
ABOUT = {"title", "description", "examples", "$schema", "$defs"}


def problems(value: Any, schema: dict[str, Any], root: dict[str, Any], path: str = "$") -> list[str]:
    """What of `value` the schema does not allow."""
    found: list[str] = []
    for keyword, wanted in schema.items():
        if keyword in ABOUT:
            continue
        check = CHECKS[keyword]
        found += check(value, wanted, schema, root, path)
    return found


def _ref(value: Any, wanted: str, _: Any, root: Any, path: str) -> list[str]:
    return problems(value, root["$defs"][wanted.removeprefix("#/$defs/")], root, path)


def _type(value: Any, wanted: Any, *rest: Any) -> list[str]:
    kinds = [wanted] if isinstance(wanted, str) else wanted
    is_bool = isinstance(value, bool)
    fits = any(isinstance(value, TYPES[kind]) and (is_bool == (kind == "boolean")) for kind in kinds)
    return [] if fits else [f"{rest[-1]}: {value!r} is not {wanted}"]


def _properties(value: Any, wanted: dict[str, Any], _: Any, root: Any, path: str) -> list[str]:
    if not isinstance(value, dict):
        return []
    return [
        line
        for name in value
        if name in wanted
        for line in problems(value[name], wanted[name], root, f"{path}.{name}")
    ]


def _additional(value: Any, wanted: Any, schema: Any, root: Any, path: str) -> list[str]:
    if not isinstance(value, dict):
        return []
    extra = [name for name in value if name not in schema.get("properties", {})]
    if wanted is False:
        return [f"{path}: unknown {name}" for name in extra]
    return [line for name in extra for line in problems(value[name], wanted, root, f"{path}.{name}")]


def _names(value: Any, wanted: Any, _: Any, root: Any, path: str) -> list[str]:
    return (
        [line for name in value for line in problems(name, wanted, root, path)]
        if isinstance(value, dict)
        else []
    )


def _items(value: Any, wanted: Any, _: Any, root: Any, path: str) -> list[str]:
    if not isinstance(value, list):
        return []
    return [line for i, one in enumerate(value) for line in problems(one, wanted, root, f"{path}[{i}]")]


def _any_of(value: Any, wanted: Any, _: Any, root: Any, path: str) -> list[str]:
    tried = [problems(value, one, root, path) for one in wanted]
    return [] if any(not one for one in tried) else [f"{path}: {value!r} fits none"]


def _pattern(value: Any, wanted: str, *rest: Any) -> list[str]:
    return (
        []
        if not isinstance(value, str) or re.search(wanted, value)
        else [f"{rest[-1]}: {value!r} !~ {wanted}"]
    )


CHECKS: dict[str, Any] = {
    "$ref": _ref,
    "type": _type,
    "properties": _properties,
    "additionalProperties": _additional,
    "propertyNames": _names,
    "items": _items,
    "anyOf": _any_of,
    "pattern": _pattern,
    "enum": lambda value, wanted, *rest: (
        [] if value in wanted else [f"{rest[-1]}: {value!r} not in {wanted}"]
    ),
    "required": lambda value, wanted, *rest: [f"{rest[-1]}: no {n}" for n in wanted if n not in value],
    "minimum": lambda value, wanted, *rest: _bound(value, lambda v: v >= wanted, rest[-1]),
    "maximum": lambda value, wanted, *rest: _bound(value, lambda v: v <= wanted, rest[-1]),
    "minLength": lambda value, wanted, *rest: _length(value, lambda n: n >= wanted, rest[-1]),
    "maxLength": lambda value, wanted, *rest: _length(value, lambda n: n <= wanted, rest[-1]),
}


def _bound(value: Any, fits: Any, path: str) -> list[str]:
    return [] if not isinstance(value, int | float) or fits(value) else [f"{path}: {value} out of range"]


def _length(value: Any, fits: Any, path: str) -> list[str]:
    return [] if not isinstance(value, str) or fits(len(value)) else [f"{path}: length {len(value)}"]
