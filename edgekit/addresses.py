"""How a user names a device, as typed data.

    local:                            this machine
    adb:[SERIAL]                      a device of this host's adb server (SERIAL may be HOST:PORT)
    ssh://[USER@]HOST[:PORT]          a board
    adb+ssh://[USER@]HOST[:PORT]/[SERIAL][?port=N]   a device of another host's adb server (which listens on N)
    sim:PROFILE[?KEY=VALUE&...]       a simulated device
    SCHEME:REST                       what a transport plug-in of that name makes of it
    NAME                              an entry of `devices:` in edgekit.yaml

`parse(str(address)) == address` for every address.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, urlencode

from edgekit.errors import InputError
from edgekit.registry import plugins

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]*")
_SCHEME = re.compile(r"([a-z][a-z0-9+]*):(.*)", re.DOTALL)
_USER = re.compile(r"[^\s@/:\-][^\s@/:]*")
_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]*")
_IPV6 = re.compile(r"[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(%[A-Za-z0-9_.\-]+)?")
_SERIAL = re.compile(r"[A-Za-z0-9_.:\[\]%()+,][A-Za-z0-9_.:\[\]%()+,\-]*")
_FORMS = (
    "an address is local:, adb:SERIAL, ssh://[USER@]HOST[:PORT], adb+ssh://[USER@]HOST/SERIAL, sim:PROFILE"
    " or a name of edgekit.yaml"
)


@dataclass(frozen=True)
class Address:
    """One way to reach one device.

    `kind`: "local", "adb", "ssh", "adb+ssh", "sim", "name", or the name of a transport plug-in.
    `serial`: of adb; None is "the only one attached". `name`: the entry of edgekit.yaml, the profile of
    `sim:`, or what follows a plug-in's scheme. `port` None: whatever the ssh settings say.
    """

    kind: str
    user: str | None = None
    host: str | None = None
    port: int | None = None
    serial: str | None = None
    name: str | None = None
    options: tuple[tuple[str, str], ...] = ()

    def option(self, key: str) -> str | None:
        """The last value given for `key`, or None."""
        return dict(self.options).get(key)

    def __str__(self) -> str:
        match self.kind:
            case "name":
                return self.name or ""
            case "adb":
                return f"adb:{self.serial or ''}"
            case "ssh":
                return f"ssh://{self._place()}"
            case "adb+ssh":
                return f"adb+ssh://{self._place()}/{self.serial or ''}{self._query()}"
            case "sim":
                return f"sim:{quote(self.name or '')}{self._query()}"
            case _:
                return f"{self.kind}:{self.name or ''}"

    def _query(self) -> str:
        return "?" + urlencode(self.options, safe="/~,") if self.options else ""

    def _place(self) -> str:
        user = f"{self.user}@" if self.user else ""
        host = f"[{self.host}]" if self.host and ":" in self.host else self.host
        return f"{user}{host}" + (f":{self.port}" if self.port is not None else "")


def parse(text: str) -> Address:
    """Read an address as a user types it.

    Raises InputError (E_ADDRESS) with a hint; what looks like a password is not repeated in it.
    """
    text = text.strip()
    if _NAME.fullmatch(text):
        return Address(kind="name", name=text)
    match = _SCHEME.fullmatch(text)
    if match is None:
        raise _bad(f"'{text}' is no device address" if text else "the device address is empty", _guess(text))
    scheme, rest = match[1], match[2]
    if scheme == "local":
        return _parse_local(rest)
    if scheme == "adb":
        return Address(kind="adb", serial=_serial(rest) if rest else None)
    if scheme in ("ssh", "adb+ssh"):
        return _parse_url(scheme, rest)
    if scheme == "sim":
        return _parse_sim(rest)
    if scheme in plugins("transports"):
        return Address(kind=scheme, name=rest)
    raise _bad(f"no transport is called '{scheme}' (in '{text}')", _guess(text))


def _parse_local(rest: str) -> Address:
    if rest:
        raise _bad(f"'local:{rest}': nothing follows 'local:'", "write local: for this machine")
    return Address(kind="local")


def _parse_sim(rest: str) -> Address:
    profile, _, query = rest.partition("?")
    if not _NAME.fullmatch(profile):
        raise _bad(f"'sim:{rest}' names no profile", "write sim:PROFILE, for instance sim:raspberry-pi-5")
    return Address(kind="sim", name=profile, options=_options(query, f"sim:{rest}"))


def _options(query: str, text: str) -> tuple[tuple[str, str], ...]:
    try:
        return tuple(parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query)))
    except ValueError as error:
        raise _bad(f"'{text}': {error}", "options are KEY=VALUE, joined by '&'") from error


def _parse_url(scheme: str, rest: str) -> Address:
    form = "ssh://[USER@]HOST[:PORT]" if scheme == "ssh" else "adb+ssh://[USER@]HOST[:PORT]/SERIAL"
    if not rest.startswith("//"):
        raise _bad(f"'{scheme}:' is followed by two slashes", f"write {form}")
    place, slash, serial = rest[2:].partition("/")
    user, at, where = place.rpartition("@")
    if ":" in user:
        raise _bad(
            f"a password does not belong into an address ({scheme}://...@{where})",
            "use a key: ssh-copy-id puts it on the board",
        )
    if at and not _USER.fullmatch(user):
        raise _bad(f"'{user}' is no user name", f"write {form}")
    host, port = _host_port(where, form)
    if scheme == "ssh":
        if serial:
            raise _bad(f"'{scheme}:{rest}': nothing follows the host", f"write {form}")
        return Address(kind="ssh", user=user or None, host=host, port=port)
    if not slash:
        raise _bad(
            f"'{scheme}:{rest}' has no serial", f"write {form}; {scheme}:{rest}/ where only one is attached"
        )
    serial, _, query = serial.partition("?")
    return Address(
        kind=scheme,
        user=user or None,
        host=host,
        port=port,
        serial=_serial(serial) if serial else None,
        options=_options(query, f"{scheme}:{rest}"),
    )


def _host_port(where: str, form: str) -> tuple[str, int | None]:
    if where.startswith("["):
        host, bracket, tail = where[1:].partition("]")
        if not bracket or not _IPV6.fullmatch(host) or (tail and not tail.startswith(":")):
            raise _bad(f"'{where}' is no IPv6 host in brackets", "for instance ssh://[fe80::1%eth0]:22")
        return host, _port(tail[1:]) if tail else None
    if where.count(":") > 1:
        raise _bad(f"'{where}' looks like a bare IPv6 host", f"put it in brackets: ssh://[{where}]")
    host, colon, port = where.partition(":")
    if not _HOST.fullmatch(host):
        raise _bad(f"'{host}' is no host name" if host else "the host is missing", f"write {form}")
    return host, _port(port) if colon else None


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 65535):
        raise _bad(f"'{text}' is no port", "a port is a number from 1 to 65535")
    return int(text)


def _serial(text: str) -> str:
    if not _SERIAL.fullmatch(text):
        raise _bad(
            f"'{text}' is no adb serial", "`adb devices` lists them; of a network device it is HOST:PORT"
        )
    return text


def _guess(text: str) -> str:
    """The hint for what was probably meant."""
    if re.fullmatch(r"[^\s@/:]+@[^\s@/]+", text):
        return f"for a board write ssh://{text}"
    if re.fullmatch(r"[A-Za-z0-9.\-]+:\d{1,5}", text):
        return f"for a network device of adb write adb:{text}; for a board ssh://{text}"
    return _FORMS


def _bad(message: str, hint: str) -> InputError:
    return InputError(message, code="E_ADDRESS", hint=hint)
