"""Sending kept runs to another store's REST API, so that CI jobs and laptops feed one team store.

Idempotent and resumable: the other side is asked which runs it lacks, by id and seal, and gets those. A push that was cut is
done again and goes on where it ended.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote, urlsplit

from edgekit.api.tokens import TOKEN_VARIABLE, is_loopback
from edgekit.cache import data_dir, host_errors
from edgekit.errors import EdgekitError, HostError, HostNetwork, InputError
from edgekit.printable import printable
from edgekit.records import encode
from edgekit.results.redacting import redacted
from edgekit.results.sqlite_file import link
from edgekit.results.store import Store
from edgekit.results.wire import packed

ASKED_AT_ONCE = 1000
ANSWER_BYTES = 4 << 20
MESSAGE_LENGTH = 500
TIMEOUT_S = 60.0
SLOWEST_BYTES_PER_S = 128 << 10
"""A run of 64 MiB takes minutes on such a link."""
PAUSES_S = (0.5, 1.0, 2.0, 4.0)
"""Before each new try, where trying again can help."""


@dataclass(frozen=True)
class Pushed:
    """`sent`: what the other store lacked. `there`: how many it had already. `conflicts`: it has other records under these
    ids. `refused`: what it would not take, with the reason. `labels_left`: those of `sent` that an older dashboard took with
    the labels of their records only, not with what they were changed to here."""

    sent: tuple[str, ...]
    there: int
    conflicts: tuple[str, ...]
    refused: tuple[tuple[str, str], ...]
    labels_left: tuple[str, ...] = ()


@dataclass(frozen=True)
class Remote:
    """Another store. `token` is in no `repr`."""

    url: str
    token: str | None
    timeout_s: float = TIMEOUT_S

    def __repr__(self) -> str:
        return f"Remote({self.url})"


def remote(url: str, token: str | None, *, plain_http: bool = False, timeout_s: float = TIMEOUT_S) -> Remote:
    """Raises InputError E_PUSH_URL for what is no http(s) URL, holds a password, or would send a token that others can
    read: http:// to another machine, unless `plain_http`."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError as error:
        raise _url_error("this URL cannot be read", "like https://results.example.org") from error
    if parts.scheme not in ("http", "https") or not host:
        raise _url_error("a push goes to an http or https URL", "like https://results.example.org")
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise _url_error(
            "the URL holds more than an address", f"the token comes from {TOKEN_VARIABLE} or --token-file"
        )
    if token is not None and parts.scheme == "http" and not is_loopback(host) and not plain_http:
        raise _url_error("over http:// the token can be read on the way", "use https://, or say --plain-http")
    return Remote(f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}", token, timeout_s)


def push_runs(store: Store, there: Remote, ids: Sequence[str], *, redact: bytes | None = None) -> Pushed:
    """Send these runs (full ids), record and samples, oldest first as given.

    `redact`: a key; then without serials, hosts, users and times of the day (`edgekit.results.redacting`). A run has one
    pseudonym under one key, so that one that was sent is there the next time; `push_key` has a key for each place.

    Raises HostNetwork where the server cannot be reached, HostError E_PUSH where it fails, InputError E_TOKEN where it
    wants another token.
    """
    sent: list[str] = []
    conflicts: list[str] = []
    refused: list[tuple[str, str]] = []
    left: list[str] = []
    known = 0
    for some in _batches(ids, ASKED_AT_ONCE):
        seals = _seals(store, some, redact)
        here = {there_id: run for run, (there_id, _) in seals.items()}
        answer = _call(there, "POST", "records/missing", _question(dict(seals.values())))
        missing = set(_texts(answer, "missing")) & set(here)
        # under a pseudonym that only this key makes there is nothing but an earlier redaction of the same run
        others = [] if redact is not None else [one for one in _texts(answer, "conflicts") if one in here]
        conflicts += others
        known += len(some) - len(missing) - len(others)
        for there_id, run in here.items():
            if there_id not in missing:
                continue
            try:
                if not _send(there, there_id, store, run, redact):
                    left.append(run)
                sent.append(run)
            except _Refused as error:
                (conflicts.append(run) if error.status == 409 else refused.append((run, error.message)))
    return Pushed(tuple(sent), known, tuple(conflicts), tuple(refused), tuple(left))


def push_key(there: Remote) -> bytes:
    """The key of pseudonyms for this place, made from one that stays on this host (redact.key in the data folder).

    Raises HostError where that cannot be read or made.
    """
    path = data_dir() / "redact.key"
    with host_errors(path):
        if not path.exists():
            handle, name = tempfile.mkstemp(prefix=".redact-", dir=path.parent)  # for its owner only
            with open(handle, "wb") as file:
                file.write(secrets.token_bytes(32))
            link(Path(name), path)  # of two that make one at once, one wins
            Path(name).unlink(missing_ok=True)
        own = path.read_bytes()
    if len(own) != 32:
        raise HostError(
            f"{path} is damaged",
            code="E_PUSH_KEY",
            hint="remove it: then runs that were pushed before are pushed once more, under other names",
        )
    return hmac.digest(own, there.url.encode(), "sha256")


