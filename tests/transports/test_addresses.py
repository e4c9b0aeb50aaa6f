"""Device addresses (interface.md, "Device addresses"; A4)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.addresses import Address, parse
from edgekit.errors import InputError
from edgekit.transports import connect

pytestmark = pytest.mark.base


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("local:", Address(kind="local")),
        ("adb:", Address(kind="adb")),
        ("adb:R58M123ABC", Address(kind="adb", serial="R58M123ABC")),
        ("adb:10.0.0.2:5555", Address(kind="adb", serial="10.0.0.2:5555")),
        ("adb:[fe80::1]:5555", Address(kind="adb", serial="[fe80::1]:5555")),
        ("adb:emulator-5554", Address(kind="adb", serial="emulator-5554")),
        (
            "adb:adb-R58-x1y2._adb-tls-connect._tcp",
            Address(kind="adb", serial="adb-R58-x1y2._adb-tls-connect._tcp"),
        ),
        ("ssh://rpi5", Address(kind="ssh", host="rpi5")),
        ("ssh://pi@rpi5", Address(kind="ssh", user="pi", host="rpi5")),
        ("ssh://pi@rpi5.local:2222", Address(kind="ssh", user="pi", host="rpi5.local", port=2222)),
        ("ssh://[::1]:22", Address(kind="ssh", host="::1", port=22)),
        ("ssh://pi@[fe80::1%eth0]", Address(kind="ssh", user="pi", host="fe80::1%eth0")),
        ("adb+ssh://lab/R58", Address(kind="adb+ssh", host="lab", serial="R58")),
        (
            "adb+ssh://me@lab:22/10.0.0.2:5555",
            Address(kind="adb+ssh", user="me", host="lab", port=22, serial="10.0.0.2:5555"),
        ),
        ("adb+ssh://lab/", Address(kind="adb+ssh", host="lab")),
        (
            "adb+ssh://lab/R58?port=5038",
            Address(kind="adb+ssh", host="lab", serial="R58", options=(("port", "5038"),)),
        ),
        ("sim:raspberry-pi-5", Address(kind="sim", name="raspberry-pi-5")),
        (
            "sim:pixel-8?fault=cut&after=3",
            Address(kind="sim", name="pixel-8", options=(("fault", "cut"), ("after", "3"))),
        ),
        (
            "sim:pixel-8?state=~/my-phone&modes=1,1.08",
            Address(kind="sim", name="pixel-8", options=(("state", "~/my-phone"), ("modes", "1,1.08"))),
        ),
        ("bench-pi", Address(kind="name", name="bench-pi")),
        ("local", Address(kind="name", name="local")),
    ],
)
def test_forms(text: str, address: Address) -> None:
    assert parse(text) == address
    assert str(address) == text
    assert parse(f"  {text}\n") == address


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", "an address is"),
        ("pi@rpi5", "ssh://pi@rpi5"),
        ("10.0.0.2:5555", "adb:10.0.0.2:5555"),
        ("local:/tmp", "local:"),
        ("adb:two words", "adb devices"),
        ("adb:-x", "adb devices"),
        ("ssh:rpi5", "ssh://[USER@]HOST"),
        ("ssh://", "ssh://[USER@]HOST"),
        ("ssh://pi@", "ssh://[USER@]HOST"),
        ("ssh://@rpi5", "ssh://[USER@]HOST"),
        ("ssh://rpi5/", None),
        ("ssh://rpi5/home", "ssh://[USER@]HOST"),
        ("ssh://rpi5:ssh", "number"),
        ("ssh://rpi5:0", "number"),
        ("ssh://rpi5:65536", "number"),
        ("ssh://rpi5:", "number"),
        ("ssh://fe80::1", "ssh://[fe80::1]"),
        ("ssh://[fe80::1", "ssh://[fe80::1%eth0]:22"),
        ("ssh://-oProxyCommand=x", "ssh://[USER@]HOST"),
        ("ssh://-l@rpi5", "ssh://[USER@]HOST"),
        ("adb+ssh://lab", "adb+ssh://lab/"),
        ("sim:", "sim:PROFILE"),
        ("sim:pi?fault", "KEY=VALUE"),
        ("bluetooth:x", "an address is"),
        ("two words", "an address is"),
    ],
)
def test_what_is_none_is_refused_with_a_hint(text: str, hint: str | None) -> None:
    if hint is None:
        assert parse(text).kind == "ssh"
        return
    with pytest.raises(InputError) as caught:
        parse(text)
    assert caught.value.code == "E_ADDRESS"
    assert caught.value.exit_code == 1
    assert hint in (caught.value.hint or "")


def test_a_password_is_refused_and_not_repeated() -> None:
    with pytest.raises(InputError) as caught:
        parse("ssh://pi:raspberry@rpi5")
    assert "raspberry" not in str(caught.value.to_json())
    assert "key" in (caught.value.hint or "")


_hosts = st.from_regex(r"[a-z0-9][a-z0-9.\-]{0,20}", fullmatch=True) | st.ip_addresses(v=6).map(str)
_serials = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9.:\-]{0,20}", fullmatch=True)
_ports = st.none() | st.integers(1, 65535)
_users = st.none() | st.from_regex(r"[a-z_][a-z0-9_.\-]{0,10}", fullmatch=True)
_options = st.lists(st.tuples(st.text(min_size=1, max_size=5), st.text(max_size=5)), max_size=3).map(tuple)


@given(
    st.builds(Address, kind=st.just("adb"), serial=st.none() | _serials)
    | st.builds(Address, kind=st.just("ssh"), user=_users, host=_hosts, port=_ports)
    | st.builds(
        Address,
        kind=st.just("adb+ssh"),
        user=_users,
        host=_hosts,
        port=_ports,
        serial=st.none() | _serials,
    )
    | st.builds(
        Address,
        kind=st.just("sim"),
        name=st.from_regex(r"[a-z][a-z0-9.\-]{0,10}", fullmatch=True),
        options=_options,
    )
)
def test_what_is_printed_is_read_again(address: Address) -> None:
    assert parse(str(address)) == address


@given(st.text(max_size=30) | st.sampled_from(["ssh://", "adb:", "adb+ssh://", "sim:"]).flatmap(
    lambda scheme: st.text(max_size=20).map(lambda rest: scheme + rest)
))  # fmt: skip
def test_any_text_is_an_address_or_an_input_error(text: str) -> None:
    found: Address | InputError
    try:
        found = parse(text)
    except InputError as error:
        found = error
    if isinstance(found, InputError):
        assert found.code == "E_ADDRESS"
        assert found.hint
    else:
        assert parse(str(found)) == found


def test_a_name_has_to_be_looked_up_first() -> None:
    with pytest.raises(InputError) as caught:
        connect("bench-pi", timeout=1)
    assert "bench-pi" in caught.value.message
    assert "edgekit.yaml" in (caught.value.hint or "")


def test_a_transport_that_is_not_there() -> None:
    with pytest.raises(InputError) as caught:
        connect(Address(kind="carrier-pigeon", name="x"), timeout=1)
    assert caught.value.code == "E_NO_PLUGIN"
