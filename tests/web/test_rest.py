"""The REST API and the push that uses it: idempotent, resumable, bounded. (D3.6, D3-b4)"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import zlib
from base64 import b64encode
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from edgekit import records as r
from edgekit.api import sharing
from edgekit.api.sharing import push_runs, remote
from edgekit.errors import HostError, HostNetwork, InputError
from edgekit.results import wire
from edgekit.results.store import Store
from edgekit.results.wire import packed, unpacked
from tests.results.many_runs import many_runs
from tests.web.conftest import TOKEN, Run, Served

pytest.importorskip("fastapi")
Serve = Callable[..., Served]
JSON = {"Content_Type": "application/json"}


def put(served: Served, run: str, body: bytes, **headers: str) -> tuple[int, str | None]:
    answer = served.ask(f"/api/v1/records/{run}", body, "PUT", **{**JSON, **headers})
    return answer.status, answer.json.get("error", {}).get("code")


def test_a_run_arrives_byte_for_byte_and_only_once(serve: Serve, real: Run) -> None:
    """D3.6: idempotent by record id; record and samples are what they were, seal and all."""
    served = serve()
    record, samples = real
    data = r.encode(record).replace(
        b'{"id"', b'{ "id"'
    )  # other bytes of the same record: its seal is of bytes
    body = packed(data, samples)
    assert put(served, record.id, body) == (201, None)
    assert put(served, record.id, body) == (200, None)
    assert served.store.get_bytes(record.id)[0] == data
    kept = served.store.samples(record.id)
    assert all((a == b).all() for a, b in zip(kept.launches, samples.launches, strict=True))
    assert len(kept.telemetry) == len(samples.telemetry)
    for one, other in zip(kept.telemetry, samples.telemetry, strict=True):
        assert (one.name, one.unit, one.path) == (other.name, other.unit, other.path)
        assert np.array_equal(one.value, other.value, equal_nan=True)
    answer = served.ask(f"/api/v1/records/{record.id}")
    assert answer.body == data
    other_record = msgspec.structs.replace(record, notes=("other",))
    assert put(served, record.id, packed(r.encode(other_record), samples)) == (409, "E_RECORD_CONFLICT")


def test_what_is_missing_is_told(serve: Serve, real: Run) -> None:
    served = serve()
    served.store.add(*real)
    seal = served.store.get_bytes(real[0].id)[1]
    question = [{"id": real[0].id, "sha256": seal}, {"id": "other", "sha256": seal}]
    answer = served.ask("/api/v1/records/missing", json.dumps({"records": question}).encode(), **JSON)
    assert answer.json == {"missing": ["other"], "conflicts": []}
    question[0]["sha256"] = "0"
    answer = served.ask("/api/v1/records/missing", json.dumps({"records": question}).encode(), **JSON)
    assert answer.json == {"missing": ["other"], "conflicts": [real[0].id]}


def test_what_is_no_run_is_refused_and_nothing_is_kept(serve: Serve, real: Run) -> None:
    served = serve()
    record, samples = real
    good = json.loads(packed(r.encode(record), samples))
    wrong = {
        "not JSON": b"{",
        "nested": b"[" * 100_000,
        "unknown key": json.dumps({**good, "more": 1}).encode(),
        "unknown key in the record": json.dumps({**good, "record": {**good["record"], "x": 1}}).encode(),
        "no base64": json.dumps({**good, "samples": {"launches": ["*"]}}).encode(),
        "no zlib": json.dumps({**good, "samples": {"launches": ["AAAA"]}}).encode(),
        "too few launches": packed(r.encode(record), r.Samples(samples.launches[:1])),
        "no time": packed(r.encode(msgspec.structs.replace(record, started_at="soon")), samples),
    }
    for what, body in wrong.items():
        status, code = put(served, record.id, body)
        assert status == 400, what
        assert code, what
    other = packed(r.encode(msgspec.structs.replace(record, id="x")), samples)
    assert put(served, record.id, other) == (409, "E_OTHER_ID")
    assert put(served, record.id, b"{}", Content_Type="text/plain") == (415, "E_CONTENT_TYPE")
    assert served.store.count() == 0


def test_a_body_that_is_too_large_is_not_read(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, real: Run
) -> None:
    """D3.6: size limits, also for what says nothing of its size, and for what unpacks to gigabytes."""
    from edgekit.web import rest

    monkeypatch.setattr(rest, "MAX_RUN_BYTES", 1000)
    served = serve()
    assert put(served, "x", b" " * 1001) == (413, "E_TOO_LARGE")
    monkeypatch.undo()
    monkeypatch.setattr(wire, "MAX_SAMPLES_BYTES", 1 << 20)
    bomb = b64encode(zlib.compress(bytes(1 << 22))).decode()
    body = json.dumps({"record": json.loads(r.encode(real[0])), "samples": {"launches": [bomb]}}).encode()
    assert len(body) < 40_000
    assert put(served, real[0].id, body) == (400, "E_SENT")
    with pytest.raises(InputError):
        unpacked(body)


def test_every_call_wants_the_token(serve: Serve, real: Run) -> None:
    """D3-b4"""
    served = serve(token=TOKEN)
    body = packed(r.encode(real[0]), real[1])
    assert put(served, real[0].id, body) == (401, "E_TOKEN")
    assert put(served, real[0].id, body, Authorization="Bearer wrong") == (401, "E_TOKEN")
    assert put(served, real[0].id, body, Authorization=f"Basic {TOKEN}") == (401, "E_TOKEN")
    assert served.ask("/api/v1/health").status == 200
    assert put(served, real[0].id, body, Authorization=f"Bearer {TOKEN}") == (201, None)


def test_listing_by_pages(serve: Serve, real: Run) -> None:
    served = serve()
    served.store.add_many(many_runs(real, 5))
    first = served.ask("/api/v1/records?limit=3&model=model").json
    second = served.ask(f"/api/v1/records?limit=3&before={first['next'].replace('+', '%2B')}").json
    assert len({run["id"] for run in first["runs"] + second["runs"]}) == 5
    assert second["next"] is None
    assert first["runs"][0]["metrics"]["median_latency"] > 0
    for query in ("limit=0", "limit=x", "before=x", "verdict=good", "where=x"):
        assert served.ask(f"/api/v1/records?{query}").status == 400


def test_a_push_goes_on_where_it_was_cut(
    serve: Serve, real: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D3.6: resumable. The server goes away after the third run, and is there again for the second push."""
    here = Store(tmp_path / "here.sqlite")
    here.add_many(many_runs(real, 6))
    served = serve("there.sqlite", token=TOKEN)
    monkeypatch.setattr(sharing, "PAUSES_S", (0.01, 0.01))
    sent: list[str] = []
    get_bytes = here.get_bytes

    def counted(run: str) -> tuple[bytes, str]:
        if len(sent) == 3:
            served.stop()
        sent.append(run)
        return get_bytes(run)

    monkeypatch.setattr(here, "get_bytes", counted)
    ids = here.ids()
    with pytest.raises(HostNetwork):
        push_runs(here, remote(served.url, TOKEN), ids)
    monkeypatch.undo()
    again = serve("there.sqlite", token=TOKEN)
    assert again.store.count() == 3
    done = push_runs(here, remote(again.url, TOKEN), ids)
    assert (done.there, done.sent, done.conflicts, done.refused) == (3, ids[3:], (), ())
    assert push_runs(here, remote(again.url, TOKEN), ids).there == 6
    assert again.store.ids() == ids
    with pytest.raises(InputError) as caught:
        push_runs(here, remote(again.url, "another-token-0123456789"), ids)
    assert caught.value.code == "E_TOKEN"
    assert TOKEN not in repr(remote(again.url, TOKEN))


