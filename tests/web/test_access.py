"""Who may ask: tokens, sessions, and what other pages try. Tables, no server. (D3.5, D3-b4)"""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.api.tokens import read_token
from edgekit.errors import InputError
from edgekit.web import access
from edgekit.web.settings import settings

TOKEN = "a-token-that-only-tests-know-0123456789"
NOW_S = 1_800_000_000.0


def test_a_session_is_valid_until_it_ends_and_only_under_its_token() -> None:
    cookie = access.new_session(TOKEN, NOW_S)
    assert access.valid_session(cookie, TOKEN, NOW_S + access.SESSION_S - 1)
    assert not access.valid_session(cookie, TOKEN, NOW_S + access.SESSION_S + 1)
    assert not access.valid_session(cookie, TOKEN + "x", NOW_S)
    assert TOKEN not in cookie
    end, _, seal = cookie.partition(".")
    assert not access.valid_session(f"{int(end) + 1}.{seal}", TOKEN, NOW_S)


@pytest.mark.parametrize(
    "cookie", ["", ".", "1.", "x.y", "9" * 400 + ".a", "é.é", "\udc80.x", "-1." + "0" * 64]
)
def test_odd_cookies_are_no_sessions(cookie: str) -> None:
    assert not access.valid_session(cookie, TOKEN, NOW_S)


@pytest.mark.parametrize(
    ("given", "same"),
    [(TOKEN, True), (TOKEN[:-1], False), (TOKEN + " ", False), ("", False), ("é\udc80", False)],
)
def test_tokens_are_the_same_or_not(given: str, same: bool) -> None:
    assert access.same_token(given, TOKEN) is same


def test_secrets_are_compared_in_constant_time() -> None:
    """D3-b4. No secret is compared with == or startswith: the only comparisons in this module are of hmac."""
    text = Path(access.__file__).read_text(encoding="utf-8")
    assert text.count("hmac.compare_digest(") == 2
    assert "== token" not in text
    assert "token ==" not in text
    assert "== seal" not in text


@pytest.mark.parametrize(
    ("host", "foreign"),
    [
        ("127.0.0.1:8750", False),
        ("localhost", False),
        ("[::1]:80", False),
        ("evil.example:8750", True),
        ("127.0.0.1.evil.example", True),
        ("", True),
        (None, True),
        ("[", True),
        ("a[b", True),
    ],
)
def test_a_server_on_loopback_has_no_other_name(host: str | None, foreign: bool) -> None:
    """DNS rebinding: a page of evil.example whose name now points to 127.0.0.1."""
    assert access.foreign_host(host) is foreign


@pytest.mark.parametrize(
    ("origin", "site", "foreign"),
    [
        (None, None, False),
        ("http://127.0.0.1:1", "same-origin", False),
        ("http://evil.example", None, True),
        ("null", None, True),
        ("http://[", None, True),
        (None, "cross-site", True),
        (None, "same-site", True),
    ],
)
def test_other_sites_pages_cannot_change_anything(
    origin: str | None, site: str | None, foreign: bool
) -> None:
    assert access.foreign_origin(origin, "127.0.0.1:1", site) is foreign


@pytest.mark.parametrize(
    "target", ["//evil.example", "https://evil.example", "/\\evil", "\n/", "javascript:x", "", "/é"]
)
def test_the_login_leads_to_our_own_pages_only(target: str) -> None:
    assert access.local_path(target) == "/"
    assert access.local_path("/runs/x?a=b") == "/runs/x?a=b"


def test_what_others_can_reach_needs_a_token() -> None:
    """D3.5"""
    with pytest.raises(InputError) as caught:
        settings("0.0.0.0", 1, None)
    assert caught.value.code == "E_TOKEN"
    assert settings("127.0.0.1", 1, None).token is None
    assert TOKEN not in repr(settings("0.0.0.0", 1, TOKEN))


@pytest.mark.parametrize("text", ["", "short", "has a space in the middle", "ünïcode-token-of-some-length"])
def test_weak_tokens_are_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read_token(tmp_path / "token")
    assert caught.value.code == "E_TOKEN"
    assert not text or text not in caught.value.message


def test_the_token_comes_from_a_file_or_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert read_token(None) is None
    monkeypatch.setenv("EDGEKIT_TOKEN", TOKEN)
    assert read_token(None) == TOKEN
    (tmp_path / "token").write_text(f"{TOKEN[::-1]}\n")
    assert read_token(tmp_path / "token") == TOKEN[::-1]
