"""Labels of a run on its page, by its form and by the API; who may not. (D3.5, D3-b4)"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from urllib.parse import urlencode

import msgspec
import pytest

from edgekit import records as r
from edgekit.api.sharing import push_runs, remote
from edgekit.results.labelling import tag_of
from edgekit.results.store import Store
from tests.browsing import Visit
from tests.page import Page
from tests.web.conftest import TOKEN, Answer, Run, Served

pytest.importorskip("fastapi")
Serve = Callable[..., Served]
JSON = {"Content_Type": "application/json"}


def send(served: Served, run: str, fields: dict[str, str], **headers: str) -> Answer:
    return served.ask(f"/runs/{run}/labels", urlencode(fields).encode(), "POST", **headers)


def patch(served: Served, run: str, labels: object, **headers: str) -> Answer:
    body = json.dumps(labels).encode()
    return served.ask(f"/api/v1/records/{run}/labels", body, "PATCH", **{**JSON, **headers})


def test_by_keyboard(serve: Serve, real: Run, visit: Visit) -> None:
    """D3.5: set and removed with Tab, letters and Enter; a screen reader hears which label a button is about."""
    served = serve()
    served.store.add(*real)
    visit.size("phone")
    visit.page.goto(f"{served.url}/runs/{real[0].id}")
    page = visit.page
    assert page.get_by_text("This run has no labels.").is_visible()
    page.get_by_label("Label", exact=True).focus()
    page.keyboard.type("board")
    page.keyboard.press("Tab")
    page.keyboard.type('<b>"7"</b>')
    page.keyboard.press("Enter")
    page.wait_for_url("**#labels")
    assert page.locator("ul.labels").inner_text().startswith('board: <b>"7"</b>')
    assert served.store.labels("latest") == {"board": '<b>"7"</b>'}
    assert visit.violations() == []
    assert visit.overflow_px() <= 0
    page.get_by_role("button", name="Remove the label board").focus()
    page.keyboard.press("Enter")
    page.get_by_text("This run has no labels.").wait_for()
    assert served.store.labels("latest") == {}
    assert visit.complaints == []


def test_in_a_browser_that_is_logged_in(serve: Serve, real: Run, visit: Visit) -> None:
    """What the browser says of where the form comes from is what the server wants."""
    served = serve(token=TOKEN)
    served.store.add(*real)
    page = visit.page
    page.goto(f"{served.url}/runs/{real[0].id}")
    visit.log_in(TOKEN)
    page.get_by_label("Label", exact=True).fill("board")
    page.get_by_label("Value", exact=True).fill("7")
    page.get_by_role("button", name="Set label").click()
    page.wait_for_url("**#labels")
    assert served.store.labels("latest") == {"board": "7"}
    assert visit.complaints == []


def test_a_form_says_what_was_wrong(serve: Serve, real: Run) -> None:
    served = serve()
    served.store.add(*real)
    answer = send(served, real[0].id, {"key": "a=b", "value": "x"})
    assert (answer.status, "E_LABEL" in answer.text) == (400, True)
    assert send(served, "nothing", {"key": "a", "value": "x"}).status == 404
    assert send(served, real[0].id, {"key": "a", "value": "x" * 9000}).status == 413
    many = urlencode([(f"a{i}", "") for i in range(50)]).encode()
    assert served.ask(f"/runs/{real[0].id}/labels", many, "POST").status == 400


@pytest.mark.parametrize(
    "nasty",
    [
        "</ul><script>alert(1)</script>",
        '" onfocus=alert(1) x="',
        "'; DROP TABLE labels; --",
        "\x00\x1b\u202e",
    ],
)
def test_labels_are_only_text(nasty: str, serve: Serve, real: Run) -> None:
    """D3-b4. What a record brought may hold anything; its button takes just that away."""
    served = serve()
    bad = msgspec.structs.replace(real[0], labels={nasty: nasty, "other": "1"})
    served.store.add(bad, real[1])
    page = served.ask(f"/runs/{bad.id}").text
    assert "script" not in Page(page, styled=False).tags  # which looks at attributes too
    assert not re.search("[\x00\x1b\u202e]", page)
    kept = next(key for key in served.store.labels(bad.id) if key != "other")
    assert tag_of(kept) in page
    assert send(served, bad.id, {"remove": tag_of(kept)}).status == 303
    assert served.store.labels(bad.id) == {"other": "1"}


def test_another_sites_page_cannot(serve: Serve, real: Run) -> None:
    """D3-b4: without a token by where the request comes from; with one by that and the session."""
    served = serve()
    served.store.add(*real)
    fields = {"key": "a", "value": "1"}
    for headers in ({"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec_Fetch_Site": "cross-site"}):
        answer = send(served, real[0].id, fields, **headers)
        assert (answer.status, answer.json["error"]["code"]) == (403, "E_ORIGIN")
        assert answer.json["error"]["hint"] == served.ask("/", Host="evil.example").json["error"]["hint"]
    assert send(served, real[0].id, fields, Origin=served.url).status == 303
    assert served.store.labels(real[0].id) == {"a": "1"}


def test_with_a_token_it_takes_a_session_and_a_browser(serve: Serve, real: Run) -> None:
    served = serve(token=TOKEN)
    served.store.add(*real)
    fields = {"key": "a", "value": "1"}
    cookie = (
        served.ask("/login", urlencode({"token": TOKEN}).encode()).headers["set-cookie"].partition(";")[0]
    )
    answer = send(served, real[0].id, fields, Origin=served.url)
    assert (answer.status, answer.headers["location"]) == (303, f"/login?next=%2Fruns%2F{real[0].id}")
    assert send(served, real[0].id, fields, Cookie=cookie).headers["location"].startswith("/login")
    assert send(served, real[0].id, fields, Cookie=cookie, Origin="http://evil.example").status == 403
    assert served.store.labels(real[0].id) == {}
    assert send(served, real[0].id, fields, Cookie=cookie, Origin=served.url).status == 303
    assert served.store.labels(real[0].id) == {"a": "1"}
    # a session changes nothing else
    assert patch(served, real[0].id, {"a": None}, Cookie=cookie, Origin=served.url).status == 401
    assert patch(served, real[0].id, {"a": None}, Authorization=f"Bearer {TOKEN}").json["labels"] == {}


def test_by_the_api(serve: Serve, real: Run) -> None:
    """Set and removed at once; null removes; the record stays byte for byte."""
    served = serve()
    served.store.add(*real)
    seal = served.ask(f"/api/v1/records/{real[0].id}").headers["etag"]
    assert patch(served, real[0].id, {"a": "1", "b": ""}).json == {
        "id": real[0].id,
        "labels": {"a": "1", "b": ""},
    }
    assert patch(served, real[0].id, {"a": None, "c": "3", "none": None}).json["labels"] == {
        "b": "",
        "c": "3",
    }
    assert served.ask(f"/api/v1/records/{real[0].id}/labels").json["labels"] == {"b": "", "c": "3"}
    assert served.ask(f"/api/v1/records/{real[0].id}").headers["etag"] == seal
    for wrong in ([], {"a": 1}, {"a=b": ""}, {"a": "x" * 301}, {f"k{i}": "" for i in range(65)}):
        assert patch(served, real[0].id, wrong).status == 400
    assert patch(served, "nothing", {}).status == 404
    assert patch(served, real[0].id, {}, Content_Type="text/plain").status == 415


def test_they_go_along_with_a_push_and_there_they_stay(
    serve: Serve, real: Run, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """D3.6: a run that is new there has the labels that it has here; one that is there keeps those that it has there."""
    served = serve()
    mine = Store(tmp_path_factory.mktemp("mine") / "mine.sqlite")
    plain = msgspec.structs.replace(real[0], id=r.new_id(), labels={"board": "7", "project": "p"})
    mine.add_many([real, (plain, real[1])])
    mine.change_labels(real[0].id, {"project": "vision", "note": "warm room"})
    there = remote(served.url, None)
    assert len(push_runs(mine, there, mine.ids()).sent) == 2
    assert served.store.labels(real[0].id) == {"project": "vision", "note": "warm room"}
    assert served.store.list(["project=vision"])[0].id == real[0].id
    assert served.store.labels(plain.id) == {"board": "7", "project": "p"}
    assert served.store.get_bytes(real[0].id) == mine.get_bytes(real[0].id)
    mine.change_labels(real[0].id, {"note": "cold room"})
    again = push_runs(mine, there, mine.ids())
    assert (again.sent, again.there, again.conflicts) == ((), 2, ())
    assert served.store.labels(real[0].id)["note"] == "warm room"
