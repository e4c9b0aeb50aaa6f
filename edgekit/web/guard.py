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
        return _no(403, "E_HOST", "this server answers to localhost only")
    if method not in access.SAFE_METHODS and access.foreign_origin(
        headers.get("origin"), host, headers.get("sec-fetch-site")
    ):
        return _no(403, "E_ORIGIN", "a request that changes something must come from this server's own pages")
    if settings.token is None or path.startswith(OPEN):
        return None
    given = access.bearer(headers.get("authorization"))
    if given is not None:
        if access.same_token(given, settings.token):
            return None
    elif (
        method in access.SAFE_METHODS and access.valid_session(_cookie(headers), settings.token, now_s)
    ) or (method == "POST" and path == "/logout"):
        return None
    if path.startswith("/api/") or method not in access.SAFE_METHODS:
        return _no(401, "E_TOKEN", "a token is needed", {"www-authenticate": "Bearer"})
    return RedirectResponse(f"/login?next={quote(target, safe='')}", status_code=303)


def _no(status: int, code: str, message: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"error": {"code": code, "message": message}}, status_code=status, headers=headers)


def _cookie(headers: dict[str, str]) -> str:
    try:
        jar = SimpleCookie(headers.get("cookie", ""))
    except CookieError:
        return ""
    return jar[access.COOKIE].value if access.COOKIE in jar else ""


def _target(scope: Scope) -> str:
    query = scope["query_string"].decode("latin-1")
    return str(scope["path"]) + (f"?{query}" if query else "")
