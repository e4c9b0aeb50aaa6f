"""Zip archives from strangers (B1-b3): every trick is refused before anything is unpacked."""

from __future__ import annotations

import io
import stat
import struct
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.errors import ModelError
from edgekit.models.archives import MAX_ENTRIES, extract, open_zip, read_member
from tests.models.hostile import bounds, outcome, zipped

pytestmark = pytest.mark.base


def code_of(path: Path) -> str:
    def read() -> None:
        with open_zip(path) as archive:
            for name in archive.namelist():
                if not name.endswith("/"):
                    read_member(archive, name, 1 << 20)

    return outcome(read)


def test_a_harmless_archive_is_read_and_unpacked(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"a/b.txt": b"hello", "c.bin": bytes(5000)}, zipfile.ZIP_DEFLATED)
    assert code_of(path) == "ok"
    extract(path, tmp_path / "out")
    assert (tmp_path / "out/a/b.txt").read_bytes() == b"hello"
    assert (tmp_path / "out/c.bin").read_bytes() == bytes(5000)


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "a/../../evil",
        "/etc/evil",
        "..\\evil",
        "C:/evil",
        "a\x01b",
        "a\u202eb",
        "x" * 5000,
        "a/" * 100 + "b",
    ],
)
def test_names_that_climb_out(tmp_path: Path, name: str) -> None:
    path = zipped(tmp_path / "a.zip", {name: b"x"})
    assert code_of(path) == "E_MODEL_ARCHIVE"
    assert outcome(lambda: extract(path, tmp_path / "out")) == "E_MODEL_ARCHIVE"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.zip"]


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_links_and_devices(tmp_path: Path, kind: int) -> None:
    entry = zipfile.ZipInfo("link")
    entry.create_system = 3
    entry.external_attr = (kind | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(entry, "/etc/passwd")
    assert code_of(tmp_path / "a.zip") == "E_MODEL_ARCHIVE"


def test_two_entries_of_one_name(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("config.json", "{}")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("config.json", "[]")
    assert code_of(tmp_path / "a.zip") == "E_MODEL_ARCHIVE"
    assert code_of(zipped(tmp_path / "b.zip", {"a": b"1", "./a": b"2"})) == "E_MODEL_ARCHIVE"
    assert code_of(zipped(tmp_path / "c.zip", {"a": b"1", "a/b": b"2"})) == "E_MODEL_ARCHIVE"


def test_a_bomb_is_refused_without_unpacking(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("zeros", "w") as file:
        for _ in range(200):
            file.write(bytes(1 << 20))
    assert path.stat().st_size < 300_000
    with bounds(seconds=2, megabytes=4):
        assert code_of(path) == "E_MODEL_ARCHIVE"


def test_a_size_that_lies_does_not_move_the_limit(tmp_path: Path) -> None:
    """The list says 10 bytes; the data unpacks to 50 MB."""
    path = zipped(tmp_path / "a.zip", {"x": bytes(50 << 20)}, zipfile.ZIP_DEFLATED)
    data = bytearray(path.read_bytes())
    at = data.rindex(b"PK\x01\x02")
    data[at + 24 : at + 28] = struct.pack("<I", 10)
    path.write_bytes(data)
    with bounds(megabytes=12), open_zip(path) as archive, pytest.raises(ModelError) as caught:
        read_member(archive, "x", 1 << 20)
    assert caught.value.code == "E_MODEL_ARCHIVE"


def test_reading_stops_at_the_limit(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"x": bytes(30 << 20)}, zipfile.ZIP_DEFLATED)
    with bounds(megabytes=12), open_zip(path) as archive, pytest.raises(ModelError, match="more than"):
        read_member(archive, "x", 1 << 20)
    with open_zip(path) as archive:
        assert len(read_member(archive, "x", 30 << 20)) == 30 << 20


def test_entries_that_share_bytes(tmp_path: Path) -> None:
    """The list names the same packed bytes many times: no single ratio is bad, the sum is."""
    path = zipped(tmp_path / "a.zip", {"a": bytes(1 << 20)}, zipfile.ZIP_DEFLATED)
    data = path.read_bytes()
    start, end = data.index(b"PK\x01\x02"), data.index(b"PK\x05\x06")
    entry = data[start:end]
    names = [bytes([letter]) for letter in b"abcdefgh"]
    entries = b"".join(entry[:46] + name + entry[47:] for name in names)
    tail = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, len(names), len(names), len(entries), start, 0)
    path.write_bytes(data[:start] + entries + tail)
    assert code_of(path) == "E_MODEL_ARCHIVE"
    with pytest.raises(ModelError, match="shares bytes"), open_zip(path):
        pass


def test_too_many_entries(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for index in range(MAX_ENTRIES + 1):
            archive.writestr(str(index), b"")
    with bounds(megabytes=64):
        assert code_of(path) == "E_MODEL_ARCHIVE"


def test_a_list_of_entries_that_fills_memory(tmp_path: Path) -> None:
    """Half a million entries in a list of 30 MB: refused before they are made."""
    entry = struct.pack("<4s6H3I5H2I", b"PK\x01\x02", 20, 20, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"x"
    entries = entry * 500_000
    tail = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 65535, 65535, len(entries), 0, 0)
    (tmp_path / "a.zip").write_bytes(entries + tail)
    with bounds(megabytes=8):
        assert code_of(tmp_path / "a.zip") == "E_MODEL_TRUNCATED"


def test_encrypted_and_oddly_packed_entries(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"x": b"abc" * 100})
    data = bytearray(path.read_bytes())
    data[data.rindex(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    assert code_of(path) == "E_MODEL_ARCHIVE"
    assert code_of(zipped(tmp_path / "b.zip", {"x": b"abc" * 100}, zipfile.ZIP_LZMA)) == "E_MODEL_ARCHIVE"


def test_bytes_around_the_archive(tmp_path: Path) -> None:
    """Two zip readers could find two different lists in such files."""
    inner = zipped(tmp_path / "a.zip", {"x": b"abc"}).read_bytes()
    (tmp_path / "b.zip").write_bytes(b"PK\x03\x04 something in front" + inner)
    assert code_of(tmp_path / "b.zip") == "E_MODEL_ARCHIVE"
    with zipfile.ZipFile(tmp_path / "a.zip", "a") as archive:
        archive.comment = b"PK\x05\x06 comment"
    assert code_of(tmp_path / "a.zip") != "ok"


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_flipped_bit_in_the_data_is_seen(tmp_path: Path, method: int) -> None:
    path = zipped(tmp_path / "a.zip", {"x": bytes(range(256)) * 8}, method)
    data = bytearray(path.read_bytes())
    data[100] ^= 4
    path.write_bytes(data)
    assert code_of(path) == "E_MODEL_ARCHIVE"


def test_unpacking_never_writes_over_a_file(tmp_path: Path) -> None:
    from edgekit.errors import HostError

    path = zipped(tmp_path / "a.zip", {"x": b"new"})
    (tmp_path / "out").mkdir()
    (tmp_path / "out/x").write_text("old")
    with pytest.raises(HostError):
        extract(path, tmp_path / "out")
    assert (tmp_path / "out/x").read_text() == "old"


_BUFFER = io.BytesIO()
with zipfile.ZipFile(_BUFFER, "w", zipfile.ZIP_DEFLATED) as _archive:
    _archive.writestr("config.json", '{"a": [1, 2, 3]}' * 20)
    _archive.writestr("folder/data", bytes(300))
_DATA = _BUFFER.getvalue()


@settings(max_examples=300, deadline=None)
@given(edits=st.lists(st.tuples(st.integers(0, len(_DATA) - 1), st.integers(0, 255)), min_size=1, max_size=6))
def test_changed_bytes(tmp_path_factory: pytest.TempPathFactory, edits: list[tuple[int, int]]) -> None:
    changed = bytearray(_DATA)
    for at, value in edits:
        changed[at] = value
    path = tmp_path_factory.getbasetemp() / "changed.zip"
    path.write_bytes(changed)
    code_of(path)


def test_cut_at_every_byte(tmp_path: Path) -> None:
    path = tmp_path / "cut.zip"
    for length in range(len(_DATA)):
        path.write_bytes(_DATA[:length])
        assert code_of(path) == "E_MODEL_TRUNCATED"
