"""The application: pages, the API, and how errors are told. `create_app` takes an open store and starts nothing."""

from __future__ import annotations

import asyncio
import time
from urllib.parse import parse_qs

from fastapi import FastAPI, Request
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response, StreamingResponse

from edgekit.errors import EdgekitError, InputError
from edgekit.results.markup import Html, el
from edgekit.results.parts import title_of
from edgekit.results.store import Store
from edgekit.web import access, openapi, progress, rest
from edgekit.web.best_page import best_page
from edgekit.web.compare_page import compare_page
from edgekit.web.figures import DRAWING
from edgekit.web.guard import Guard
from edgekit.web.labels import changed
from edgekit.web.layout import STATIC, error_page, page, static
from edgekit.web.listing import listing
from edgekit.web.news import News
from edgekit.web.queries import filters_of
from edgekit.web.run_page import run_page
from edgekit.web.settings import Settings
from edgekit.web.trends_page import trends_page

MAX_FORM_BYTES = 8192
_LOGIN_PAUSE_S = 0.5
"""A wrong token costs so much time. That slows guessing down; what makes it hopeless is a token that nobody chose by hand."""


def create_app(store: Store, settings: Settings) -> FastAPI:
    """All pages on this store. No telemetry, no pages of FastAPI's own."""
    app = FastAPI(
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    app.add_middleware(Guard, settings=settings)
    app.include_router(rest.router(store))
    _add_pages(app, store, settings.token is not None)
    _add_files(app, store)
    _add_forms(app, store)
    if settings.token is not None:
        _add_login(app, settings.token)
    _add_errors(app, settings.token is not None)

    @app.get(f"{rest.ROOT}/openapi.json")
    def description() -> JSONResponse:
        return JSONResponse(openapi.document())

    news = News(store)

    @app.get("/events")
    async def events(request: Request) -> StreamingResponse:
        return StreamingResponse(news.stream(request), media_type="text/event-stream")

    return app


def _add_pages(app: FastAPI, store: Store, with_session: bool) -> None:
    @app.get("/")
    def runs(request: Request) -> HTMLResponse:
        body, status, newest = listing(store, request.query_params)
        return page("Runs", body, here="/", status=status, live=newest, with_session=with_session)

    @app.get("/under-way")
    def now(request: Request) -> HTMLResponse:
        """The part of the page of runs, for its script; asked for with the page's filters."""
        return HTMLResponse(progress.section(store.under_way(filters_of(request.query_params))))

    @app.get("/trends")
    def trends(request: Request) -> HTMLResponse:
        body, status, newest = trends_page(store, request.query_params)
        return page("Trends", body, here="/trends", status=status, live=newest, with_session=with_session)

    @app.get("/best")
    def best(request: Request) -> HTMLResponse:
        body, status, newest = best_page(store, request.query_params)
        return page("Best", body, here="/best", status=status, live=newest, with_session=with_session)

    @app.get("/compare")
    def compare(request: Request) -> HTMLResponse:
        body, status = compare_page(store, request.query_params.getlist("run")[:10])
        return page("Compare", body, here="/compare", status=status, with_session=with_session)

    @app.get("/runs/{run}")
    def run(run: str) -> HTMLResponse:
        record, samples = store.get(run), store.samples(run)
        with DRAWING:
            body = run_page(record, samples, store.labels(record.id))
        return page(title_of(record), body, here="/", with_session=with_session)


def _add_forms(app: FastAPI, store: Store) -> None:
    @app.post("/runs/{run}/labels")
    async def labels(run: str, request: Request) -> Response:
        fields = await _form(request)
        return RedirectResponse(await run_in_threadpool(changed, store, run, fields), status_code=303)


async def _form(request: Request) -> dict[str, str]:
    """The fields of a form, the first of each name."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_FORM_BYTES:
            raise HTTPException(413)
    try:
        found = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=8)
    except ValueError as error:
        raise HTTPException(400, "too many fields") from error
    return {name: values[0] for name, values in found.items()}


def _add_files(app: FastAPI, store: Store) -> None:
    @app.get("/runs/{run}/record.json")
    def record(run: str) -> Response:
        run_id = store.resolve(run)
        data, _ = store.get_bytes(run_id)
        return Response(data, media_type="application/json", headers=_as_file(run_id, "json"))

    @app.get("/runs/{run}/samples.csv")
    def samples(run: str) -> StreamingResponse:
        run_id = store.resolve(run)
        pieces = store.export([run_id], format="csv", with_samples=True)
        return StreamingResponse(pieces, media_type="text/csv", headers=_as_file(run_id, "csv"))

    @app.get("/static/{name}")
    def own_file(name: str) -> Response:
        if name not in STATIC:
            raise HTTPException(404)
        return Response(static(name), media_type=STATIC[name], headers={"cache-control": "max-age=3600"})


def _as_file(run_id: str, ending: str) -> dict[str, str]:
    name = "".join(letter for letter in run_id if letter.isascii() and (letter.isalnum() or letter in "-_"))
    return {"content-disposition": f'attachment; filename="{name[:80] or "run"}.{ending}"'}


def _add_login(app: FastAPI, token: str) -> None:
    @app.get("/login")
    def form(request: Request) -> HTMLResponse:
        return _login_page(request.query_params.get("next", "/"))

    @app.post("/login")
    async def login(request: Request) -> Response:
        fields = await _form(request)
        target = access.local_path(fields.get("next", "/"))
        if not access.same_token(fields.get("token", "").strip(), token):
            await asyncio.sleep(_LOGIN_PAUSE_S)
            return _login_page(target, wrong=True)
        answer = RedirectResponse(target, status_code=303)
        answer.set_cookie(
            access.COOKIE,
            access.new_session(token, time.time()),
            max_age=access.SESSION_S,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
        return answer

    @app.post("/logout")
    def logout() -> Response:
        answer = RedirectResponse("/login", status_code=303)
        answer.delete_cookie(access.COOKIE, httponly=True, samesite="strict")
        return answer


def _login_page(target: str, *, wrong: bool = False) -> HTMLResponse:
    box = el(
        "input", type="password", name="token", autocomplete="current-password", required="", autofocus=""
    )
    form = el(
        "form",
        el("div", "This token is not the right one.", class_="alert", role="alert") if wrong else None,
        el("label", "Token", box),
        el("input", type="hidden", name="next", value=access.local_path(target)),
        el("div", el("button", "Log in"), class_="actions"),
        method="post",
        action="/login",
        class_="login card",
    )
    note: Html = el("p", "Who started this server knows the token.", class_="fine")
    return page("Log in", form, note, status=403 if wrong else 200)


def _add_errors(app: FastAPI, with_session: bool) -> None:
    @app.exception_handler(EdgekitError)
    async def told(request: Request, error: EdgekitError) -> Response:
        status = status_of(error)
        if request.url.path.startswith("/api/"):
            return JSONResponse({"error": error.to_json()}, status_code=status)
        return error_page(error, status, with_session=with_session)

    @app.exception_handler(HTTPException)
    async def missing(request: Request, error: HTTPException) -> Response:
        if request.url.path.startswith("/api/"):
            document = {"error": {"code": "E_HTTP", "message": str(error.detail)}}
            return JSONResponse(document, status_code=error.status_code, headers=error.headers)
        found = InputError(str(error.detail), code="E_HTTP")
        return error_page(found, error.status_code, with_session=with_session)


def status_of(error: EdgekitError) -> int:
    """The HTTP status of an error."""
    if isinstance(error, rest.TooLarge):
        return 413
    if isinstance(error, rest.NotJson):
        return 415
    if isinstance(error, rest.OtherId):
        return 409
    if isinstance(error, InputError):
        return {"E_NO_RUN": 404, "E_RECORD_CONFLICT": 409}.get(error.code, 400)
    return 503
