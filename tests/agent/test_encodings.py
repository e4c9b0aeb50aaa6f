"""Files that travel compressed, as a patch, or not at all (C1.1): on every ABI; and whatever is wrong with them is
an answer, never a crash, a hang, or a file that is not the source (C1-b2)."""

from __future__ import annotations

import hashlib
import os
import random
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from backports import zstd

from edgekit.agent.answers import read_failure
from edgekit.agent.client import AgentClient
from edgekit.agent.encoding import patch_file, sample_ratio
from edgekit.agent.failures import E2BIG, EBADMSG, EFBIG, EISDIR, ENOENT, ENOMEM, ESTALE, RemoteFileError
from edgekit.agent.protocol import ENCODING_BYTES, PUT_KEEP, Encoding, Frame, Packer, Type, pack_frame
from edgekit.agent.transfer import PutSpec
from edgekit.errors import BugError, DeviceFull, EdgekitError, InputError, VerificationError
from edgekit.transports.local import LocalTransport
from tests.agent.raw import Raw, raw
from tests.agent.starting import (
    ABIS,
    CHECKED,
    agent,
    agent_argv,
    each_build,
    eventually,
    names,
    native_abi,
    open_stream,
)
from tests.agent.test_faults import _tmpfs, needs_root


@pytest.fixture(scope="module", params=ABIS)
def client(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentClient]:
    with agent(tmp_path_factory.mktemp("agent") / "root", request.param) as started:
        yield started