def _seals(store: Store, runs: Sequence[str], redact: bytes | None) -> dict[str, tuple[str, str]]:
    """Of each run the id that it has there, and the seal of what would be sent."""
    if redact is None:
        return {run: (run, seal) for run, seal in store.seals(runs).items()}
    made = ((run, redacted(store.get(run), redact)) for run in runs)
    return {run: (record.id, hashlib.sha256(encode(record)).hexdigest()) for run, record in made}


def _send(there: Remote, there_id: str, store: Store, run: str, redact: bytes | None) -> bool:
    """Put a run there; whether it has the labels there that it has here. Raises _Refused."""
    path = f"records/{quote(there_id, safe='')}"
    if redact is not None:
        _call(there, "PUT", path, packed(encode(redacted(store.get(run), redact)), store.samples(run)))
        return True
    record, samples, labels = store.get_bytes(run)[0], store.samples(run), store.changed_labels(run)
    try:
        _call(there, "PUT", path, packed(record, samples, labels))
        return True
    except _Refused as error:
        # what an edgekit says that knows no labels beside a record: the record itself it may take
        if labels is None or error.told != "E_SENT":
            raise
    _call(there, "PUT", path, packed(record, samples))
    return False


class _Refused(InputError):
    """The server does not take this run; others may go through. `told`: the server's own code."""

    def __init__(self, status: int, message: str, told: str) -> None:
        super().__init__(message, code="E_PUSH_REFUSED")
        self.status, self.told = status, told


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the token to wherever it points."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        return None


def _opener(there: Remote) -> urllib.request.OpenerDirector:
    """Through the proxy that the environment names; to this machine never, which would show the token to the proxy."""
    is_here = is_loopback(urlsplit(there.url).hostname or "")
    return urllib.request.build_opener(_NoRedirect, urllib.request.ProxyHandler({} if is_here else None))


def _call(there: Remote, method: str, path: str, body: bytes) -> dict[str, Any]:
    """One request, tried again where that can help."""
    for pause_s in (*PAUSES_S, None):
        try:
            return _once(there, method, path, body)
        except EdgekitError as error:
            if not error.transient or pause_s is None:
                raise
            time.sleep(pause_s)
    raise AssertionError("unreachable")


def _once(there: Remote, method: str, path: str, body: bytes) -> dict[str, Any]:
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    if there.token is not None:
        headers["Authorization"] = f"Bearer {there.token}"
    request = urllib.request.Request(f"{there.url}/api/v1/{path}", body, headers, method=method)  # noqa: S310
    timeout_s = there.timeout_s + len(body) / SLOWEST_BYTES_PER_S
    ends = time.monotonic() + timeout_s
    status = None
    try:
        try:
            answer = _opener(there).open(request, timeout=timeout_s)
        except urllib.error.HTTPError as error:
            answer, status = error, error.code
        with answer:
            found = _read(answer, ends)
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise HostNetwork(
            f"{there.url}: {reason}", hint="is the server running, and the address right?"
        ) from error
    if status is not None:
        raise _told(there, status, found)
    return _document(there, found)


def _read(answer: Any, ends: float) -> bytes:
    """The body. A socket's timeout begins anew with every byte. Raises TimeoutError."""
    pieces, left = [], ANSWER_BYTES
    while left and (piece := answer.read1(min(left, 64 << 10))):
        pieces.append(piece)
        left -= len(piece)
        if time.monotonic() > ends:
            raise TimeoutError("the answer takes too long")
    return b"".join(pieces)


def _told(there: Remote, status: int, body: bytes) -> EdgekitError:
    """The error that an answer stands for."""
    message, code = f"{there.url} answers {status}", ""
    try:
        error = _document(there, body).get("error")
        if isinstance(error, dict):
            code = str(error.get("code"))
            told = printable(f"{error.get('message')} ({code})"[:MESSAGE_LENGTH])
            message = f"{there.url}: {told}"
    except HostError:
        pass
    if status in (401, 403):
        return InputError(
            message, code="E_TOKEN", hint=f"the token comes from {TOKEN_VARIABLE} or --token-file"
        )
    if status in (400, 404, 409, 413, 415):
        return _Refused(status, message, code)
    return HostError(message, code="E_PUSH", transient=status in (429, 502, 503, 504))


def _document(there: Remote, body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise HostError(
            f"{there.url} does not answer as an edgekit dashboard",
            code="E_PUSH",
            hint="the URL is that of its first page",
        )
    return found


def _texts(answer: dict[str, Any], name: str) -> list[str]:
    found = answer.get(name)
    return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []


def _question(seals: dict[str, str]) -> bytes:
    return json.dumps({"records": [{"id": run, "sha256": seal} for run, seal in seals.items()]}).encode()


def _batches(ids: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for begin in range(0, len(ids), size):
        yield ids[begin : begin + size]


def _url_error(message: str, hint: str) -> InputError:
    return InputError(message, code="E_PUSH_URL", hint=hint)
