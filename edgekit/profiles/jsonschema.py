"""The JSON Schema of profiles, for editors: made from the same Structs that the checker walks."""

from __future__ import annotations

from typing import Any, cast

import msgspec

from edgekit.profiles.schema import SCHEMA, Document
from edgekit.units import Kind, quantity_pattern

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of one profile file as written: quantities are texts with a unit.

    What one value says against another, and whether `extends` names something, is for `profile check`.
    """
    return adapted(msgspec.json.schema(Document), SCHEMA)


def adapted(schema: dict[str, Any], title: str) -> dict[str, Any]:
    """What msgspec says of a Struct, as people write it in YAML."""
    return {"$schema": DIALECT, "title": title, **cast("dict[str, Any]", _adapt(schema))}


def schema_text() -> str:
    """The same as text, stable byte for byte: the file beside the shipped profiles."""
    return msgspec.json.format(msgspec.json.encode(json_schema()), indent=2).decode() + "\n"


def _adapt(node: Any) -> Any:
    """The wire types that msgspec describes (numbers in base units, null for unset) to what people write."""
    if isinstance(node, list):
        return [_adapt(one) for one in node]
    if not isinstance(node, dict):
        return node
    about = {"description": node["description"]} if "description" in node else {}
    if "x-quantity" in node:
        return {**about, **_quantity(node["x-quantity"])}
    if "x-cpus" in node:
        text = {"type": "string", "pattern": node["pattern"]}
        return {**about, "anyOf": [text, {"type": "integer", "minimum": 0}]}
    if "x-number" in node:
        return {**about, "type": ["string", "number"]}
    return _without_null({key: _adapt(value) for key, value in node.items() if key != "default"})


def _quantity(kind: Kind) -> dict[str, Any]:
    text: dict[str, Any] = {"type": "string", "pattern": quantity_pattern(kind)}
    return {"anyOf": [text, {"type": "number", "minimum": 0}]} if kind == "ratio" else text


def _without_null(node: dict[str, Any]) -> dict[str, Any]:
    """An unset key is left out of the file, never null."""
    if isinstance(node.get("enum"), list):
        return {**node, "enum": [value for value in node["enum"] if value is not None]}
    choices = node.get("anyOf")
    if not isinstance(choices, list):
        return node
    kept = [
        _without_null(choice) if isinstance(choice, dict) else choice
        for choice in choices
        if not (isinstance(choice, dict) and choice.get("type") == "null")
    ]
    rest = {key: value for key, value in node.items() if key != "anyOf"}
    return {**rest, **kept[0]} if len(kept) == 1 else {**rest, "anyOf": kept}