class OlderRun(msgspec.Struct, forbid_unknown_fields=True):
    """What a dashboard took before labels could be changed."""

    record: msgspec.Raw
    samples: wire.SentSamples | None = None


def test_an_older_dashboard_takes_a_run_without_its_changed_labels(
    serve: Serve, real: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D3.6: one that knows no labels beside a record refuses them as it does any word it does not know."""
    from edgekit.web import rest

    def older(data: bytes) -> Any:
        try:
            msgspec.json.decode(data, type=OlderRun)
        except msgspec.DecodeError as error:
            raise InputError(f"not a run: {error}", code="E_SENT") from error
        return unpacked(data)

    here = Store(tmp_path / "here.sqlite")
    changed, plain = (
        msgspec.structs.replace(real[0], id=r.new_id(), labels={"board": "7"}) for _ in range(2)
    )
    here.add_many([(changed, real[1]), (plain, real[1])])
    here.change_labels(changed.id, {"board": "8"})
    served = serve()
    monkeypatch.setattr(rest, "unpacked", older)
    done = push_runs(here, remote(served.url, None), here.ids())
    assert (set(done.sent), done.refused, done.labels_left) == ({changed.id, plain.id}, (), (changed.id,))
    assert served.store.labels(changed.id) == {"board": "7"}
    assert len(served.store.samples(changed.id).launches) == len(real[1].launches)
    assert push_runs(here, remote(served.url, None), here.ids()).there == 2


def test_a_push_without_names_is_known_there_the_next_time(
    serve: Serve, real: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D3.6: `--redact`. Nothing that names a machine, a person or a moment arrives; done again nothing is sent; other places
    cannot tell by the pseudonyms that these are the same runs."""
    monkeypatch.setenv("EDGEKIT_DATA_DIR", str(tmp_path / "data"))
    here = Store(tmp_path / "here.sqlite")
    named = msgspec.structs.replace(
        real[0],
        id=r.new_id(),
        device=r.Device(address="ssh://bob@lab-7", model="Pi"),
        labels={"host": "lab-7", "board": "7"},
    )
    here.add(named, real[1])
    here.change_labels(named.id, {"owner": "bob", "note": "at lab-7"})
    served = serve("there.sqlite")
    url = served.url
    key = sharing.push_key(remote(url, None))
    done = push_runs(here, remote(url, None), here.ids(), redact=key)
    assert done.sent == (named.id,)
    (row,) = served.store.list()
    data, _ = served.store.get_bytes(row.id)
    for name in (b"bob", b"lab-7", named.id.encode(), named.started_at[11:].encode()):
        assert name not in data
    assert served.store.labels(row.id)["board"] == "7"
    assert len(served.store.samples(row.id).launches) == len(real[1].launches)
    assert sharing.push_key(remote(url, None)) == key
    again = push_runs(here, remote(url, None), here.ids(), redact=key)
    assert (again.sent, again.there) == ((), 1)
    here.change_labels(named.id, {"note": "other"})  # other bytes, the same run
    again = push_runs(here, remote(url, None), here.ids(), redact=key)
    assert (again.sent, again.there, again.conflicts) == ((), 1, ())
    assert sharing.push_key(remote("https://other.example", None)) != key
    assert (tmp_path / "data" / "redact.key").stat().st_mode & 0o077 == 0
    (tmp_path / "data" / "redact.key").write_bytes(b"")
    with pytest.raises(HostError) as caught:
        sharing.push_key(remote(url, None))
    assert caught.value.code == "E_PUSH_KEY"


@pytest.mark.parametrize(
    ("status", "told", "pauses_s", "seconds", "expected"),
    [
        (
            500,
            b'{"error": {"message": "\\u001b]0;x\\u0007", "code": "E_X"}}',
            0.0,
            60.0,
            "\\u001b]0;x\\u0007 (E_X)",
        ),
        (500, 400 * b" ", 0.1, 0.5, "takes too long"),
        (200, 400 * b" ", 0.1, 0.5, "takes too long"),
        (500, b"{}", 30.0, 0.5, "timed out"),
    ],
)
def test_a_server_can_neither_steer_the_terminal_nor_keep_a_push(
    status: int, told: bytes, pauses_s: float, seconds: float, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D3-b4: whatever answers there; a byte now and then is no answer."""
    done = threading.Event()

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(status)
            self.send_header("content-length", str(len(told)))
            self.end_headers()
            for byte in told:
                if pauses_s and done.wait(pauses_s):
                    break
                self.wfile.write(bytes([byte]))

        def log_message(self, *_: object) -> None:
            pass

    monkeypatch.setattr(sharing, "PAUSES_S", ())
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        there = remote(f"http://127.0.0.1:{server.server_port}", None, timeout_s=seconds)
        began = time.monotonic()
        try:
            with pytest.raises(HostError) as caught:
                sharing._call(there, "POST", "records/missing", b"{}")
        finally:
            done.set()
            server.shutdown()
    # a machine that is busy may not even have seen the first byte by then
    assert expected in caught.value.message or (pauses_s and "timed out" in caught.value.message)
    assert time.monotonic() - began < 60


@pytest.mark.parametrize(
    "url",
    ["ftp://x", "x", "http://u:p@x", "https://x/?token=y", "http://[", "http://x:y", "http://example.org"],
)
def test_a_token_goes_only_where_it_is_safe(url: str) -> None:
    """D3-b4: not over plain http to another machine, not in a URL."""
    with pytest.raises(InputError) as caught:
        remote(url, TOKEN)
    assert caught.value.code == "E_PUSH_URL"
    assert remote("http://example.org/", TOKEN, plain_http=True).url == "http://example.org"


def test_the_commands_serve_and_push(real: Run, tmp_path: Path) -> None:
    """D3.5, D3.6, as a user does it: `edgekit dashboard` and `edgekit results push`. A proxy, which would see the token, is not
    asked for what goes to this machine (D3-b4)."""
    (tmp_path / "token").write_text(TOKEN)
    here = Store(tmp_path / "here.sqlite")
    here.add(*real)
    edgekit = [sys.executable, "-m", "edgekit"]
    serve = [*edgekit, "dashboard", "--db", "there.sqlite", "--port", "0", "--token-file", "token", "--json"]
    with subprocess.Popen(
        serve, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    ) as server:
        assert server.stdout is not None
        try:
            told = ""
            while not told.endswith("}\n"):
                line = server.stdout.readline()
                assert line, server.stderr.read() if server.stderr else ""
                told += line
            url = json.loads(told)["url"]
            env = {**os.environ, "EDGEKIT_TOKEN": TOKEN, "http_proxy": "http://127.0.0.1:9", "no_proxy": ""}
            env["EDGEKIT_DATA_DIR"] = str(tmp_path / "data")
            push = [*edgekit, "results", "push", url, "--db", "here.sqlite", "--json"]
            for sent, more in (([real[0].id], []), ([], []), ([real[0].id], ["--redact"])):
                done = subprocess.run(
                    [*push, *more], capture_output=True, text=True, timeout=120, cwd=tmp_path, env=env
                )
                assert done.returncode == 0, done.stdout + done.stderr
                assert json.loads(done.stdout)["sent"] == sent
        finally:
            server.terminate()
            output, errors = server.communicate(timeout=60)
    assert TOKEN not in told + output + errors
    assert Store(tmp_path / "there.sqlite").get(real[0].id) == real[0]
