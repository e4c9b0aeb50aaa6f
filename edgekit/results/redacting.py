"""Runs for sharing: without serials, hosts, users, folders of users, and exact times. Pure, but for the key.

The same device has the same pseudonym in one export and another in the next: it is made with a key that is thrown away. For
pushes the key stays here, another one for each place they go to: what is pushed again is known there by its pseudonym. A
redacted record is another record, with an id and a seal of its own. What people put into labels and models' names stays,
but for labels that name a person or a machine.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from ipaddress import ip_address
from typing import Any
from urllib.parse import unquote, unquote_plus

import msgspec

from edgekit.records import Record, Samples, decode, encode, to_builtins

REDACTED = "[redacted]"
_LABELS = re.compile(r"user|owner|author|host|hostname|machine|serial|email|ip", re.IGNORECASE)
_HOME = re.compile(r"(/(?:home|Users)/)[^/\s:\"']+")
_IPV4 = re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}\b(?!\.?\d)")
_MAYBE_IPV6 = re.compile(
    r"(?<![\w.:-])(?P<ip>[0-9a-f:.]+)(?:(?P<zone>%[\w.-]{0,64}\w)(?P<end>[.:]*))?(?![\w:]|\.\w)",
    re.IGNORECASE,
)
_MOST_IPV6 = 45
"""Letters of the longest: the IPv4 address at its end written out."""
_MAIL = re.compile(r"(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_ADDRESS = re.compile(
    r"(?P<scheme>[a-z+]+):(?://)?(?:(?P<user>[^@/]+)@)?(?P<host>[^/?]*)(?:/(?P<rest>[^?]*))?.*", re.DOTALL
)
_KEEP_VERSIONS = ("version", "edgekit_version", "kernel", "os", "libc", "schema", "sha256")
"""Four numbers with points may be a version there."""
_LEAST_LETTERS = 3
"""Shorter names (a host `pi`, a user `me`) are part of too many words."""
_LEAST_INSIDE = 6
"""Shorter ones are looked for as whole words only: a user `dev` is in "device"."""
_MAC = re.compile(r"\b[0-9a-f]{2}(?::[0-9a-f]{2}){5}\b", re.IGNORECASE)


def redacted_entries(
    entries: Iterable[tuple[bytes, Samples | None]],
) -> Iterator[tuple[bytes, Samples | None]]:
    """Samples stay as they are: they are times of the device's own clock, since it started."""
    own = secrets.token_bytes(32)
    for data, samples in entries:
        yield encode(redacted(decode(data), own)), samples


def redacted(record: Record, key: bytes) -> Record:
    """The record without what names a person, a machine or a moment. The day stays."""
    plain: Any = _walk(to_builtins(record), "", _pattern(_secrets(record.device.address)))
    day = record.started_at[:10]
    plain["id"] = f"{day.replace('-', '')}-000000000-{_pseudonym(key, record.id)}"
    plain["started_at"] = f"{day}T00:00:00.000Z"
    scheme = record.device.address.partition(":")[0]
    plain["device"]["address"] = (
        _without_state(record.device.address)
        if scheme in ("local", "sim")
        else f"{scheme}:{_pseudonym(key, record.device.address)}"
    )
    if record.device.fingerprint is not None:
        plain["device"]["fingerprint"] = _pseudonym(key, record.device.fingerprint)
    if record.device.build_sha256 is not None:
        plain["device"]["build_sha256"] = _pseudonym(key, record.device.build_sha256)
    if plain["environment"] is not None:  # what the user typed: addresses, and paths of any kind
        plain["environment"] |= {"argv": None, "rerun_of": None}
        plain["environment"]["asked"] |= dict.fromkeys(
            ("device", "model", "inputs", "evaluation", "baseline")
        )
    plain["labels"] = {
        name: REDACTED if _LABELS.fullmatch(name) else value for name, value in plain["labels"].items()
    }
    for event in plain["events"]:
        event["at"] = None
    return msgspec.convert(plain, Record)


def _without_state(address: str) -> str:
    """A simulated device's address without its folder on this host; the numbers that it was drawn by stay."""
    place, _, options = address.partition("?")
    kept = "&".join(one for one in options.split("&") if not _is_state(one))
    return f"{place}?{kept}" if kept else place


