"""Files that travel compressed, as a patch, or not at all (C1.1): on every ABI."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest
from backports import zstd

from edgekit.agent.client import AgentClient
from edgekit.agent.encoding import patch_file, sample_patch_bytes, sample_ratio
from edgekit.agent.protocol import Encoding
from edgekit.agent.transfer import PutSpec
from edgekit.errors import BugError, VerificationError
from tests.agent.encodings import changed, weights
from tests.agent.starting import (
    names,
)

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


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_samples_tell_how_large_a_patch_will_be(tmp_path: Path, share: float) -> None:
    """C1-b1: a file that has changed all over is not worth the time that making a patch takes."""
    old = random.Random(1).randbytes(4_000_000)
    at = int(len(old) * (1 - share))
    new = old[:at] + random.Random(2).randbytes(len(old) - at)
    made = patch_file(new, old, tmp_path / "patch")
    assert sample_patch_bytes(new, old) == pytest.approx(made, abs=0.1 * len(old))
    assert sample_patch_bytes(b"", old) == 0
    assert sample_patch_bytes(new, b"") == pytest.approx(len(new), rel=0.01)


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
