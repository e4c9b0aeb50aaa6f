"""What the transports decide without I/O: known_hosts, ssh settings, adb's formats, messages of tools."""

from __future__ import annotations

import base64
import errno
import itertools
import os
import struct
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.addresses import Address, parse
from edgekit.errors import DeviceLost, HostError, HostKeyChanged, HostKeyUnknown
from edgekit.transports.adb_codec import Codec, Marked, ShellV2
from edgekit.transports.adb_host import AdbDeviceInfo, device_error, parse_devices
from edgekit.transports.adb_server import ServerPlace, server_place
from edgekit.transports.files import errno_of_text
from edgekit.transports.inbox import Inbox
from edgekit.transports.ssh_config import SshSettings, from_options
from edgekit.transports.ssh_hostkeys import KnownKey, check_host_key, known_keys

pytestmark = pytest.mark.base

KEY = base64.b64encode(b"a public key").decode()


@pytest.mark.parametrize(
    ("field", "name", "found"),
    [
        ("rpi5", "rpi5", True),
        ("rpi5", "RPI5", True),
        ("rpi5", "rpi50", False),
        ("rpi5", "[rpi5]:2222", False),
        ("[rpi5]:2222", "[rpi5]:2222", True),
        ("rpi5,10.0.0.2", "10.0.0.2", True),
        ("*.lab", "pi.lab", True),
        ("*.lab,!bad.lab", "bad.lab", False),
        ("pi?", "pi5", True),
        ("[1-9]", "5", False),
        ("|1|F1E1KeoE/eEWhi10WpGv4OdiO6Y=|3988QV0VE8wmZL7suNrYQLITLCg=", "192.168.1.61", True),
        ("|1|F1E1KeoE/eEWhi10WpGv4OdiO6Y=|3988QV0VE8wmZL7suNrYQLITLCg=", "192.168.1.62", False),
        ("|1|damaged", "rpi5", False),
    ],
)
def test_known_hosts_names(field: str, name: str, found: bool) -> None:
    """The hashed entry is the one that sshd(8) prints as an example."""
    text = f"# comment\n\nother ssh-rsa AAAA\n{field} ssh-ed25519 {KEY} comment\n"
    assert bool(known_keys(text, name)) is found


def test_known_hosts_markers_and_damage() -> None:
    text = (
        f"@cert-authority rpi5 ssh-ed25519 {KEY}\n"
        f"@revoked rpi5 ssh-ed25519 {KEY}\n"
        "rpi5 ssh-ed25519\nrpi5 ssh-ed25519 not*base64\nrpi5\n@revoked\n"
    )
    assert known_keys(text, "rpi5", "f") == [KnownKey("f", 2, "ssh-ed25519", b"a public key", True)]


def _settings(**kwargs: object) -> SshSettings:
    return SshSettings(**{  # type: ignore[arg-type]
        "alias": "rpi5", "host": "rpi5", "port": 22, "user": "pi",
        "user_known_hosts": (Path("/home/me/.ssh/known_hosts"),), **kwargs,
    })  # fmt: skip


def test_host_key_decisions() -> None:
    known = [KnownKey("f", 1, "ssh-rsa", b"other", False), KnownKey("f", 2, "ssh-ed25519", b"key", False)]
    check_host_key(known, "ssh-ed25519", b"key", _settings(), "d")
    with pytest.raises(HostKeyChanged):
        check_host_key(known, "ssh-ed25519", b"new", _settings(), "d")
    with pytest.raises(HostKeyUnknown):
        check_host_key([], "ssh-ed25519", b"key", _settings(), "d")
    revoked = KnownKey("f", 3, "ssh-ed25519", b"key", True)
    with pytest.raises(HostKeyChanged, match="revoked"):
        check_host_key([*known, revoked], "ssh-ed25519", b"key", _settings(), "d")


def test_a_key_behind_a_jump_is_added_by_ssh_itself() -> None:
    """ssh-keyscan cannot reach it."""
    jump = _settings(proxy_jump=(parse("ssh://lab"),))
    with pytest.raises(HostKeyUnknown) as caught:
        check_host_key([], "ssh-ed25519", b"key", jump, "d")
    assert "keyscan" not in (caught.value.hint or "")
    assert "ssh -o StrictHostKeyChecking=ask rpi5" in (caught.value.hint or "")


