"""JSON from files that may be hostile: neither too deep nor made of too many parts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from edgekit.errors import ModelError
from edgekit.models.flat import Damaged

MAX_PARTS = 4_000_000
"""Objects, lists and elements of one document: each takes some 100 bytes once it is parsed."""
MAX_DEPTH = 200


def read_json(data: bytes, what: str, limit_parts: int = MAX_PARTS) -> Any:
    """A parsed document; `what` is for messages. Raises ModelError E_MODEL_CORRUPT."""
    if sum(data.count(mark) for mark in (b"{", b"[", b",")) > limit_parts:
        raise _corrupt(f"{what} has more than {limit_parts} parts")
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _corrupt(f"{what} is no valid JSON: {error}") from error


def objects(value: Any, what: str, depth: int = 0) -> Iterator[Mapping[str, Any]]:
    """Every object of a document, on any level. Raises Damaged where it is nested more than MAX_DEPTH deep."""
    if depth > MAX_DEPTH:
        raise Damaged(f"{what} is nested more than {MAX_DEPTH} deep")
    if isinstance(value, Mapping):
        yield value
        value = list(value.values())
    for inner in value if isinstance(value, list) else ():
        if isinstance(inner, Mapping | list):
            yield from objects(inner, what, depth + 1)


def _corrupt(message: str) -> ModelError:
    return ModelError(message, code="E_MODEL_CORRUPT", hint="copy or export the model again")
