"""A record to JSON and back. Reading is strict: an unknown key or a wrong type is an error with its path."""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime
from typing import Any

import msgspec

from edgekit.errors import InputError
from edgekit.records.schema import SCHEMA, Record

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_TAIL_LENGTH = 6
_SCHEMA_NAME = re.compile(r"edgekit\.record/(\d+)")


class _Envelope(msgspec.Struct):
    schema: str


def new_id(now: datetime | None = None) -> str:
    """A new id that sorts by time: `20260131-120000123-k3f9q2` (UTC to the millisecond, 30 random bits)."""
    moment = (now or datetime.now(UTC)).astimezone(UTC)
    tail = "".join(secrets.choice(_ALPHABET) for _ in range(_TAIL_LENGTH))
    return f"{moment:%Y%m%d-%H%M%S}{moment.microsecond // 1000:03d}-{tail}"


def to_builtins(record: Record) -> dict[str, Any]:
    """The record as plain dicts and lists, as it stands in JSON."""
    plain: dict[str, Any] = msgspec.to_builtins(record)
    energy = plain["energy"]
    if energy["unavailable"] is not None:
        plain["energy"] = {"unavailable": energy["unavailable"]}
    else:
        del energy["unavailable"]
    return plain


def encode(record: Record) -> bytes:
    """JSON in UTF-8, one line, keys in the order of the schema."""
    return msgspec.json.encode(to_builtins(record))


def decode(data: bytes | str) -> Record:
    """Read a record. Raises InputError (E_RECORD) whose message ends with the path of what is wrong."""
    try:
        return msgspec.json.decode(data, type=Record)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        if (found := _other_schema(data)) is not None:
            raise InputError(
                f"the record has schema '{found}'; this edgekit reads '{SCHEMA}' - at `$.schema`",
                code="E_RECORD",
                hint="read it with the edgekit that wrote it, or upgrade edgekit",
            ) from error
        raise InputError(f"not a valid record: {error}", code="E_RECORD") from error


def _other_schema(data: bytes | str) -> str | None:
    """The schema's name where the data is a record of another version."""
    try:
        name = msgspec.json.decode(data, type=_Envelope).schema
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return name if name != SCHEMA and _SCHEMA_NAME.fullmatch(name) else None
