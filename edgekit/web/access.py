"""Who may ask: a token, a session after it was typed once, and requests that other pages smuggle in. Pure.

Everything that is secret is compared in constant time. A session is its end and an HMAC of that under the token: nothing is
kept on the server, and who learns a cookie does not learn the token.
"""

from __future__ import annotations

import hashlib
import hmac
from urllib.parse import urlsplit

from edgekit.api.tokens import is_loopback

COOKIE = "edgekit_session"
SESSION_S = 12 * 3600
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


def same_token(given: str, token: str) -> bool:
    """In constant time, also for lengths that differ."""
    one, other = (hashlib.sha256(text.encode("utf-8", "replace")).digest() for text in (given, token))
    return hmac.compare_digest(one, other)


def new_session(token: str, now_s: float) -> str:
    """The cookie of one who has shown the token."""
    end = str(int(now_s) + SESSION_S)
    return f"{end}.{_seal(token, end)}"


def valid_session(cookie: str, token: str, now_s: float) -> bool:
    end, _, seal = cookie.partition(".")
    if not hmac.compare_digest(_seal(token, end).encode(), seal.encode("utf-8", "replace")):
        return False
    return end.isascii() and end.isdigit() and now_s < int(end) <= now_s + SESSION_S + 60


def _seal(token: str, end: str) -> str:
    text = f"edgekit dashboard session until {end}".encode("utf-8", "replace")
    return hmac.new(token.encode(), text, hashlib.sha256).hexdigest()


def bearer(header: str | None) -> str | None:
    """The token of an Authorization header."""
    scheme, _, given = (header or "").partition(" ")
    return given.strip() if scheme.lower() == "bearer" and given.strip() else None


def foreign_host(host: str | None) -> bool:
    """Whether a request to a server on loopback asks for another name: a page whose own name was made to point here
    (DNS rebinding)."""
    try:
        return not is_loopback(urlsplit(f"//{host or ''}").hostname or "")
    except ValueError:  # no name at all, like [
        return True


def foreign_origin(origin: str | None, host: str | None, site: str | None) -> bool:
    """Whether a browser sends this from another site's page. What is no browser sends neither header."""
    if site is not None and site not in ("same-origin", "none"):
        return True
    try:
        return origin is not None and urlsplit(origin).netloc.lower() != (host or "").lower()
    except ValueError:
        return True


def local_path(target: str) -> str:
    """Where to go after the login: a path of ours, whatever was asked."""
    plain = target.isascii() and target.isprintable() and "\\" not in target
    return target if plain and target.startswith("/") and not target.startswith("//") else "/"
