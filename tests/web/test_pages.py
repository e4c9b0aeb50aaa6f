"""The pages over HTTP: filters, paging, errors, the login, and that nothing from outside is ever markup or SQL. (D3.5, D3-b4)"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
import pytest

from edgekit import records as r
from edgekit.results.under_way import Beat, digest
from tests.results.many_runs import many_runs
from tests.web.conftest import TOKEN, Run, Served, new_database, start

pytest.importorskip("fastapi")
Serve = Callable[..., Served]
VOID = {"meta", "input", "link", "br"}


class Page(HTMLParser):
    """Checks that tags nest, and collects links, tags and words."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.words = ""
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert not [name for name, _ in attrs if name.startswith("on") or name == "style"]
        self.links += [value or "" for name, value in attrs if name in ("href", "src", "action")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


@pytest.fixture(scope="module")
def on_postgres(request: pytest.FixtureRequest, real: Run) -> Iterator[Served]:
    """One for all tests, which only look."""
    served = start(new_database(request))
    served.store.add_many(many_runs(real, 12))
    yield served
    served.stop()


@pytest.fixture(params=["sqlite", "postgresql"])
def shown(request: pytest.FixtureRequest, serve: Serve, real: Run) -> Served:
    if request.param == "postgresql":
        found: Served = request.getfixturevalue("on_postgres")
        return found
    served = serve()
    served.store.add_many(many_runs(real, 12))
    return served


def test_every_page_answers_with_a_strict_policy(shown: Served) -> None:
    """D3.5: no inline script or style, nothing from elsewhere, not in a frame."""
    run = shown.store.list(limit=2)
    pages = [
        "/",
        "/trends",
        "/best?x=median_latency&y=energy_per_inference",
        f"/runs/{run[0].id}",
        "/compare",
    ]
    pages.append(f"/compare?run={run[0].id}&run={run[1].id}")
    for path in pages:
        answer = shown.ask(path)
        assert answer.status == 200, path
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        found = Page(answer.text)
        assert found.tags.count("h1") == 1
        assert found.tags.count("style") == 0
        assert not [link for link in found.links if not link.startswith(("/", "#"))]


@pytest.mark.parametrize(
    ("query", "least"),
    [
        ({"model": "MODEL-1"}, 6),
        ({"model": "=model-1"}, 6),
        ({"model": "=model"}, 0),
        ({"verdict": "suspect"}, 3),
        ({"recipe": "int8", "device": "Pixel"}, 2),
        ({"where": "median_latency<1000s verdict!=invalid"}, 9),
        ({"since": "1h", "label": "board"}, 0),
    ],
)
def test_filters_are_in_the_address(query: dict[str, str], least: int, shown: Served) -> None:
    """D3.5"""
    page = shown.ask(f"/?{urlencode(query)}").text
    assert page.count('name="run"') == least
    if not least:
        assert "No run meets these filters." in page
    for value in query.values():
        assert f'value="{value.replace("<", "&lt;")}"' in page  # the form says what is asked


def test_a_wrong_filter_says_what_is_right(shown: Served) -> None:
    answer = shown.ask("/?where=latency")
    assert answer.status == 400
    assert "is not a filter" in Page(answer.text).words


def test_pages_of_the_listing_have_every_run_once(any_served: Served, real: Run) -> None:
    """D3.5. 120 runs, 60 of one moment, which is where paging by time alone would lose some."""
    served = any_served
    record, _ = real
    made = [
        msgspec.structs.replace(
            record, id=r.new_id(), started_at=f"2026-01-{1 + max(0, i - 60) % 28:02}T00:00:00Z"
        )
        for i in range(120)
    ]
    served.store.add_many([(one, None) for one in made])
    seen: list[str] = []
    path: str | None = "/"
    while path is not None:
        page = served.ask(path).text
        seen += re.findall(r'name="run" value="([^"]+)"', page)
        following = re.search(r'href="(/\?before=[^"]+)" rel="next"', page)
        path = following[1].replace("&amp;", "&") if following else None
    assert sorted(seen) == sorted(one.id for one in made)


def test_runs_that_are_not_there_are_404_pages(shown: Served) -> None:
    for path in ("/runs/nothing", "/runs/nothing/record.json", "/nowhere", "/static/secret"):
        assert shown.ask(path).status == 404
    answer = shown.ask("/compare?run=a&run=b")
    assert answer.status == 404
    assert "no run &#x27;a&#x27;" in answer.text


def test_the_raw_samples_and_the_record_come_as_files(shown: Served) -> None:
    """D3.5: run page with raw samples."""
    run = shown.store.list(limit=1)[0]
    page = shown.ask(f"/runs/{run.id}").text
    assert "Launch 4: 150 samples" in page
    assert shown.ask(f"/runs/{run.id}/record.json").body == shown.store.get_bytes(run.id)[0]
    lines = shown.ask(f"/runs/{run.id}/samples.csv").text.splitlines()
    assert sum(line.startswith(f"{run.id},latency,") for line in lines) == 4 * 150


def test_comparison_tells_what_differs(shown: Served) -> None:
    """D3.5: compare any two, by statistics."""
    a, b = (row.id for row in shown.store.list(limit=2))
    words = Page(shown.ask(f"/compare?run={a}&run={b}").text).words
    assert "B / A" in words
    assert re.search(r"(better|worse|no difference seen)p [<=] ", words)
    assert "What else differs" in words


HOSTILE = [
    "</title></main><script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "'; DROP TABLE run_rows; --",
    "javascript:alert(1)",
    "{{7*7}}${7*7}",
    "\u202egnp.exe\x00\x1b[31m",
    "%00%0d%0aSet-Cookie:x=y",
]


@pytest.mark.parametrize("nasty", HOSTILE)
def test_names_from_outside_are_only_text(nasty: str, serve: Serve, real: Run) -> None:
    """D3-b4: injection through model names, labels, device strings, on every page."""
    only_text(serve(), nasty, real)


def test_names_from_outside_are_only_text_in_a_database(request: pytest.FixtureRequest, real: Run) -> None:
    served = start(new_database(request))
    only_text(served, HOSTILE[2] + HOSTILE[5], real)
    served.stop()


def only_text(served: Served, nasty: str, real: Run) -> None:
    record, samples = real
    bad = msgspec.structs.replace(
        record,
        id=r.new_id(),
        model=r.Model(name=nasty, version=nasty, recipe=nasty, format=nasty),
        device=r.Device(address=nasty, model=nasty, soc=nasty),
        runtime=r.Runtime(name=nasty, version=nasty),
        profile=r.Profile(name=nasty),
        labels={nasty: nasty, "project": nasty},
        accuracy=r.Accuracy(metric=nasty, value=0.5),
        verdict=r.Verdict(state="suspect", reasons=(nasty,), notes=(nasty,)),
    )
    other = msgspec.structs.replace(bad, id=r.new_id(), model=r.Model(name=nasty, version="2"))
    served.store.add_many([(bad, samples), (other, samples)])
    pages = ["/", "/trends", "/best", f"/runs/{bad.id}", f"/compare?run={bad.id}&run={other.id}"]
    pages += [f"/?{urlencode({'model': f'={nasty}', 'label': f'{nasty}={nasty}'})}"]
    for path in pages:
        answer = served.ask(path)
        assert answer.status == 200, path
        found = Page(answer.text)
        assert found.tags.count("script") <= 1, path
        assert "img" not in found.tags
        assert not [link for link in found.links if link.lower().startswith("javascript:")]
        assert not re.search("[\x00\x1b\u202e]", answer.text)
    assert served.store.count() == 2


@pytest.mark.parametrize(
    "nasty", [*HOSTILE, "' OR '1'='1", "x' UNION SELECT 1--", "%", "_", "\\", "a" * 5000, "\ud800"]
)
def test_what_is_asked_is_never_sql(nasty: str, shown: Served) -> None:
    """D3-b4. Every parameter of every page; a name that is not there finds nothing, whatever it holds."""
    value = quote(nasty, safe="", errors="surrogatepass")
    for name in (
        "model",
        "device",
        "recipe",
        "runtime",
        "soc",
        "project",
        "label",
        "where",
        "since",
        "before",
    ):
        answer = shown.ask(f"/?{name}={value}")
        assert answer.status in (200, 400), name
        if name in ("model", "device", "label"):
            assert answer.text.count('name="run"') == 0, name
    for path in (
        f"/trends?metric={value}",
        f"/best?x={value}",
        f"/runs/{value}",
        f"/compare?run={value}&run={value}",
    ):
        assert shown.ask(path).status in (400, 404), path
    assert shown.store.count() == 12


def test_nothing_is_shown_without_the_token(
    serve: Serve, real: Run, caplog: pytest.LogCaptureFixture
) -> None:
    """D3.5, D3-b4: cookie after a login, never in an address or a log."""
    caplog.set_level(logging.DEBUG)
    served = serve(token=TOKEN)
    served.store.add(*real)
    run = real[0].id
    for path in ("/", "/trends", f"/runs/{run}", f"/runs/{run}/record.json", "/events", "/compare?run=a"):
        answer = served.ask(path)
        assert answer.status == 303
        assert answer.headers["location"].startswith("/login?next=%2F")
        assert run not in answer.text
    assert served.ask("/api/v1/records").status == 401
    assert served.ask(f"/?token={TOKEN}").status == 303  # an address is no place for it
    wrong = served.ask("/login", urlencode({"token": "wrong"}).encode())
    assert (wrong.status, wrong.headers["set-cookie"]) == (403, None)
    answer = served.ask("/login", urlencode({"token": TOKEN, "next": "/trends"}).encode())
    assert (answer.status, answer.headers["location"]) == (303, "/trends")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "samesite=strict" in cookie.lower()
    assert TOKEN not in cookie
    session = cookie.partition(";")[0]
    assert run in served.ask("/", Cookie=session).text
    assert served.ask("/", Cookie=session + "0").status == 303
    assert "Max-Age=0" in served.ask("/logout", b"", Cookie=session).headers["set-cookie"]
    assert TOKEN not in caplog.text


def test_a_cookie_cannot_be_used_by_another_sites_page(serve: Serve) -> None:
    served = serve(token=TOKEN)
    answer = served.ask("/login", urlencode({"token": TOKEN}).encode(), Origin="https://evil.example")
    assert (answer.status, answer.json["error"]["code"]) == (403, "E_ORIGIN")


def test_a_server_without_a_token_answers_to_its_own_name_only(serve: Serve) -> None:
    """DNS rebinding, and a form of another page that posts to this machine."""
    served = serve()
    assert served.ask("/", Host="evil.example").status == 403
    posted = served.ask(
        "/api/v1/records/missing", b"{}", Origin="http://evil.example", Content_Type="text/plain"
    )
    assert posted.status == 403


def test_new_runs_are_told_while_a_page_is_open(
    any_served: Served, real: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D3.5: live, and what is under way."""
    import urllib.request

    from edgekit.web import news

    monkeypatch.setattr(news, "PERIOD_S", 0.1)
    served = any_served
    with urllib.request.urlopen(f"{served.url}/events", timeout=60) as stream:
        assert stream.readline() == b"event: newest\n"
        assert stream.readline() == b'data: ""\n'
        stream.readline()
        assert [stream.readline() for _ in range(3)] == [b"event: under-way\n", b'data: ""\n', b"\n"]
        served.store.beat(Beat(key="a", model="m", device="d", total=3), 60)
        lines: list[Any] = [stream.readline() for _ in range(3)]
        assert lines == [
            b"event: under-way\n",
            f'data: "{digest(served.store.under_way())}"\n'.encode(),
            b"\n",
        ]
        assert "getting ready" in served.ask("/").text
        served.store.add(*real, ends="a")
        lines = [stream.readline() for _ in range(2)]
    assert lines == [b"event: newest\n", f'data: "{real[0].id}"\n'.encode()]


def test_an_id_of_any_letters_is_told_as_the_page_has_it(serve: Serve, real: Run) -> None:
    """As JSON: an id is no line of the stream, and the script compares it with what the page knows."""
    import urllib.request

    served = serve()
    run = 'a"é\u2028\ndata: x'
    served.store.add(msgspec.structs.replace(real[0], id=run), real[1])
    with urllib.request.urlopen(f"{served.url}/events", timeout=60) as stream:
        assert stream.readline() == b"event: newest\n"
        assert json.loads(stream.readline().removeprefix(b"data: ")) == run
        assert stream.readline() == b"\n"


def test_many_open_pages_ask_the_store_no_more_than_one(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database has only so many connections; a page that is left open must not take one of them again and again."""
    from edgekit.web import news

    monkeypatch.setattr(news, "PERIOD_S", 600.0)
    served, calls = serve(), []
    monkeypatch.setattr(news, "newest_run", lambda store: calls.append(store) or "a")
    found = news.News(served.store)
    with ThreadPoolExecutor(16) as pool:
        states = list(pool.map(lambda _: found.state(), range(64)))
    assert states == [{"newest": "a", "under-way": ""}] * 64
    assert len(calls) == 1
