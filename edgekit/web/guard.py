"""The ASGI layer before every page and every call: who may ask, how large a body may be, what a browser may do with it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import quote

from starlette.responses import JSONResponse, RedirectResponse, Response

from edgekit.web import access
from edgekit.web.settings import Settings

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""No inline script or style: figures carry their colours as attributes."""
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "cache-control": "no-store",
}
OWN_NAME = (
    "open it by the name that it was started with; a proxy has to hand that name on (docs/dashboard.md)"
)
"""What helps against E_HOST and against E_ORIGIN."""
OPEN = ("/login", "/static/", "/api/v1/health")
"""What needs no token: where to give it, how that looks, and whether the server lives."""


class Guard:
    """Answers by itself what may not get through; adds `HEADERS` to everything."""

    def __init__(self, app: App, settings: Settings) -> None:
        self.app = app
        self.settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = {name for name, _ in message["headers"]}
                extra = [(k.encode(), v.encode()) for k, v in HEADERS.items() if k.encode() not in own]
                message["headers"] = [*message["headers"], *extra]
            await send(message)

        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        refusal = refused(self.settings, scope["method"], scope["path"], headers, _target(scope), time.time())
        await (refusal or self.app)(scope, receive, with_headers)


def refused(
    settings: Settings, method: str, path: str, headers: dict[str, str], target: str, now_s: float
) -> Response | None:
    """The answer to one who may not ask, None for who may. Pure."""
    host = headers.get("host")
    if settings.token is None and access.foreign_host(host):
        return _no(403, "E_HOST", "this server answers to localhost only", hint=OWN_NAME)
    if method not in access.SAFE_METHODS and access.foreign_origin(
        headers.get("origin"), host, headers.get("sec-fetch-site")
    ):
        message = "a request that changes something must come from this server's own pages"
        return _no(403, "E_ORIGIN", message, hint=OWN_NAME)
    if settings.token is None or path.startswith(OPEN):
        return None
    given = access.bearer(headers.get("authorization"))
    if given is not None:
        if access.same_token(given, settings.token):
            return None
    elif (method, path) == ("POST", "/logout") or _by_session(settings.token, method, path, headers, now_s):
        return None
    if _is_form(method, path):
        return RedirectResponse(f"/login?next={quote(path.rpartition('/')[0], safe='')}", status_code=303)
    if path.startswith("/api/") or method not in access.SAFE_METHODS:
        return _no(401, "E_TOKEN", "a token is needed", {"www-authenticate": "Bearer"})
    return RedirectResponse(f"/login?next={quote(target, safe='')}", status_code=303)


def _is_form(method: str, path: str) -> bool:
    return method == "POST" and path.startswith("/runs/") and path.endswith("/labels")


def _by_session(token: str, method: str, path: str, headers: dict[str, str], now_s: float) -> bool:
    """Whoever logged in may look, and send the one form that changes something: a browser says where that comes from, which
    `foreign_origin` has looked at."""
    may = method in access.SAFE_METHODS or (_is_form(method, path) and "origin" in headers)
    return may and access.valid_session(_cookie(headers), token, now_s)


def _no(
    status: int,
    code: str,
    message: str,
    headers: dict[str, str] | None = None,
    hint: str | None = None,
) -> Response:
    error = {"code": code, "message": message, **({"hint": hint} if hint is not None else {})}
    return JSONResponse({"error": error}, status_code=status, headers=headers)


def _cookie(headers: dict[str, str]) -> str:
    try:
        jar = SimpleCookie(headers.get("cookie", ""))
    except CookieError:
        return ""
    return jar[access.COOKIE].value if access.COOKIE in jar else ""


def _target(scope: Scope) -> str:
    query = scope["query_string"].decode("latin-1")
    return str(scope["path"]) + (f"?{query}" if query else "")
