"""C1.1: what is read from a plain shell's answers, and who holds a lease: tables over pure functions."""

from __future__ import annotations

import shlex
from typing import Any

import pytest

from edgekit.deployment import shell_script
from edgekit.deployment.shell import listed
from edgekit.deployment.shell_lease import Lease, LeaseSeen, is_live, plain_holder, read_lease, uptime_ns
from edgekit.deployment.shell_script import (
    Section,
    Tools,
    probe_script,
    read_answer,
    read_available_bytes,
    read_sha256,
    read_sums,
    script,
)
from edgekit.devices.layout import Layout

pytestmark = pytest.mark.base
SHA = "ab" * 32
OLD_ADBD_BYTES = 4096


@pytest.mark.parametrize(
    ("printed", "sections"),
    [
        (b"", None),
        (b"sh: not found\n", None),
        (b"edgekit-shell/1\n", []),
        (b"Welcome!\nedgekit-shell/1\na b c\nd\n", [("a", "b c", b""), ("d", "", b"")]),
        (b"edgekit-shell/1\nf\n|one\n|\n|three|\n\ng\n", [("f", "", b"one\n\nthree|\n"), ("g", "", b"")]),
        (b"edgekit-shell/1\nf\n|no\rend\n", [("f", "", b"no\rend\n")]),
        (b"edgekit-shell/1\n|nobody's\nf\n|\xff\0\n", [("f", "", b"\xff\0\n")]),
    ],
)
def test_answers(printed: bytes, sections: list[Any] | None) -> None:
    found = read_answer(printed)
    assert found == (None if sections is None else [Section(*each) for each in sections])


@pytest.mark.parametrize(
    ("printed", "found"),
    [
        (f"{SHA}  -", SHA),
        (f"{SHA}", SHA),
        (f"SHA2-256(stdin)= {SHA}", SHA),
        (f"(stdin)= {SHA}", SHA),
        (f"{SHA}ab  -", None),
        (SHA[:-1], None),
        (SHA.upper(), None),
        ("", None),
    ],
)
def test_what_hashing_tools_print(printed: str, found: str | None) -> None:
    assert read_sha256(printed) == found


def test_sums_belong_to_the_names_asked_for() -> None:
    sections = [
        Section("sha256", value, b"") for value in (f"1 {SHA}  -", "0 ", f"7 {SHA}", f"x {SHA}", "-1")
    ]
    assert read_sums(sections, ["a", "b", "c"]) == {"a": None, "b": SHA, "c": None}


@pytest.mark.parametrize(
    ("df", "free_bytes"),
    [
        (  # coreutils 9.1
            b"Filesystem     1024-blocks     Used Available Capacity Mounted on\n"
            b"/dev/vda1        102626232 41046512  57328472      42% /\n",
            57328472 * 1024,
        ),
        (  # toybox 0.8.9
            b"Filesystem      1024-blocks  Used Available Use% Mounted on\n"
            b"tmpfs               8173456     0   8173456   0% /data/local/tmp/a b\n",
            8173456 * 1024,
        ),
        (  # busybox 1.35
            b"Filesystem           1024-blocks    Used Available Capacity Mounted on\n"
            b"a disk                  65536        12     65524   0% /tmp/5 5 5 5% /x\n",
            65524 * 1024,
        ),
        (b"Filesystem 1024-blocks Used Available Capacity Mounted on\nproc 0 0 0 - /proc\n", 0),
        (b"Filesystem 1024-blocks Used Available Capacity Mounted on\nx 10 20 -10 200% /y\n", -10 * 1024),
        (b"Filesystem    Size   Used   Free   Blksize\n/data    12.4G   5.2G   7.2G   4096\n", None),
        (b"", None),
    ],
)
def test_free_space(df: bytes, free_bytes: int | None) -> None:
    assert read_available_bytes(df) == free_bytes


@pytest.mark.parametrize(
    ("text", "lease"),
    [
        (
            "edgekit-lease 1\nboot\n12\ntoken\nuser@host pid 1 (push x)\n",
            ("boot", 12, "token", "user@host pid 1 (push x)"),
        ),
        ("edgekit-lease 1\nboot\n12\ntoken\n", ("boot", 12, "token", "")),
        ("edgekit-lease 2\nboot\n12\ntoken\nx\n", None),
        ("edgekit-lease 1\nboot\nsoon\ntoken\nx\n", None),
        ("edgekit-lease 1\nboot\n", None),
        ("", None),
    ],
)
def test_a_lease_is_read_as_an_agent_reads_it(text: str, lease: tuple[str, int, str, str] | None) -> None:
    assert read_lease(text) == (None if lease is None else Lease(*lease))


@pytest.mark.parametrize(
    ("boot_id", "expiry_ns", "live"), [("here", 11, True), ("here", 10, False), ("other", 11, False)]
)
def test_a_lease_of_another_boot_or_run_out_is_void(boot_id: str, expiry_ns: int, live: bool) -> None:
    seen = LeaseSeen(SHA, Lease(boot_id, expiry_ns, "t", "h"), uptime_ns=10)
    assert is_live(seen, "here") is live
    assert not is_live(LeaseSeen("none", None, 10), "here")


def test_uptime() -> None:
    assert uptime_ns("13921.35") == 13_921_350_000_000
    assert [uptime_ns(text) for text in ("", "?", "1.2.3", "12", "-1.00")] == [None] * 5


def test_a_holder_is_one_line_that_every_echo_prints_alike() -> None:
    who = plain_holder("push gr\u00fc\u00dfe\\n\n" + "x" * 300)
    assert len(who) == 200
    assert who.isascii()
    assert who.isprintable()
    assert "\\" not in who


def test_every_script_fits_an_old_adbd_and_holds_no_words_of_the_device() -> None:
    tools = Tools(max(shell_script.DIGESTS, key=len), flock=True, syncfs=True, boot_id="boot")
    bodies = {
        name: value
        for name, value in vars(shell_script).items()
        if name.isupper() and isinstance(value, str) and "$1" in value and name != "PROBE"
    }
    assert len(bodies) >= 12
    for text in [probe_script(), *(script(body, tools) for body in bodies.values())]:
        assert len(shlex.quote(text)) < OLD_ADBD_BYTES - 1500  # for arguments, and what carries them
        assert "boot" not in text.replace("boot_id", "").replace("word boot", "")


def test_the_same_folders_count_as_edgekits_as_with_an_agent() -> None:
    for path in Layout("/r").kept():
        assert f" {path.rpartition('/')[2]}" in shell_script.LOOK


def test_names_that_edgekit_would_not_give_are_not_listed() -> None:
    def said(*pairs: tuple[str, str]) -> list[Section]:
        return [Section(key, value, value.encode()) for key, value in pairs]

    found = listed(
        said(
            ("version", "0"),
            ("models", ".hidden"),
            ("current", "1"),
            ("version", "1"),
            ("manifest", "a"),
            ("models", "m"),
            ("current", "1"),
            ("version", "1"),
            ("manifest", "b"),
            ("version", ".1.0.ek-tmp"),
            ("manifest", "c"),
            ("failed", "m"),
            ("current", "9"),
            ("version", "2"),
            ("failure", "d"),
        ),
        Layout("/r"),
    )
    assert found.current == {"m": b"1"}
    assert [(f.name, f.version, f.path, f.failed, f.manifest, f.failure) for f in found.folders] == [
        ("m", "1", "/r/models/m/1", False, b"b", None),
        ("m", "2", "/r/failed/m/2", True, None, b"d"),
    ]