def test_settings_of_ssh_g(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", "/run/agent")
    home = Path("/home/me")
    settings = from_options(
        Address(kind="ssh", host="mypi"),
        {
            "hostname": ["rpi5.local"],
            "port": ["2222"],
            "user": ["pi"],
            "identityfile": ["~/.ssh/lab key", "~/keys/%r@%h", "none"],
            "identitiesonly": ["yes"],
            "userknownhostsfile": ["/home/me/.ssh/known_hosts /home/me/.ssh/known_hosts2"],
            "globalknownhostsfile": ["/etc/ssh/ssh_known_hosts"],
            "proxyjump": ["me@lab:2200,[10.0.0.9]:22,[fe80::1]"],
            "proxycommand": ["nc %h %p 100%%"],
        },
        home,
    )
    assert (settings.host, settings.port, settings.user) == ("rpi5.local", 2222, "pi")
    assert settings.identity_files == (home / ".ssh/lab key", home / "keys/pi@rpi5.local")
    assert settings.identities_only
    assert settings.identity_agent == "/run/agent"
    assert settings.user_known_hosts == (home / ".ssh/known_hosts", home / ".ssh/known_hosts2")
    assert [str(hop) for hop in settings.proxy_jump] == [
        "ssh://me@lab:2200",
        "ssh://10.0.0.9:22",
        "ssh://[fe80::1]",
    ]
    assert settings.proxy_command == "nc rpi5.local 2222 100%"
    assert settings.known_name == "[rpi5.local]:2222"


@pytest.mark.parametrize(
    ("options", "agent"),
    [
        ({}, "/run/agent"),
        ({"identityagent": ["none"]}, None),
        ({"identityagent": ["SSH_AUTH_SOCK"]}, "/run/agent"),
        ({"identityagent": ["$OTHER"]}, "/run/other"),
        ({"identityagent": ["~/agent.sock"]}, "/home/me/agent.sock"),
    ],
)
def test_which_agent(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, list[str]], agent: str | None
) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", "/run/agent")
    monkeypatch.setenv("OTHER", "/run/other")
    found = from_options(Address(kind="ssh", host="x"), options, Path("/home/me")).identity_agent
    assert found == agent


def test_no_known_hosts_files_means_the_usual_ones() -> None:
    found = from_options(Address(kind="ssh", host="x"), {"userknownhostsfile": ["/dev/null"]}, Path("/h"))
    assert found.user_known_hosts[0] == Path("/h/.ssh/known_hosts")


DEVICES = """\
R58M123ABC             device usb:1-2 product:oriole model:Pixel_6 device:oriole transport_id:1
10.0.0.2:5555          device product:x model:M_1 device:y transport_id:2
emulator-5554          offline transport_id:3
0123456789ABCDEF       unauthorized usb:1-4 transport_id:4
FA7                    no permissions (missing udev rules? user is in the plugdev group); see \
[http://developer.android.com/tools/device.html] usb:1-5 transport_id:5
(no serial number)     authorizing transport_id:6

"""


def test_device_list() -> None:
    found = parse_devices(DEVICES)
    assert found[0] == AdbDeviceInfo("R58M123ABC", "device", "oriole", "Pixel_6", "oriole", "1")
    assert [(d.serial, d.state, d.transport_id) for d in found[1:5]] == [
        ("10.0.0.2:5555", "device", "2"),
        ("emulator-5554", "offline", "3"),
        ("0123456789ABCDEF", "unauthorized", "4"),
        ("FA7", "no permissions", "5"),
    ]
    assert (found[5].serial, found[5].state) == ("(no serial number)", "authorizing")
    assert parse_devices("") == []


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("device 'x' not found", "E_DEVICE_NOT_FOUND"),
        ("no devices/emulators found", "E_DEVICE_NOT_FOUND"),
        ("device offline", "E_DEVICE_OFFLINE"),
        ("device still authorizing", "E_DEVICE_OFFLINE"),
        ("device unauthorized.\nThis adb server's $ADB_VENDOR_KEYS is not set", "E_DEVICE_UNAUTHORIZED"),
        ("more than one device/emulator", "E_DEVICE_AMBIGUOUS"),
        ("insufficient permissions for device: missing udev rules", "E_DEVICE_PERMISSION"),
        ("closed", None),
    ],
)
def test_words_of_the_adb_server(said: str, code: str | None) -> None:
    error = device_error(said, "adb:x")
    assert (error.code if error else None) == code


@pytest.mark.parametrize(
    ("environ", "place"),
    [
        ({}, ServerPlace("localhost", 5037)),
        ({"ANDROID_ADB_SERVER_PORT": "5038"}, ServerPlace("localhost", 5038)),
        ({"ANDROID_ADB_SERVER_ADDRESS": "lab", "ANDROID_ADB_SERVER_PORT": ""}, ServerPlace("lab", 5037)),
        (
            {"ADB_SERVER_SOCKET": "tcp:lab:5039", "ANDROID_ADB_SERVER_PORT": "1"},
            ServerPlace("lab", 5039),
        ),
        ({"ADB_SERVER_SOCKET": "tcp:5039"}, ServerPlace("localhost", 5039)),
        ({"ADB_SERVER_SOCKET": "tcp:[::1]:5039"}, ServerPlace("::1", 5039)),
        ({"ADB_SERVER_SOCKET": "localfilesystem:/run/adb"}, ServerPlace(unix="/run/adb")),
        ({"ADB_SERVER_SOCKET": "localabstract:adb"}, ServerPlace(unix="\0adb")),
    ],
)
def test_where_the_adb_server_is(environ: dict[str, str], place: ServerPlace) -> None:
    assert server_place(environ) == place


