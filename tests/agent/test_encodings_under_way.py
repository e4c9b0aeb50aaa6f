"""What happens to a put while it is under way: cancelled, cut off, the disk full, the source changed (C1-b2)."""

from __future__ import annotations

import hashlib
import os
import random
from dataclasses import replace
from pathlib import Path

import pytest
from backports import zstd

from edgekit.agent.client import AgentClient
from edgekit.agent.protocol import Encoding, Packer, Type, pack_frame
from edgekit.agent.transfer import PutSpec
from edgekit.errors import DeviceFull, EdgekitError, VerificationError
from tests.agent.encodings import SMALL, Put, weights
from tests.agent.raw import Raw, raw
from tests.agent.starting import (
    agent,
    eventually,
    names,
    open_stream,
)
from tests.agent.test_faults import _tmpfs, needs_root


def test_pings_are_answered_while_much_is_decoded(tmp_path: Path, place: Path) -> None:
    """C1-b2: 33 kB become 1 GiB. The loop turns meanwhile: pings are answered in between, and not at the end."""
    size, block = 1 << 30, bytes(1 << 20)
    compressor = zstd.ZstdCompressor()
    digest = hashlib.sha256()
    frame = b""
    for _ in range(size // len(block)):
        frame += compressor.compress(block)
        digest.update(block)
    frame += compressor.flush()
    assert len(frame) < 200_000
    head = Packer().text(str(place / "new")).u32(0o644).u64(size).u64(0).raw(digest.digest()).u8(0).u8(1)
    with raw(open_stream(tmp_path / "root", silence_ms=10_000)) as to:
        to.stream.send(pack_frame(Type.PUT, 7, head.text("").u32(0).done()) + pack_frame(Type.DATA, 7, frame))
        to.stream.send(pack_frame(Type.DATA, 7))
        pongs, answered = 0, False
        while not answered:
            to.stream.send(pack_frame(Type.PING, 8))
            kinds: set[tuple[int, int]] = set()
            while (Type.PONG, 8) not in kinds:
                kinds |= {(f.type, f.id) for f in to.more()}
            answered = (Type.RESULT, 7) in kinds
            assert (Type.ERROR, 7) not in kinds
            pongs += 1
    assert (place / "new").stat().st_size == size
    assert pongs > 10


def test_cancel_in_the_middle(tmp_path: Path, place: Path) -> None:
    """A progress that raises ends the put; the part is kept only where that was wanted, and it is a beginning of
    the source."""
    data = random.Random(10).randbytes(8_000_000)

    def stop(done: int, total: int) -> None:
        if done > 2_000_000:
            raise KeyboardInterrupt

    with agent(tmp_path / "root") as client:
        for encoding in ("zstd", "patch"):
            for keep in (False, True):
                (place / "base").write_bytes(b"")
                spec = PutSpec(
                    source=data,
                    remote=str(place / "new"),
                    encoding=encoding,  # type: ignore[arg-type]
                    base=str(place / "base") if encoding == "patch" else None,
                    base_source=b"",
                    keep_partial=keep,
                )
                with pytest.raises(KeyboardInterrupt):
                    client.put_many([spec], progress=stop)
                client.ping()
                part = place / ".new.ek-tmp"
                assert part.exists() == keep
                if keep:
                    there = part.read_bytes()
                    assert len(there) > 1_000_000
                    assert data.startswith(there)
                    client.put_many([replace(spec, resume_from=len(there))])
                    assert (place / "new").read_bytes() == data
                    (place / "new").unlink()


def test_cancel_of_a_copy(wire: Raw, place: Path) -> None:
    """It runs in the worker: CANCEL reaches it there."""
    with open(place / "base", "wb") as file:
        file.truncate(3 << 30)
    put = Put(place, wire, b"", "copy", size=3 << 30, base=place / "base")
    assert eventually(lambda: put.part.exists() and put.part.stat().st_size > 0, 20)
    wire.stream.send(pack_frame(Type.CANCEL, 8, Packer().u32(7).done()))
    assert put.answer() == ("put", 125)
    assert wire.lives()


@needs_root
@pytest.mark.parametrize("encoding", ["zstd", "copy"])
def test_full_disk(native: AgentClient, tmp_path: Path, encoding: Encoding) -> None:
    """C1-b2: seen before anything is sent or copied."""
    data = bytes(3 << 20)
    (tmp_path / "base").write_bytes(data)
    with _tmpfs(tmp_path / "small", "size=2m") as small:
        spec = PutSpec(
            source=data,
            remote=str(small / "new"),
            encoding=encoding,
            base=str(tmp_path / "base") if encoding == "copy" else None,
        )
        with pytest.raises(DeviceFull):
            native.put_many([spec])
        assert names(small) == []
        native.put_many([replace(spec, source=data[: 1 << 20])])
        assert (small / "new").stat().st_size == 1 << 20


def test_stream_that_ends_in_the_middle_keeps_a_true_beginning(tmp_path: Path, place: Path) -> None:
    """C1-b2: the link is cut at seeded places of a frame; the part that is kept is a beginning of the file."""
    data = weights(700_000)
    frame = zstd.compress(data)
    for at in random.Random(11).sample(range(len(frame)), 12):
        with raw(open_stream(tmp_path / "root")) as to:
            put = Put(place, to, data, "zstd")
            put.send(frame[:at])
            to.stream.close_stdin()
            assert to.stream.wait(30) == 0
        assert data.startswith(put.part.read_bytes())
        put.part.unlink()


def test_source_that_shrinks_while_it_is_compressed(native: AgentClient, place: Path) -> None:
    source = place / "source"
    source.write_bytes(random.Random(12).randbytes(3 << 20))

    def shrink(done: int, total: int) -> None:
        os.truncate(source, 1 << 20)

    spec = PutSpec(source=source, remote=str(place / "new"), encoding="zstd")
    with pytest.raises(VerificationError) as caught:
        native.put_many([spec], progress=shrink)
    assert caught.value.code == "E_SOURCE_CHANGED"
    native.ping()
    assert names(place) == ["source"]


def test_progress_ends_at_its_total(native: AgentClient, place: Path) -> None:
    """In bytes on the wire; where they are compressed on the way, the total is an estimate until the end."""
    data = weights(3_000_000)
    for encoding in ("raw", "zstd"):
        seen: list[tuple[int, int]] = []
        before = native.sent_bytes
        spec = PutSpec(source=data, remote=str(place / "new"), encoding=encoding)  # type: ignore[arg-type]
        native.put_many([spec], progress=lambda done, total: seen.append((done, total)))  # noqa: B023
        assert seen == sorted(seen, key=lambda each: each[0])
        assert all(done <= total for done, total in seen)
        sent = native.sent_bytes - before
        assert seen[-1] == (sent, sent)


def test_unknown_encoding_and_a_base_for_nothing_are_refused(wire: Raw, place: Path) -> None:
    for encoding, base in ((4, ""), (255, ""), (0, "/tmp"), (1, "/tmp"), (2, ""), (3, "")):
        head = Packer().text(str(place / "new")).u32(0o644).u64(3).u64(0).raw(bytes(32)).u8(0)
        head.u8(encoding).text(base).u32(0)
        wire.stream.send(pack_frame(Type.PUT, 9, head.done()))
        frame = wire.until(Type.ERROR, 9)
        assert frame is not None
    assert names(place) == []


def test_error_says_what_to_do(native: AgentClient, place: Path) -> None:
    spec = PutSpec(source=SMALL, remote=str(place / "new"), encoding="zstd", wire=b"not a frame at all")
    with pytest.raises(EdgekitError) as caught:
        native.put_many([spec])
    assert caught.value.code == "E_DECODE"
    assert caught.value.transient
    assert "uncompressed" in str(caught.value.hint)
