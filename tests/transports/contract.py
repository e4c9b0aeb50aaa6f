"""What every transport must do (demand A4): one suite, run against each of them.

A subclass gives `transport` (an open one, to a target that may be shared) and says what its target can show.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edgekit.errors import (
    DeviceError,
    DeviceFull,
    DeviceLost,
    DevicePermission,
    DeviceReadOnly,
    DeviceTimeout,
    RemoteError,
)
from edgekit.transports import Transport
from tests.timed import timed

MIB = 1 << 20
AWKWARD = [
    "two words",
    "",
    "it's",
    'say "hi"',
    "back\\slash",
    "line\nfeed",
    "tab\there",
    "$HOME `id` $(id) !x",
    "* ? [a] ~ #",
    "-n",
    "grüße 猫 🚀",
    ";|&<>(){}",
]


def read_all(stream: object, size: int, timeout: float = 30.0) -> bytes:
    """Exactly `size` bytes of a stream, or a failure."""
    data = bytearray()
    end = time.monotonic() + timeout
    while len(data) < size:
        chunk = stream.recv(MIB, max(0.0, end - time.monotonic()))  # type: ignore[attr-defined]
        assert chunk, f"{chunk!r} after {len(data)} of {size} bytes"
        data += chunk
    return bytes(data)


def in_thread(work: Callable[[], object]) -> tuple[threading.Thread, list[object]]:
    """Run `work`; the list gets its result, or the exception it raised."""
    result: list[object] = []

    def body() -> None:
        try:
            result.append(work())
        except DeviceError as error:
            result.append(error)

    thread = threading.Thread(target=body, daemon=True)
    thread.start()
    return thread, result


class RunContract:
    """Commands and files: all that the oldest of devices can do."""

    @pytest.fixture
    def transport(self) -> Transport:
        raise AssertionError("a subclass gives the transport")

    @pytest.fixture
    def folder(self) -> str:
        """A writable folder on the device, of this test's own."""
        raise AssertionError("a subclass gives the folder")

    @pytest.mark.parametrize("code", [0, 1, 7, 127, 255])
    def test_exit_code_is_exact(self, transport: Transport, code: int) -> None:
        done = transport.run(["sh", "-c", f"exit {code}"], timeout=20)
        assert (done.exit_code, done.stdout, done.stderr) == (code, b"", b"")

    @pytest.mark.parametrize(("signal", "code"), [("KILL", 137), ("TERM", 143), ("SEGV", 139)])
    def test_signal_is_128_and_its_number(self, transport: Transport, signal: str, code: int) -> None:
        assert transport.run(["sh", "-c", f"kill -{signal} $$"], timeout=20).exit_code == code

    def test_missing_command_is_127(self, transport: Transport) -> None:
        done = transport.run(["/no/such/program", "x"], timeout=20)
        assert done.exit_code == 127
        assert b"/no/such/program" in done.stderr

    def test_stdout_is_binary_clean_and_stderr_apart(self, transport: Transport) -> None:
        every_byte = bytes(range(256)) * (MIB // 256)
        done = transport.run(["sh", "-c", "cat; echo problem >&2; exit 3"], stdin=every_byte, timeout=60)
        assert done.stdout == every_byte
        assert done.stderr == b"problem\n"
        assert done.exit_code == 3

    def test_a_lot_of_stderr_does_not_block(self, transport: Transport) -> None:
        script = "head -c 1048576 /dev/zero >&2; echo out; head -c 1048576 /dev/zero >&2"
        done = transport.run(["sh", "-c", script], timeout=60)
        assert (done.stdout, len(done.stderr)) == (b"out\n", 2 * MIB)

    def test_output_without_line_feed_at_its_end(self, transport: Transport) -> None:
        assert transport.run(["printf", "%s", "a\nb"], timeout=20).stdout == b"a\nb"

    def test_line_ends_of_output_stay(self, transport: Transport) -> None:
        assert transport.run(["printf", r"a\r\nb\n\r\n"], timeout=20).stdout == b"a\r\nb\n\r\n"

    def test_arguments_arrive_as_given(self, transport: Transport) -> None:
        done = transport.run(["sh", "-c", 'printf "%s\\001" "$@"', "sh", *AWKWARD], timeout=20)
        assert done.stdout.decode().split("\x01")[:-1] == AWKWARD

    def test_stdin_that_nobody_reads_is_no_error(self, transport: Transport) -> None:
        assert transport.run(["true"], stdin=b"x" * MIB, timeout=30).exit_code == 0

    def test_no_stdin_is_an_empty_one(self, transport: Transport) -> None:
        done = transport.run(["cat"], timeout=20)
        assert (done.exit_code, done.stdout) == (0, b"")

    def test_what_edgekit_adds_does_not_show(self, transport: Transport, folder: str) -> None:
        """A command that prints all command lines, its own too, is not taken for ended."""
        listing = "cat /proc/[0-9]*/cmdline 2>/dev/null; ls -a /data/local/tmp 2>/dev/null; exit 6"
        done = transport.run(["sh", "-c", listing], timeout=30)
        assert done.exit_code == 6
        assert b"exit 6" in done.stdout

    @timed
    def test_timeout_keeps_what_was_printed(self, transport: Transport) -> None:
        began = time.monotonic()
        with pytest.raises(DeviceTimeout) as caught:
            transport.run(["sh", "-c", "echo so far; sleep 60"], timeout=3)
        assert time.monotonic() - began < 30
        assert "so far" in caught.value.message
        assert caught.value.device == transport.address
        assert transport.run(["echo", "still here"], timeout=20).stdout == b"still here\n"

    def test_twenty_commands_in_a_row(self, transport: Transport) -> None:
        for number in range(20):
            assert transport.run(["echo", str(number)], timeout=20).stdout == b"%d\n" % number

    @pytest.mark.parametrize("size", [0, 1, 65536, 20 * MIB], ids=["empty", "one", "64KiB", "20MiB"])
    def test_put_bytes(self, transport: Transport, folder: str, size: int) -> None:
        data = os.urandom(size)
        steps: list[tuple[int, int]] = []
        transport.put(data, f"{folder}/f", mode=0o644, timeout=120, progress=lambda *s: steps.append(s))
        assert transport.run(["cat", f"{folder}/f"], timeout=120).stdout == data
        assert [total for _, total in steps] == [size] * len(steps)
        done = [count for count, _ in steps]
        assert done == sorted(done)
        assert (done[-1] if done else 0) == size

    def test_put_a_file_over_a_longer_one(self, transport: Transport, folder: str, tmp_path: Path) -> None:
        name = f"{folder}/it's a file"
        transport.put(b"x" * 100_000, name, mode=0o600, timeout=30)
        source = tmp_path / "source"
        source.write_bytes(b"short")
        transport.put(source, name, mode=0o600, timeout=30)
        assert transport.run(["cat", name], timeout=20).stdout == b"short"

    @pytest.mark.parametrize("mode", [0o755, 0o644, 0o600, 0o700])
    def test_put_sets_the_mode_exactly(self, transport: Transport, folder: str, mode: int) -> None:
        transport.put(b"#!/bin/sh\nexit 5\n", f"{folder}/f", mode=mode, timeout=30)
        listed = transport.run(["stat", "-c", "%a", f"{folder}/f"], timeout=20).stdout
        assert listed.strip() == b"%o" % mode
        if mode & 0o100:
            assert transport.run([f"{folder}/f"], timeout=20).exit_code == 5

    def test_put_into_a_missing_folder(self, transport: Transport, folder: str) -> None:
        with pytest.raises(RemoteError) as caught:
            transport.put(b"x" * MIB, f"{folder}/missing/f", mode=0o644, timeout=30)
        assert caught.value.code == "E_REMOTE_NO_FOLDER"
        assert caught.value.device == transport.address
        assert transport.run(["ls", f"{folder}/missing"], timeout=20).exit_code != 0

    def test_relative_names_begin_at_the_login_folder(self, transport: Transport) -> None:
        where = transport.run(["pwd"], timeout=20).stdout.decode().strip()
        assert where == transport.run(["sh", "-c", "pwd"], timeout=20).stdout.decode().strip()
        if transport.default_root.startswith("/"):
            return
        name = f"edgekit-{time.monotonic_ns()}"
        transport.put(b"here", name, mode=0o644, timeout=30)
        done = transport.run(["cat", f"{where}/{name}"], timeout=20)
        transport.run(["rm", "-f", f"{where}/{name}"], timeout=20)
        assert done.stdout == b"here"


class StreamContract(RunContract):
    """And streams: what the agent needs."""

    can_end_stdin = True

    def test_echo_both_ways_at_once(self, transport: Transport) -> None:
        stream = transport.open(["cat"], timeout=20)
        data = os.urandom(8 * MIB)
        sender, sent = in_thread(lambda: stream.send(data))
        assert read_all(stream, len(data), 60) == data
        sender.join(60)
        assert sent == [None]
        stream.close()

    def test_small_messages_go_and_come_at_once(self, transport: Transport) -> None:
        stream = transport.open(["cat"], timeout=20)
        took = []
        for number in range(50):
            began = time.monotonic()
            stream.send(b"%04d" % number)
            assert read_all(stream, 4) == b"%04d" % number
            took.append(time.monotonic() - began)
        assert sorted(took)[5] < 0.06, "the quicker ones, whatever else this machine does"
        stream.close()

    def test_end_of_stdin_is_the_end_of_output(self, transport: Transport) -> None:
        if not self.can_end_stdin:
            return
        stream = transport.open(["sh", "-c", "cat; echo done >&2; exit 9"], timeout=20)
        stream.send(b"abc")
        stream.close_stdin()
        assert read_all(stream, 3) == b"abc"
        assert stream.recv(10, 20) == b""
        assert stream.wait(20) == 9
        assert stream.stderr_tail() == "done\n"
        assert stream.recv(10, 1) == b""
        stream.close()

    def test_recv_tells_nothing_yet_from_the_end(self, transport: Transport) -> None:
        stream = transport.open(["sh", "-c", "read line; echo x"], timeout=20)
        began = time.monotonic()
        assert stream.recv(10, 0.2) is None
        assert time.monotonic() - began > 0.1
        assert stream.recv(10, 0) is None
        stream.send(b"\n")
        assert stream.recv(10, 20) == b"x\n"
        assert stream.recv(10, 20) == b""
        assert stream.wait(20) == 0
        stream.close()

    def test_wait_has_a_deadline(self, transport: Transport) -> None:
        stream = transport.open(["sleep", "30"], timeout=20)
        began = time.monotonic()
        with pytest.raises(DeviceTimeout):
            stream.wait(0.3)
        assert time.monotonic() - began < 15
        stream.abort()
        stream.close()

    def test_missing_command_as_a_stream(self, transport: Transport) -> None:
        """How the agent's absence is found out."""
        stream = transport.open(["/no/such/agent"], timeout=20)
        assert stream.recv(10, 20) == b""
        assert stream.wait(20) == 127
        assert "/no/such/agent" in stream.stderr_tail()
        with pytest.raises(DeviceLost):
            stream.send(b"x" * (64 * MIB))
        assert stream.wait(20) == 127
        stream.close()

    def test_stderr_tail_is_the_last_8_kib(self, transport: Transport) -> None:
        stream = transport.open(
            ["sh", "-c", "head -c 20000 /dev/zero | tr '\\0' a >&2; echo end >&2"], timeout=20
        )
        assert stream.recv(10, 20) == b""
        assert stream.wait(20) == 0
        tail = stream.stderr_tail()
        assert tail.endswith("aend\n")
        assert len(tail) == 8192
        stream.close()

    def test_abort_wakes_recv(self, transport: Transport) -> None:
        stream = transport.open(["sleep", "30"], timeout=20)
        reader, got = in_thread(lambda: stream.recv(10, 60))
        time.sleep(0.3)
        began = time.monotonic()
        stream.abort()
        reader.join(30)
        assert time.monotonic() - began < 15
        assert isinstance(got[0], DeviceLost)
        with pytest.raises(DeviceLost):
            stream.recv(10, 1)
        with pytest.raises(DeviceLost):
            stream.send(b"x")
        stream.close()
        stream.abort()

    def test_abort_wakes_send(self, transport: Transport) -> None:
        stream = transport.open(["sleep", "30"], timeout=20)
        writer, sent = in_thread(lambda: stream.send(b"x" * (256 * MIB)))
        time.sleep(1.0)
        assert not sent, f"256 MiB went into a command that does not read: {sent}"
        began = time.monotonic()
        stream.abort()
        writer.join(30)
        assert time.monotonic() - began < 15
        assert isinstance(sent[0], DeviceLost)
        stream.close()

    def test_two_streams_at_once(self, transport: Transport) -> None:
        first, second = (transport.open(["cat"], timeout=20) for _ in range(2))
        second.send(b"two")
        first.send(b"one")
        assert read_all(second, 3) == b"two"
        assert read_all(first, 3) == b"one"
        assert transport.run(["echo", "three"], timeout=20).stdout == b"three\n"
        first.abort()
        second.send(b"more")
        assert read_all(second, 4) == b"more"
        first.close()
        second.close()

    def test_close_does_not_wait_for_a_command_that_goes_on(self, transport: Transport) -> None:
        stream = transport.open(["sleep", "30"], timeout=20)
        began = time.monotonic()
        stream.close()
        stream.close()
        assert time.monotonic() - began < 15


class LimitsContract:
    """Files where they cannot be. A subclass gives folders on its target."""

    @pytest.fixture
    def transport(self) -> Transport:
        raise AssertionError("a subclass gives the transport")

    def full_folder(self) -> str:
        """A folder whose file system holds 2 MiB."""
        raise AssertionError("a subclass gives the folder")

    def read_only_folder(self) -> str:
        raise AssertionError("a subclass gives the folder")

    forbidden = "/proc/1/edgekit"

    def test_full_disk(self, transport: Transport) -> None:
        with pytest.raises(DeviceFull) as caught:
            transport.put(os.urandom(8 * MIB), f"{self.full_folder()}/f", mode=0o644, timeout=60)
        assert caught.value.device == transport.address
        assert caught.value.hint

    def test_read_only(self, transport: Transport) -> None:
        with pytest.raises(DeviceReadOnly):
            transport.put(b"x", f"{self.read_only_folder()}/f", mode=0o644, timeout=60)

    def test_permission_denied(self, transport: Transport) -> None:
        with pytest.raises(DevicePermission) as caught:
            transport.put(os.urandom(MIB), self.forbidden, mode=0o644, timeout=60)
        assert caught.value.device == transport.address