@pytest.fixture(params=["", CHECKED], ids=["release", CHECKED])
def native(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[AgentClient]:
    with each_build(request.param, tmp_path), agent(tmp_path / "root") as started:
        yield started


def weights(size: int, seed: int = 1) -> bytes:
    """Half of it compresses."""
    half = random.Random(seed).randbytes(size // 2)
    return half + bytes(range(256)) * ((size - size // 2) // 256) + bytes((size - size // 2) % 256)


def changed(data: bytes, at: int, count: int = 1000) -> bytes:
    return data[:at] + random.Random(at).randbytes(count) + data[at + count :]


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


SIZES = [0, 1, 7, 300, 262_144, 1_300_001]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("encoding", ["zstd", "patch", "copy"])
def test_every_encoding_gives_the_source(
    client: AgentClient, tmp_path: Path, encoding: Encoding, size: int
) -> None:
    """C1.1; a base may be smaller and larger than what is made of it."""
    data = weights(size)
    for base in (data, changed(data, size // 2)[: size + 5], b"" if encoding == "patch" else data + b"more"):
        (tmp_path / "base").write_bytes(base)
        if encoding == "copy":
            base = data + b"tail"
            (tmp_path / "base").write_bytes(base)
        spec = PutSpec(
            source=data,
            remote=str(tmp_path / "new"),
            encoding=encoding,
            base=str(tmp_path / "base"),
            base_source=base,
            mode=0o640,
        )
        client.put_many([spec])
        assert (tmp_path / "new").read_bytes() == data
        assert (tmp_path / "new").stat().st_mode & 0o777 == 0o640
        (tmp_path / "new").unlink()
    assert names(tmp_path) == ["base"]


def test_fewer_bytes_travel(native: AgentClient, tmp_path: Path) -> None:
    """C1.1: `sent_bytes` is what went over the wire, and a patch is as small as the change."""
    data = random.Random(3).randbytes(2_000_000)
    (tmp_path / "base").write_bytes(data)
    new = changed(data, 700_000)
    spec = PutSpec(source=new, remote=str(tmp_path / "new"), base=str(tmp_path / "base"), base_source=data)
    sent = {}
    for encoding in ("raw", "zstd", "patch", "copy"):
        before, trips = native.sent_bytes, native.round_trips
        source = data if encoding == "copy" else new
        native.put_many([replace(spec, source=source, encoding=encoding)])
        sent[encoding] = native.sent_bytes - before
        assert native.round_trips == trips + 1
        assert (tmp_path / "new").read_bytes() == source
    assert sent["raw"] == len(new)
    assert len(new) * 0.99 < sent["zstd"] < len(new) * 1.01
    assert 1000 < sent["patch"] < 3000
    assert sent["copy"] == 0


def test_patch_is_as_small_as_the_library_makes_it(tmp_path: Path) -> None:
    """C1-b1: the stream in pieces costs nothing against one call with the same settings."""
    data = random.Random(4).randbytes(3_000_000)
    new = changed(changed(data, 10_000), 2_900_000, 5000)
    (tmp_path / "base").write_bytes(data)
    (tmp_path / "new").write_bytes(new)
    made = patch_file(tmp_path / "new", tmp_path / "base", tmp_path / "patch")
    assert made == (tmp_path / "patch").stat().st_size
    parameter = zstd.CompressionParameter
    options = {
        parameter.compression_level: 1,
        parameter.window_log: 23,
        parameter.enable_long_distance_matching: 1,
    }
    whole = zstd.compress(new, options=options, zstd_dict=zstd.ZstdDict(data, is_raw=True).as_prefix)
    assert made <= len(whole) * 1.05
    read = zstd.ZstdDict(data, is_raw=True).as_prefix
    window = {zstd.DecompressionParameter.window_log_max: 28}
    assert zstd.decompress((tmp_path / "patch").read_bytes(), zstd_dict=read, options=window) == new


def test_patch_too_large_is_a_mistake_of_the_caller(tmp_path: Path) -> None:
    with open(tmp_path / "large", "wb") as file:
        file.truncate((256 << 20) + 1)
    with pytest.raises(BugError):
        patch_file(tmp_path / "large", b"base", tmp_path / "patch")


def test_sample_ratio() -> None:
    assert sample_ratio(b"") == 1.0
    assert sample_ratio(bytes(10_000_000)) > 100
    noise = random.Random(5).randbytes(200_000)
    assert 0.95 < sample_ratio(noise) < 1.01
    assert sample_ratio(noise + bytes(400_000)) > 1.5


@pytest.mark.parametrize("encoding", ["raw", "zstd", "patch", "copy"])
def test_what_is_there_already_is_not_sent_again(
    client: AgentClient, tmp_path: Path, encoding: Encoding
) -> None:
    """C1.1: each encoding goes on where a cut left off; at the end as well."""
    data = weights(900_000)
    base = changed(data, 500_000) if encoding == "patch" else data
    (tmp_path / "base").write_bytes(base)
    for offset in (1, 300_000, len(data)):
        (tmp_path / ".new.ek-tmp").write_bytes(data[:offset] + b"more than was acknowledged")
        spec = PutSpec(
            source=data,
            remote=str(tmp_path / "new"),
            encoding=encoding,
            base=str(tmp_path / "base") if encoding != "raw" else None,
            base_source=base,
            resume_from=offset,
        )
        client.put_many([spec])
        assert (tmp_path / "new").read_bytes() == data
    (tmp_path / ".new.ek-tmp").write_bytes(bytes(300_000))
    with pytest.raises(VerificationError) as caught:
        client.put_many([replace(spec, resume_from=300_000)])
    assert caught.value.code == "E_TRANSFER_HASH"
    assert names(tmp_path) == ["base", "new"]


def test_patch_from_far_away(client: AgentClient, tmp_path: Path) -> None:
    """Offsets of more than 25 bits are read in another way on 32 bits."""
    base = random.Random(13).randbytes(48 << 20)
    (tmp_path / "base").write_bytes(base)
    data = base[100:5000] + base[40 << 20 : 41 << 20] + base[: 1 << 20]
    patch_file(data, base, tmp_path / "patch")
    assert (tmp_path / "patch").stat().st_size < 2000
    spec = PutSpec(
        source=data,
        remote=str(tmp_path / "new"),
        encoding="patch",
        base=str(tmp_path / "base"),
        wire=tmp_path / "patch",
    )
    client.put_many([spec])
    assert (tmp_path / "new").read_bytes() == data


def test_mixed_encodings_in_one_go(client: AgentClient, tmp_path: Path) -> None:
    data = weights(600_000)
    (tmp_path / "base").write_bytes(data)
    specs = [
        PutSpec(
            source=data if encoding == "copy" else changed(data, 1000 * number),
            remote=str(tmp_path / f"new{number}"),
            encoding=encoding,
            base=str(tmp_path / "base") if encoding in ("patch", "copy") else None,
            base_source=data,
        )
        for number, encoding in enumerate(("zstd", "raw", "patch", "copy", "zstd", "copy", "patch"))
    ]
    before = client.round_trips
    client.put_many(specs)
    assert client.round_trips == before + 1
    for spec in specs:
        assert Path(spec.remote).read_bytes() == spec.source


class Put:
    """One put whose every byte is ours."""

    def __init__(self, folder: Path, to: Raw, data: bytes, encoding: Encoding, **fields: object) -> None:
        self.to = to
        self.target = folder / "new"
        self.part = folder / ".new.ek-tmp"
        size, base = fields.get("size", len(data)), str(fields.get("base", ""))
        head = Packer().text(str(self.target)).u32(0o644).u64(int(str(size))).u64(0)
        head.raw(hashlib.sha256(data).digest()).u8(PUT_KEEP).u8(ENCODING_BYTES[encoding])
        to.stream.send(pack_frame(Type.PUT, 7, head.text(base).u32(0).done()))

    def send(self, *chunks: bytes) -> None:
        for chunk in chunks:
            self.to.stream.send(pack_frame(Type.DATA, 7, chunk))

    def answer(self) -> tuple[str, int]:
        """("", 0) where it went well."""
        frames: list[Frame] = []
        while not frames:
            frames = [f for f in self.to.more() if f.id == 7 and f.type in (Type.RESULT, Type.ERROR)]
        if frames[0].type == Type.RESULT:
            return "", 0
        failure = read_failure(frames[0].payload)
        return failure.op, failure.errno


@pytest.fixture(params=["", CHECKED], ids=["release", CHECKED])
def wire(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Raw]:
    with (
        each_build(request.param, tmp_path),
        raw(open_stream(tmp_path / "root", silence_ms=60_000)) as started,
    ):
        yield started


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "place"
    folder.mkdir()
    return folder


SMALL = b"small weights, " * 40 + bytes(500) + random.Random(6).randbytes(60)


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


@pytest.mark.parametrize("claim", [0, 1, len(SMALL) - 1, len(SMALL) + 1, 1 << 40])
def test_size_that_lies(wire: Raw, place: Path, claim: int) -> None:
    put = Put(place, wire, SMALL, "zstd", size=claim)
    put.send(zstd.compress(SMALL), b"")
    op, number = put.answer()
    if claim == 1 << 40:
        assert op in ("put", "decode")  # no room for it, or not all of it came
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


def test_pings_are_answered_while_much_is_decoded(tmp_path: Path, place: Path) -> None:
    """C1-b2: 33 kB become 1 GiB. The loop turns meanwhile, and an agent that needs to hear something every second
    hears it."""
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
    with raw(open_stream(tmp_path / "root", silence_ms=1000)) as to:
        to.stream.send(pack_frame(Type.PUT, 7, head.text("").u32(0).done()) + pack_frame(Type.DATA, 7, frame))
        to.stream.send(pack_frame(Type.DATA, 7))
        slowest, pongs, answered = 0.0, 0, False
        while not answered:
            began = time.monotonic()
            to.stream.send(pack_frame(Type.PING, 8))
            kinds: set[tuple[int, int]] = set()
            while (Type.PONG, 8) not in kinds:
                kinds |= {(f.type, f.id) for f in to.more()}
            answered = (Type.RESULT, 7) in kinds
            assert (Type.ERROR, 7) not in kinds
            slowest, pongs = max(slowest, time.monotonic() - began), pongs + 1
    assert (place / "new").stat().st_size == size
    assert pongs > 20
    assert slowest < 1.5


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
            assert to.stream.wait(5) == 0
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
