"""The frame that all pages share, and how an error looks. Everything goes through `el`, which escapes."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from urllib.parse import quote, urlencode

from starlette.responses import HTMLResponse

from edgekit.errors import EdgekitError
from edgekit.results.markup import Child, Html, el

NAVIGATION = (("Runs", "/"), ("Trends", "/trends"), ("Best", "/best"), ("Compare", "/compare"))
STATIC = {"dashboard.css": "text/css", "dashboard.js": "text/javascript", "icon.svg": "image/svg+xml"}


def page(
    title: str,
    *body: Child,
    here: str = "",
    status: int = 200,
    live: str | None = None,
    with_session: bool = False,
) -> HTMLResponse:
    """`here`: the part of the navigation it belongs to. `live`: the newest run that the page knows of; the script watches
    for a newer one."""
    links = [
        el("a", name, href=target, aria_current="page" if target == here else None)
        for name, target in NAVIGATION
    ]
    logout = el("form", el("button", "Log out", class_="plain"), method="post", action="/logout")
    top = el(
        "header",
        el("a", "Skip to the content", href="#content", class_="skip"),
        el("nav", el("a", "edgekit", href="/", class_="brand"), links, aria_label="Pages"),
        logout if with_session else None,
        class_="bar",
    )
    main = el("main", el("h1", title), body, id="content", tabindex="-1", data_newest=live)
    head = el(
        "head",
        Html('<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'),
        el("title", f"{title} · edgekit"),
        Html('<link rel="stylesheet" href="/static/dashboard.css"><link rel="icon" href="/static/icon.svg">'),
        Html('<script src="/static/dashboard.js" defer></script>') if live is not None else None,
    )
    status_line = el("p", class_="status", role="status", id="status") if live is not None else None
    document = el("html", head, el("body", top, status_line, main), lang="en")
    return HTMLResponse(f"<!DOCTYPE html>\n{document}\n", status_code=status)


def error_page(error: EdgekitError, status: int, *, with_session: bool = False) -> HTMLResponse:
    return page(
        "That did not work",
        el("div", el("p", error.message), el("p", error.hint, class_="fine") if error.hint else None, class_="card",
           role="alert"),
        el("p", el("code", error.code), class_="fine"),
        status=status,
        with_session=with_session,
    )  # fmt: skip


def url(path: str, parameters: Mapping[str, str | None]) -> str:
    """A link of ours: parameters that are empty are left out."""
    query = urlencode({name: value for name, value in parameters.items() if value})
    return f"{path}?{query}" if query else path


def run_url(run_id: str) -> str:
    """The page of a run, whatever its id holds."""
    return f"/runs/{quote(run_id, safe='')}"


def static(name: str) -> bytes:
    """One of our own files."""
    own = files("edgekit.web").joinpath("static", name).read_bytes()
    if name != "dashboard.css":
        return own
    return files("edgekit.results").joinpath("report.css").read_bytes() + own
