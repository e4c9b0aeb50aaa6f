"""Libraries from the package index: pinned, cached, offline afterwards. The index is a real one, pip is pip."""

from __future__ import annotations

import functools
import http.server
import shutil
import socket
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgekit.cache import cache_dir, sha256_file
from edgekit.errors import HostNetwork, VerificationError
from edgekit.events import Event
from edgekit.runtimes.base import LibcFacts
from edgekit.runtimes.fetch import library_of
from edgekit.runtimes.litert import LiteRtRuntime
from edgekit.runtimes.native import PACKAGES, prefetch
from edgekit.runtimes.onnxruntime import OnnxRuntimeRuntime
from edgekit.runtimes.pins import LITERT, ONNXRUNTIME

ARM = LITERT.pins["arm64-v8a"]
ABIS = ("arm64-v8a", "x86_64")


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGEKIT_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """An index that refuses connections, and a pip that does not try again."""
    monkeypatch.setenv("EDGEKIT_INDEX_URL", "http://127.0.0.1:1/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package index of one's own on this machine; returns the folder of ai-edge-litert's wheels."""
    wheels = tmp_path / "index" / "simple" / "ai-edge-litert"
    wheels.mkdir(parents=True)
    handler = functools.partial(_Quiet, directory=str(tmp_path / "index"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("EDGEKIT_INDEX_URL", f"http://127.0.0.1:{server.server_port}/simple")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "")
    yield wheels
    server.shutdown()
    thread.join()
    server.server_close()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


def make_wheel(folder: Path, library: bytes) -> None:
    info = f"ai_edge_litert-{LITERT.version}.dist-info"
    with zipfile.ZipFile(folder / ARM.wheel, "w") as wheel:
        wheel.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: ai-edge-litert\nVersion: {LITERT.version}\n"
        )
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: cp311-cp311-any\n")
        wheel.writestr(f"{info}/RECORD", "")
        wheel.writestr(f"{info}/licenses/LICENSE", "licence")
        wheel.writestr("ai_edge_litert/libLiteRt.so", library)


def test_prefetch_then_offline(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After `edgekit cache prefetch` nothing needs the network (the index of this machine's pip is used)."""
    events: list[Event] = []
    paths = prefetch(("litert", "onnxruntime"), ABIS, events.append)
    assert [sha256_file(path) for path in paths] == [
        package.pins[abi].library_sha256 for package in (LITERT, ONNXRUNTIME) for abi in ABIS
    ]
    assert any("arm64-v8a" in event.message for event in events)
    assert (paths[0].parent / "LICENSE").read_text().lstrip().startswith("Apache License")
    assert (paths[2].parent / "LICENSE").read_text().startswith("MIT License")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("EDGEKIT_INDEX_URL", "http://127.0.0.1:1/simple")
    events.clear()
    assert prefetch(tuple(PACKAGES), ABIS, events.append) == paths
    assert events == []
    bundle = LiteRtRuntime().bundle("arm64-v8a", LibcFacts(glibc=(2, 36), libstdcxx=(6, 0, 30)))
    assert {file.name: file.sha256 for file in bundle.files}["libLiteRt.so"] == ARM.library_sha256
    onnx = OnnxRuntimeRuntime().bundle("arm64-v8a", LibcFacts(glibc=(2, 28), libstdcxx=(6, 0, 25)))
    assert {file.name for file in onnx.files} == {"edgekit-runner-onnxruntime", "libonnxruntime.so"}
    leftovers = [path.name for path in own_cache.rglob("*") if path.name.startswith(".")]
    assert leftovers == []


def test_no_network_names_the_prefetch_command(own_cache: Path, no_network: None) -> None:
    with pytest.raises(HostNetwork) as caught:
        library_of(LITERT, "arm64-v8a")
    assert caught.value.transient
    assert "edgekit cache prefetch" in str(caught.value.hint)
    assert "No matching distribution" in caught.value.message or "ai-edge-litert" in caught.value.message


def test_pips_own_settings_count(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(HostNetwork):
        library_of(LITERT, "arm64-v8a")


def test_an_index_that_never_answers_meets_the_deadline(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("EDGEKIT_INDEX_URL", f"http://127.0.0.1:{silent.getsockname()[1]}/simple")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        begin = time.monotonic()
        with pytest.raises(HostNetwork, match="within 3 s"):
            library_of(LITERT, "arm64-v8a", timeout=3)
        assert time.monotonic() - begin < 30


def test_another_build_than_the_pinned_one_is_refused(own_cache: Path, index: Path) -> None:
    make_wheel(index, b"\x7fELF another build")
    with pytest.raises(VerificationError) as caught:
        library_of(LITERT, "arm64-v8a")
    assert caught.value.code == "E_HASH"
    assert ARM.wheel_sha256 in caught.value.message
    assert not list(own_cache.rglob("libLiteRt.so"))


def test_an_index_without_this_version(own_cache: Path, index: Path) -> None:
    with pytest.raises(HostNetwork, match="No matching distribution"):
        library_of(LITERT, "arm64-v8a")


def test_a_mirror_with_the_pinned_wheel_is_as_good(own_cache: Path, index: Path, tmp_path: Path) -> None:
    """EDGEKIT_INDEX_URL overrides the index that pip is set up for."""
    from tests.runtimes.wheels import pinned_wheel

    shutil.copy(pinned_wheel(LITERT, "arm64-v8a"), index / ARM.wheel)
    assert sha256_file(library_of(LITERT, "arm64-v8a")) == ARM.library_sha256


def test_a_damaged_file_in_the_cache_is_not_used(own_cache: Path, no_network: None) -> None:
    cached = cache_dir("runtimes", f"litert-{LITERT.version}", "arm64-v8a") / "libLiteRt.so"
    cached.write_bytes(b"damaged")
    with pytest.raises(HostNetwork):
        library_of(LITERT, "arm64-v8a")


def test_an_installed_package_with_the_pinned_library_saves_the_download(
    own_cache: Path, no_network: None
) -> None:
    path = library_of(LITERT, "x86_64")
    assert path.parent.name == "ai_edge_litert"
    path = library_of(ONNXRUNTIME, "x86_64")
    assert path.parts[-3:] == ("onnxruntime", "capi", "libonnxruntime.so.1.32.0")
    assert not list(own_cache.rglob("*.so"))