@pytest.mark.parametrize("spec", ["vsock:1:2", "tcp:", "tcp:lab:x", "nonsense"])
def test_where_no_adb_server_can_be(spec: str) -> None:
    with pytest.raises(HostError) as caught:
        server_place({"ADB_SERVER_SOCKET": spec})
    assert caught.value.code == "E_ADB_SERVER"


def _decode(codec: Codec, data: bytes, cuts: list[int]) -> tuple[bytes, bytes, int | None]:
    """Feed in pieces; everything that came out."""
    out, err, code = bytearray(), bytearray(), None
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    events = [event for start, end in itertools.pairwise(edges) for event in codec.feed(data[start:end])]
    for kind, value in [*events, *codec.release()]:
        if isinstance(value, int):
            assert code is None
            code = value
        else:
            (out if kind == "out" else err).extend(value)
    return bytes(out), bytes(err), code


_CUTS = st.lists(st.integers(0, 200), max_size=8)


@given(st.lists(st.tuples(st.sampled_from([1, 2, 9]), st.binary(max_size=40))), st.integers(0, 255), _CUTS)
def test_shell_v2_in_any_pieces(packets: list[tuple[int, bytes]], code: int, cuts: list[int]) -> None:
    data = b"".join(struct.pack("<BI", kind, len(body)) + body for kind, body in packets)
    data += struct.pack("<BIB", 3, 1, code)
    out = b"".join(body for kind, body in packets if kind == 1)
    err = b"".join(body for kind, body in packets if kind == 2)
    assert _decode(ShellV2(), data, cuts) == (out, err, code)
    assert _decode(ShellV2(), data[:-1], cuts) == (out, err, None)


_TRICKY = st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"M", b"MA", b"MARK", b"x", b"\0"])).map(b"".join)


@given(_TRICKY, _TRICKY, st.integers(0, 255), _CUTS, st.booleans())
def test_marked_output_in_any_pieces(
    out: bytes, err: bytes, code: int, cuts: list[int], terminal: bool
) -> None:
    """Also through a terminal, which makes CR LF of each LF."""
    data = out + b"MARKER%d\n" % code + err + b"MARKER\n"
    if terminal:
        data = data.replace(b"\n", b"\r\n")
    assert _decode(Marked(b"MARKER", crlf=terminal), data, cuts) == (out, err, code)
    cut = data[: -len(b"\r\n") - 1]
    assert _decode(Marked(b"MARKER", crlf=terminal), cut, cuts)[2] is None


@given(_TRICKY, _CUTS)
def test_without_the_marker_there_is_no_exit_code(out: bytes, cuts: list[int]) -> None:
    assert _decode(Marked(b"MARKER", crlf=False), out + b"MARKE", cuts) == (out + b"MARKE", b"", None)


@pytest.mark.parametrize(
    "number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOENT, errno.EDQUOT]
)
def test_messages_of_tools(number: int) -> None:
    assert errno_of_text(f"cat: write error: {os.strerror(number)}\n") == number
    assert errno_of_text("something else") is None


class TestInbox:
    def test_bounded(self) -> None:
        inbox = Inbox(limit=10)
        inbox.put(b"x" * 10)
        writer = threading.Thread(target=lambda: inbox.put(b"y"), daemon=True)
        writer.start()
        writer.join(0.2)
        assert writer.is_alive()
        assert inbox.get(4, 0) == b"xxxx"
        writer.join(5)
        assert inbox.get(100, 0) == b"xxxxxxy"
        assert inbox.get(100, 0) is None

    def test_what_came_before_the_loss_is_given_first(self) -> None:
        inbox = Inbox()
        inbox.put(b"part")
        inbox.end(DeviceLost("gone"))
        assert inbox.get(100, 0) == b"part"
        with pytest.raises(DeviceLost):
            inbox.get(100, 0)

    def test_clean_end(self) -> None:
        inbox = Inbox()
        inbox.end()
        inbox.put(b"late")
        assert inbox.get(1, 0) == b""
        assert inbox.get(1, 0) == b""


def test_heavy_libraries_are_loaded_by_use_only() -> None:
    script = (
        "import sys; import edgekit.transports, edgekit.transports.local\n"
        "edgekit.transports.connect('local:', timeout=1)\n"
        "import edgekit.transports.adb, edgekit.transports.adb_server\n"
        "print([m for m in ('paramiko', 'adbutils', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=60, check=True)
    assert done.stdout == b"[]\n"
