"""The API's description (OpenAPI 3.1). Schemas come from the types that the server reads with."""

from __future__ import annotations

from typing import Any

import msgspec

from edgekit._version import __version__
from edgekit.records import Record
from edgekit.results.filters import VERDICTS
from edgekit.results.labelling import MAX_KEY, MAX_LABELS, MAX_VALUE
from edgekit.results.naming import MAX_ID
from edgekit.results.wire import MAX_PARTS, SentSamples
from edgekit.web.rest import MAX_ASKED, MAX_LISTED, ROOT, Listed, Question


class Failure(msgspec.Struct):
    code: str
    message: str
    hint: str | None = None


class Failed(msgspec.Struct):
    """What went wrong."""

    error: Failure


class Answer(msgspec.Struct):
    """`conflicts`: ids under which there is another record."""

    missing: list[str]
    conflicts: list[str]


class Put(msgspec.Struct):
    """`added`: false where it was there already."""

    id: str
    added: bool


class Labelled(msgspec.Struct):
    id: str
    labels: dict[str, str]


class Listing(msgspec.Struct):
    """`next`: the `before` of the next page; null at the end."""

    runs: list[Listed]
    next: str | None


class Health(msgspec.Struct):
    status: str


_TYPES = (Record, SentSamples, Question, Answer, Put, Labelled, Listing, Failed, Health)


def document() -> dict[str, Any]:
    """The whole description."""
    every, components = msgspec.json.schema_components(_TYPES, ref_template="#/components/schemas/{name}")
    schema = dict(zip(_TYPES, every, strict=True))
    components["SentSamples"]["properties"]["launches"]["maxItems"] = MAX_PARTS
    components["Question"]["properties"]["records"]["maxItems"] = MAX_ASKED
    run = {
        "type": "object",
        "title": "SentRun",
        "description": "A record and its samples, which are Base64 of zlib of little-endian float64.",
        "properties": {
            "record": schema[Record],
            "samples": {"anyOf": [schema[SentSamples], {"type": "null"}]},
            "labels": {"anyOf": [_LABELS, {"type": "null"}]},
        },
        "required": ["record"],
        "additionalProperties": False,
    }
    failed = {code: _answer(words, schema[Failed]) for code, words in _FAILURES.items()}

    def failures(*codes: str) -> dict[str, Any]:
        return {code: failed[code] for code in codes}

    identifier = {
        "name": "run", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1, "maxLength": MAX_ID}
    }  # fmt: skip
    paths = {
        f"{ROOT}/health": {
            "get": {"operationId": "health", "summary": "Whether the server lives.", "security": [],
                    "responses": {"200": _answer("It does.", schema[Health]), **failures("403")}},
        },
        f"{ROOT}/records/missing": {
            "post": {
                "operationId": "missing", "summary": "Which of these records are not here.",
                "requestBody": _body(schema[Question]),
                "responses": {"200": _answer("Ids.", schema[Answer]), **failures("400", "401", "403", "413", "415", "503")},
            }
        },
        f"{ROOT}/records": {
            "get": {
                "operationId": "list", "summary": "Runs, newest first.", "parameters": _LIST_PARAMETERS,
                "responses": {"200": _answer("One page.", schema[Listing]), **failures("400", "401", "403", "503")},
            }
        },
        f"{ROOT}/records/{{run}}": {
            "get": {
                "operationId": "get", "summary": "A record, byte for byte as it came; its seal is the ETag.",
                "parameters": [identifier],
                "responses": {"200": _answer("The record.", schema[Record]), **failures("400", "401", "403", "404", "503")},
            },
            "put": {
                "operationId": "put", "summary": "Keep a run; done again it changes nothing.",
                "parameters": [identifier], "requestBody": _body(run),
                "responses": {
                    "200": _answer("It was there already.", schema[Put]),
                    "201": _answer("It is kept.", schema[Put]),
                    **failures("400", "401", "403", "404", "409", "413", "415", "503"),
                },
            },
        },
        f"{ROOT}/records/{{run}}/labels": {
            "get": {
                "operationId": "labels", "summary": "The labels that a run has now.", "parameters": [identifier],
                "responses": {"200": _answer("All of them.", schema[Labelled]), **failures("400", "401", "403", "404", "503")},
            },
            "patch": {
                "operationId": "label", "summary": "Set labels; null takes one away. The record stays as it is.",
                "parameters": [identifier], "requestBody": _body(_CHANGES),
                "responses": {
                    "200": _answer("All that it has now.", schema[Labelled]),
                    **failures("400", "401", "403", "404", "413", "415", "503"),
                },
            },
        },
    }  # fmt: skip
    return {
        "openapi": "3.1.0",
        "info": {"title": "edgekit results", "version": __version__},
        "paths": paths,
        "security": [{"token": []}, {}],
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


_KEY = {"minLength": 1, "maxLength": MAX_KEY, "pattern": "^[^=]+$"}
_VALUE = {"type": "string", "maxLength": MAX_VALUE}
_LABELS = {
    "type": "object", "description": "Labels now, where they are not those that the record says.",
    "propertyNames": _KEY, "additionalProperties": _VALUE, "maxProperties": MAX_LABELS,
}  # fmt: skip
_CHANGES = {
    "type": "object", "propertyNames": _KEY, "additionalProperties": {"anyOf": [_VALUE, {"type": "null"}]},
    "maxProperties": MAX_LABELS,
}  # fmt: skip
_FAILURES = {
    "400": "What was sent is wrong.",
    "401": "A token is needed.",
    "403": "Not from another site's page.",
    "404": "There is no such run.",
    "409": "Another record has this id, or this record has another one.",
    "413": "Too large.",
    "415": "Not application/json.",
    "503": "The store is locked, full or damaged.",
}
_LIST_PARAMETERS = [
    {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": MAX_LISTED}},
    *(
        {"name": name, "in": "query", "schema": {"type": "string", "maxLength": 300}}
        for name in ("model", "device", "recipe", "runtime", "since", "label", "where")
    ),
    {"name": "verdict", "in": "query", "schema": {"type": "string", "enum": list(VERDICTS)}},
    {"name": "before", "in": "query", "description": "The `next` of the page before.",
     "schema": {"type": "string", "maxLength": 300}},
]  # fmt: skip


def _answer(words: str, schema: Any) -> dict[str, Any]:
    return {"description": words, "content": {"application/json": {"schema": schema}}}


def _body(schema: Any) -> dict[str, Any]:
    return {"required": True, "content": {"application/json": {"schema": schema}}}
