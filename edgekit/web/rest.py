"""The REST API: other stores' runs come in, records go out. docs/dashboard.md has it in words, `openapi.py` in schemas.

Everything is idempotent by a record's id: what is there already, byte for byte, is no error and changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from edgekit.errors import InputError
from edgekit.records import decode
from edgekit.results.asking import RunRow
from edgekit.results.labelling import MAX_LABELS
from edgekit.results.naming import can_be_named
from edgekit.results.store import Store
from edgekit.results.wire import unpacked
from edgekit.web.queries import cursor_of, filters_of, text_of

MAX_RUN_BYTES = 64 << 20
MAX_QUESTION_BYTES = 2 << 20
MAX_LABELS_BYTES = 256 << 10
MAX_ASKED = 10_000
MAX_LISTED = 200
ROOT = "/api/v1"


class TooLarge(InputError):
    """A body that is larger than is taken."""

    default_code = "E_TOO_LARGE"


class NotJson(InputError):
    """A body that says that it is something else."""

    default_code = "E_CONTENT_TYPE"


class OtherId(InputError):
    """A record that is put where another one belongs."""

    default_code = "E_OTHER_ID"


class Known(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A run that a client has: its id and its seal, the sha256 of the record's JSON."""

    id: str
    sha256: str


class Question(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    records: list[Known]


class Listed(msgspec.Struct, frozen=True):
    """One run of a listing; metrics in their own units, what is unknown left out."""

    id: str
    started_at: str
    model: str
    version: str | None
    recipe: str | None
    profile: str | None
    device: str
    device_model: str | None
    runtime: str
    verdict: str
    metrics: dict[str, float]


def router(store: Store) -> APIRouter:
    """All calls, on this store."""
    api = APIRouter(prefix=ROOT, include_in_schema=False)

    @api.get("/health")
    def health() -> Response:
        return _json({"status": "ok"})

    @api.post("/records/missing")
    async def missing(request: Request) -> Response:
        body = await _body(request, MAX_QUESTION_BYTES)
        return await run_in_threadpool(_missing, store, body)

    @api.api_route("/records/{run}", methods=["GET", "PUT"])  # one route, so that 405 names both
    async def one(run: str, request: Request) -> Response:
        if request.method == "GET":
            return await run_in_threadpool(_get, store, run)
        body = await _body(request, MAX_RUN_BYTES)
        return await run_in_threadpool(_put, store, run, body)

    @api.api_route("/records/{run}/labels", methods=["GET", "PATCH"])
    async def labels(run: str, request: Request) -> Response:
        if request.method == "GET":
            return await run_in_threadpool(_labels, store, run, None)
        body = await _body(request, MAX_LABELS_BYTES)
        return await run_in_threadpool(_labels, store, run, body)

    @api.get("/records")
    def listed(request: Request) -> Response:
        return _listed(store, request.query_params)

    return api


def _missing(store: Store, body: bytes) -> Response:
    try:
        question = msgspec.json.decode(body, type=Question)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"not a question for records: {error}", code="E_SENT") from error
    if len(question.records) > MAX_ASKED:
        raise InputError(f"more than {MAX_ASKED} records in one question", code="E_SENT")
    there = store.seals([one.id for one in question.records])
    absent = [one.id for one in question.records if one.id not in there]
    others = [one.id for one in question.records if there.get(one.id, one.sha256) != one.sha256]
    return _json({"missing": absent, "conflicts": others})


def _get(store: Store, run: str) -> Response:
    data, seal = store.get_bytes(run)
    return Response(data, media_type="application/json", headers={"etag": f'"{seal}"'})


def _labels(store: Store, run: str, body: bytes | None) -> Response:
    """With a body: change them first. A value of null takes a label away."""
    run_id = store.resolve(run)
    if body is None:
        return _json({"id": run_id, "labels": store.labels(run_id)})
    try:
        asked = msgspec.json.decode(body, type=dict[str, str | None])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"not labels: {error}", code="E_SENT") from error
    put = {key: value for key, value in asked.items() if value is not None}
    remove = [key for key, value in asked.items() if value is None]
    if len(asked) > MAX_LABELS:
        raise InputError(f"more than {MAX_LABELS} labels at once", code="E_SENT")
    return _json({"id": run_id, "labels": store.change_labels(run_id, put, remove)})


def _put(store: Store, run: str, body: bytes) -> Response:
    data, samples, labels = unpacked(body)
    record = decode(data)
    if record.id != run:
        raise OtherId(f"this is record {record.id!r}, not the one of the address")
    if not can_be_named(record.id):
        raise InputError("this id cannot be in an address", code="E_SENT")
    added = store.add(data, samples, labels=labels)
    return _json({"id": record.id, "added": added}, status=201 if added else 200)


def _listed(store: Store, parameters: Mapping[str, str]) -> Response:
    try:
        limit = int(parameters.get("limit", "50")[:10])
    except ValueError:
        limit = 0
    if not 1 <= limit <= MAX_LISTED:
        raise InputError(f"limit is a number from 1 to {MAX_LISTED}", code="E_LIMIT_PARAMETER")
    rows = store.list(filters_of(parameters), limit=limit + 1, before=cursor_of(parameters.get("before")))
    following = text_of(rows[limit - 1].cursor) if len(rows) > limit else None
    return _json({"runs": [_of(row) for row in rows[:limit]], "next": following})


def _of(row: RunRow) -> Listed:
    return Listed(
        id=row.id,
        started_at=row.started_at,
        model=row.model_name,
        version=row.model_version,
        recipe=row.recipe,
        profile=row.profile,
        device=row.device_address,
        device_model=row.device_model,
        runtime=row.runtime,
        verdict=row.verdict,
        metrics={name: value for name, value in row.metrics.items() if value is not None},
    )


async def _body(request: Request, limit_bytes: int) -> bytes:
    """The whole body. Raises NotJson, TooLarge: as soon as it says so, or as soon as it is."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise NotJson("the body must be application/json")
    stated = request.headers.get("content-length", "")
    if stated.isascii() and stated.isdigit() and int(stated[:20]) > limit_bytes:
        raise TooLarge(f"a body may have {limit_bytes >> 20} MiB")
    pieces, size = [], 0
    async for piece in request.stream():
        size += len(piece)
        if size > limit_bytes:
            raise TooLarge(f"a body may have {limit_bytes >> 20} MiB")
        pieces.append(piece)
    return b"".join(pieces)


def _json(document: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(document), status_code=status, media_type="application/json")
