"""A program that the user brings: pinned, for the right machine, and kept as it was (D1.1)."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path

import pytest

from edgekit.errors import EdgekitError, InputError, VerificationError
from edgekit.runtimes.base import LibcFacts
from edgekit.runtimes.benchmark_model import BenchmarkModelRuntime
from edgekit.runtimes.user_binary import UserBinary, adopt, check_abi

pytestmark = pytest.mark.base


def program(path: Path, bits: int = 2, machine: int = 183, tail: bytes = b"code") -> Path:
    path.write_bytes(b"\x7fELF" + bytes([bits, 1, 1]) + bytes(9) + struct.pack("<HH", 2, machine) + tail)
    return path


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKIT_CACHE_DIR", str(tmp_path / "cache"))


@pytest.mark.parametrize(
    ("bits", "machine", "abi"),
    [(2, 183, "arm64-v8a"), (1, 40, "armeabi-v7a"), (2, 62, "x86_64"), (1, 3, "x86")],
)
def test_for_the_devices_machine(tmp_path: Path, bits: int, machine: int, abi: str) -> None:
    path = program(tmp_path / "tool", bits, machine)
    assert adopt(UserBinary(path=path), abi, "tool").read_bytes() == path.read_bytes()
    other = "x86_64" if abi != "x86_64" else "arm64-v8a"
    with pytest.raises(InputError) as caught:
        adopt(UserBinary(path=path), other, "tool")
    assert caught.value.code == "E_ABI"
    assert abi in caught.value.message


@pytest.mark.parametrize("head", [b"", b"\x7fELF", b"#!/bin/sh\n" * 9, b"\x7fELF\x02\x02\x01" + bytes(40)])
def test_what_is_no_program(head: bytes) -> None:
    with pytest.raises(InputError):
        check_abi(head, "arm64-v8a", "x")


def test_this_machines_own_programs_are_known() -> None:
    import platform

    abi = {"x86_64": "x86_64", "aarch64": "arm64-v8a"}.get(platform.machine())
    if abi is None:
        pytest.skip("another machine")
    check_abi(Path("/bin/sh").read_bytes()[:64], abi, "sh")


def test_kept_under_version_abi_and_hash_and_as_it_was(tmp_path: Path) -> None:
    path = program(tmp_path / "tool")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    binary = UserBinary(path=path, sha256=digest, version="2.17")
    kept = adopt(binary, "arm64-v8a", "tool")
    assert kept == tmp_path / "cache" / "runtimes" / "tool-2.17" / "arm64-v8a" / digest / "tool"
    before = kept.stat().st_mtime_ns
    assert adopt(binary, "arm64-v8a", "tool").stat().st_mtime_ns == before
    kept.write_bytes(b"damaged")
    assert adopt(binary, "arm64-v8a", "tool").read_bytes() == path.read_bytes()
    program(path, tail=b"built anew")
    with pytest.raises(VerificationError) as caught:
        adopt(binary, "arm64-v8a", "tool")
    assert caught.value.code == "E_HASH"
    assert kept.read_bytes() != path.read_bytes()
    assert adopt(UserBinary(path=path, version="2.17"), "arm64-v8a", "tool") != kept


@pytest.mark.parametrize("what", ["missing", "folder", "device"])
def test_what_is_no_file(tmp_path: Path, what: str) -> None:
    (tmp_path / "folder").mkdir()
    path = Path("/dev/zero") if what == "device" else tmp_path / what
    with pytest.raises(EdgekitError) as caught:
        adopt(UserBinary(path=path), "arm64-v8a", "tool")
    assert caught.value.code == "E_TOOL_BINARY"


def test_the_bundle_is_named_by_the_programs_bytes(tmp_path: Path) -> None:
    path = program(tmp_path / "benchmark_model")
    runtime = BenchmarkModelRuntime(UserBinary(path=path, version="2.17"))
    bundle = runtime.bundle("arm64-v8a", LibcFacts())
    assert (bundle.name, bundle.version, [file.name for file in bundle.files]) == (
        "benchmark-model",
        "2.17",
        ["benchmark_model"],
    )
    assert bundle.files[0].mode == 0o755
    program(path, tail=b"another")
    assert runtime.bundle("arm64-v8a", LibcFacts()).sha256 != bundle.sha256