def _is_state(option: str) -> bool:
    return unquote_plus(option.partition("=")[0]).strip() == "state"


def _secrets(address: str) -> tuple[str, ...]:
    """The parts of an address that name something, the longest first; the address itself too."""
    if address.startswith("sim:"):
        folders = (one.partition("=")[2] for one in address.partition("?")[2].split("&") if _is_state(one))
        parts = {form for one in folders for form in (one, unquote_plus(one))}
        return tuple(sorted((part for part in parts if len(part) >= _LEAST_LETTERS), key=len, reverse=True))
    match = _ADDRESS.fullmatch(address)
    if match is None or match["scheme"] == "local":
        return ()
    host = match["host"] or ""
    name = host.rpartition(":")[0] if ":" in host.rpartition("]")[2] else host
    bare = unquote(name.strip("[]"))
    short = "" if _IPV4.fullmatch(bare) or ":" in bare else bare.partition(".")[0]
    parts = {address, host, name, bare, short, match["user"] or "", match["rest"] or ""}
    return tuple(sorted((part for part in parts if len(part) >= _LEAST_LETTERS), key=len, reverse=True))


def _pattern(hidden: tuple[str, ...]) -> re.Pattern[str] | None:
    """Long ones in any case and inside of other words."""
    if not hidden:
        return None
    return re.compile(
        "|".join(
            f"(?i:{re.escape(part)})"
            if len(part) >= _LEAST_INSIDE
            else rf"(?<![^\W_]){re.escape(part)}(?![^\W_])"
            for part in hidden
        )
    )


@cache
def _own_words() -> tuple[frozenset[str], frozenset[str]]:
    """Names of the record's fields, and words that its schema knows: nobody's, even where a user is called so."""
    fields: set[str] = set()
    words: set[str] = set()

    def look(kind: Any) -> None:
        for one in getattr(kind, "fields", ()):
            fields.add(one.encode_name)
            look(one.type)
        words.update(value for value in getattr(kind, "values", ()) if isinstance(value, str))
        inner = [getattr(kind, name, None) for name in ("item_type", "key_type", "value_type")]
        for other in (*inner, *getattr(kind, "types", ()), *getattr(kind, "item_types", ())):
            if other is not None:
                look(other)

    look(msgspec.inspect.type_info(Record))
    return frozenset(fields), frozenset(words)


def _walk(value: Any, name: str, hidden: re.Pattern[str] | None) -> Any:
    fields, words = _own_words()
    if isinstance(value, str):
        return value if name in _KEEP_VERSIONS or value in words else _clean(value, hidden)
    if isinstance(value, Mapping):
        return {
            key if key in fields else _clean(key, hidden): _walk(one, key, hidden)
            for key, one in value.items()
        }
    if isinstance(value, list | tuple):
        return [_walk(one, name, hidden) for one in value]
    return value


def _clean(text: str, hidden: re.Pattern[str] | None) -> str:
    text = hidden.sub(REDACTED, text) if hidden is not None else text
    text = _HOME.sub(rf"\1{REDACTED}", text)
    text = _MAYBE_IPV6.sub(_without_ipv6, text)
    return _MAC.sub(REDACTED, _IPV4.sub(REDACTED, _MAIL.sub(REDACTED, text)))


def _without_ipv6(match: re.Match[str]) -> str:
    """Colons alone are no address: a time, or a name in C++. `::` and `::1` name no machine. What ends a sentence, or comes
    before what is said of an address, is no part of it."""
    text = match["ip"]
    most = text if match["zone"] else text.rstrip(".:")
    if text.count(":") < 2 or len(most) > _MOST_IPV6:
        return match[0]
    for size in range(min(len(text), _MOST_IPV6), len(most) - 1, -1):
        try:
            found = ip_address(text[:size])
        except ValueError:
            continue
        is_own = found.is_unspecified or found.is_loopback
        return match[0] if is_own else REDACTED + text[size:] + (match["end"] or "")
    return match[0]


def _pseudonym(key: bytes, text: str) -> str:
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()[:12]
