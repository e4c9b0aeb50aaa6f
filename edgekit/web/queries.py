"""From a page's address to filters of the store, and back. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from edgekit.errors import InputError
from edgekit.results.filters import Filter, parse_filters
from edgekit.results.select import Cursor

FIELDS = ("model", "recipe", "device", "soc", "runtime", "project")
"""Parameters that are part of a word; they become `model~det` and so on."""
MAX_LENGTH = 300


def filters_of(parameters: Mapping[str, str]) -> tuple[Filter, ...]:
    """`model`, `recipe`, `device`, `soc`, `runtime`, `project`: part of the word, or all of it with = before it;
    `verdict`, `since`, `label`: as on the command line; `where`: any filters, set apart by spaces.

    Raises InputError E_FILTER, E_SINCE.
    """
    words = _given(parameters, FIELDS)
    parts = [Filter(name, "~", (value,)) for name, value in words if not value.startswith("=")]
    texts = [f"{name}={value[1:]}" for name, value in words if value.startswith("=")]
    texts += [f"{name}={value}" for name, value in _given(parameters, ("verdict", "since", "label"))]
    texts += [one for _, value in _given(parameters, ("where",)) for one in value.split()]
    return (*parts, *parse_filters(texts))


def _given(parameters: Mapping[str, str], names: tuple[str, ...]) -> list[tuple[str, str]]:
    pairs = [(name, parameters.get(name, "").strip().replace("\0", "\ufffd")) for name in names]
    for name, value in pairs:
        if len(value) > MAX_LENGTH:
            raise InputError(f"'{name}' has more than {MAX_LENGTH} characters", code="E_FILTER")
    return [(name, value) for name, value in pairs if value]


def cursor_of(text: str | None) -> Cursor | None:
    """Where a page of a listing begins. Raises InputError E_CURSOR."""
    if not text:
        return None
    if len(text) > MAX_LENGTH:
        raise InputError("this is no place in a listing", code="E_CURSOR", hint="begin at the newest run")
    moment, _, run = text.partition("_")
    try:
        return Cursor(float.fromhex(moment), run.replace("\0", "\ufffd"))
    except (ValueError, OverflowError):
        raise InputError(
            "this is no place in a listing", code="E_CURSOR", hint="begin at the newest run"
        ) from None


def text_of(cursor: Cursor) -> str:
    """The inverse of `cursor_of`, exact."""
    return f"{cursor.started_s.hex()}_{cursor.id}"
