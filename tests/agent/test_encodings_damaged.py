"""Whatever is wrong with a frame or its base is an answer, never a crash, a hang, or a file that is not the source (C1-b2)."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from backports import zstd

from edgekit.agent.client import AgentClient
from edgekit.agent.encoding import patch_file
from edgekit.agent.failures import E2BIG, EBADMSG, EFBIG, EISDIR, ENOENT, ENOMEM, ESTALE, RemoteFileError
from edgekit.agent.protocol import Encoding
from edgekit.agent.transfer import PutSpec
from edgekit.errors import InputError, VerificationError
from edgekit.transports.local import LocalTransport
from tests.agent.encodings import SMALL, Put, changed
from tests.agent.raw import Raw
from tests.agent.starting import (
    agent_argv,
    names,
    native_abi,
)


@pytest.mark.parametrize("encoding", ["zstd", "patch"])
def test_every_damaged_byte_is_seen(wire: Raw, place: Path, encoding: Encoding) -> None:
    """C1-b2: each byte of a small frame, changed in three ways. What is there is the source, or nothing."""
    base = b"" if encoding == "zstd" else changed(SMALL, 300, 50)
    (place / "base").write_bytes(base)
    made = place / "frame"
    patch_file(SMALL, base, made)
    frame = made.read_bytes() if encoding == "patch" else zstd.compress(SMALL)
    fields = {"base": place / "base"} if encoding == "patch" else {}
    seen = set()
    for at in range(len(frame)):
        for change in (0x01, 0x80, 0xFF):
            damaged = frame[:at] + bytes([frame[at] ^ change]) + frame[at + 1 :]
            put = Put(place, wire, SMALL, encoding, **fields)
            put.send(damaged, b"")
            answer = put.answer()
            seen.add(answer)
            if answer == ("", 0):
                assert put.target.read_bytes() == SMALL
                put.target.unlink()
            else:
                assert names(place) == ["base", "frame"], "nothing is kept of what may be wrong"
    # a bit that says nothing of the content, such as the frame's size of its own header, may well be changed
    assert seen <= {("decode", EBADMSG), ("decode", EFBIG), ("decode", E2BIG), ("sha256", EBADMSG), ("", 0)}
    assert ("decode", EBADMSG) in seen
    assert wire.lives()


@pytest.mark.parametrize("encoding", ["zstd", "patch"])
def test_every_truncation_is_an_error(wire: Raw, place: Path, encoding: Encoding) -> None:
    """C1-b2: the host says that was all; a frame that has not ended is not waited for."""
    (place / "base").write_bytes(SMALL)
    frame = zstd.compress(SMALL)
    fields = {"base": place / "base"} if encoding == "patch" else {}
    for length in range(len(frame)):
        put = Put(place, wire, SMALL, encoding, **fields)
        put.send(*([frame[:length]] if length else []), b"")
        assert put.answer() == ("decode", EBADMSG), length
        assert names(place) == ["base"]


@pytest.mark.parametrize("cut", ["byte by byte", "behind its end", "a second frame", "data after the end"])
def test_where_a_frame_ends(wire: Raw, place: Path, cut: str) -> None:
    frame = zstd.compress(SMALL)
    put = Put(place, wire, SMALL, "zstd")
    chunks = {
        "byte by byte": [bytes([b]) for b in frame] + [b""],
        "behind its end": [frame + b"x", b""],
        "a second frame": [frame, frame, b""],
        "data after the end": [frame, b"", b"late"],
    }[cut]
    put.send(*chunks)
    fine = cut in ("byte by byte", "data after the end")
    assert put.answer() == (("", 0) if fine else ("decode", EBADMSG))
    assert put.target.exists() == fine
    assert wire.lives()


@contextmanager
def watched(look: Callable[[], object]) -> Iterator[None]:
    """`look` again and again in the background; at least once."""
    over = threading.Event()

    def look_on() -> None:
        look()
        while not over.wait(0.001):
            look()

    thread = threading.Thread(target=look_on)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _free_bytes(folder: Path) -> int:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


@pytest.mark.parametrize("claim", [0, 1, len(SMALL) - 1, len(SMALL) + 1, 1 << 40])
def test_size_that_lies(wire: Raw, place: Path, claim: int) -> None:
    free, least = _free_bytes(place), list[int]()
    with watched(lambda: least.append(_free_bytes(place))):
        put = Put(place, wire, SMALL, "zstd", size=claim)
        put.send(zstd.compress(SMALL), b"")
        op, number = put.answer()
    if claim == 1 << 40:
        assert op in ("put", "decode")  # no room for it, or not all of it came
        assert op == "decode" or min(least) > free / 2, "others can write meanwhile"
    else:
        assert (op, number) == ("decode", EBADMSG if claim > len(SMALL) else EFBIG)
    assert names(place) == []


def test_expansion_bomb_is_stopped_at_the_size(wire: Raw, place: Path) -> None:
    """200 MB in 20 kB, said to be 1 MB: not a byte more than that is written."""
    put = Put(place, wire, bytes(1 << 20), "zstd")
    put.send(zstd.compress(bytes(200_000_000)), b"")
    assert put.answer() == ("decode", EFBIG)
    assert names(place) == []


def test_empty_blocks_without_end(wire: Raw, place: Path) -> None:
    """A frame of blocks that hold nothing: work without output is bounded, too."""
    header = bytes.fromhex("28b52ffd") + b"\x00\x58"
    put = Put(place, wire, b"", "zstd")
    put.send(header + bytes(3) * 1_000_000, bytes(3) * 1_000_000)
    assert wire.lives()
    put.send(b"\x01\x00\x00", b"")
    assert put.answer() == ("", 0)


def test_window_that_is_too_large(wire: Raw, place: Path) -> None:
    """More than 256 MiB: refused before any of it is allocated."""
    compressor = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 29})
    frame = compressor.compress(SMALL) + compressor.flush()
    put = Put(place, wire, SMALL, "zstd")
    put.send(frame, b"")
    assert put.answer() == ("decode", E2BIG)


def test_memory_that_is_not_there(tmp_path: Path, place: Path) -> None:
    """A device with little memory answers; what it had already is kept, and the next put goes well."""
    argv = agent_argv(native_abi(), tmp_path / "root")
    limited = ["sh", "-c", 'ulimit -v 60000; exec "$@"', "sh", *argv]
    with AgentClient.start(LocalTransport().open(limited, timeout=10), timeout=10) as client:
        parameter = zstd.CompressionParameter
        compressor = zstd.ZstdCompressor(options={parameter.window_log: 27})
        spec = PutSpec(
            source=SMALL,
            remote=str(place / "new"),
            encoding="zstd",
            wire=compressor.compress(SMALL) + compressor.flush(),
        )
        with pytest.raises(RemoteFileError) as caught:
            client.put_many([spec])
        assert caught.value.errno == ENOMEM
        client.put_many([replace(spec, wire=None)])
        large = tmp_path / "base"
        with open(large, "wb") as file:
            file.truncate(100 << 20)
        patch = replace(spec, encoding="patch", base=str(large), wire=zstd.compress(SMALL))
        with pytest.raises(RemoteFileError) as caught:
            client.put_many([patch])
        assert caught.value.errno == ENOMEM
        client.ping()
    assert (place / "new").read_bytes() == SMALL


def test_base_that_cannot_be_used(native: AgentClient, place: Path) -> None:
    """Answered before data is sent, and a part that was kept is not touched."""
    (place / "short").write_bytes(SMALL[:-1])
    (place / ".new.ek-tmp").write_bytes(SMALL[:100])
    for base, encoding, number in (
        (place / "none", "patch", ENOENT),
        (place / "none", "copy", ENOENT),
        (place, "patch", EISDIR),
        (place, "copy", EISDIR),
        (place / "short", "copy", ESTALE),
    ):
        spec = PutSpec(
            source=SMALL,
            remote=str(place / "new"),
            encoding=encoding,  # type: ignore[arg-type]
            base=str(base),
            base_source=SMALL,
        )
        with pytest.raises(RemoteFileError) as caught:
            native.put_many([spec])
        assert (caught.value.errno, caught.value.code) == (number, "E_REMOTE_FILE")
    assert (place / ".new.ek-tmp").read_bytes() == SMALL[:100]
    with pytest.raises(InputError):
        native.put_many([replace(spec, base=None)])


@pytest.mark.parametrize("encoding", ["patch", "copy"])
def test_base_of_other_content(native: AgentClient, place: Path, encoding: Encoding) -> None:
    """C1-b2: bytes corrupted on the device. Whatever the decoder makes of it, the hash decides."""
    base = random.Random(8).randbytes(500_000)
    source = changed(base, 250_000)
    (place / "base").write_bytes(changed(base, 400_000))
    spec = PutSpec(
        source=source if encoding == "patch" else base,
        remote=str(place / "new"),
        encoding=encoding,
        base=str(place / "base"),
        base_source=base,
        keep_partial=True,
    )
    with pytest.raises(VerificationError) as caught:
        native.put_many([spec])
    assert caught.value.code == "E_TRANSFER_HASH"
    assert names(place) == ["base"]


@pytest.mark.parametrize("how", ["truncated", "changed"])
def test_base_that_changes_under_way(wire: Raw, place: Path, how: str) -> None:
    """A patch's base is mapped: when it becomes shorter, reading it is a SIGBUS, and that is an answer."""
    base = random.Random(9).randbytes(4_000_000)
    (place / "base").write_bytes(base)
    made = place / "frame"
    patch_file(base, base, made)
    frame = made.read_bytes()
    put = Put(place, wire, base, "patch", base=place / "base")
    put.send(frame[:20])
    assert wire.lives()
    if how == "truncated":
        os.truncate(place / "base", 1000)
    else:
        (place / "base").write_bytes(bytes(4_000_000))
    put.send(frame[20:], b"")
    op, number = put.answer()
    assert (op, number) in {("decode", EBADMSG), ("sha256", EBADMSG)}
    if how == "truncated":
        assert op == "decode"
    assert names(place) == ["base", "frame"]
    assert wire.lives()
