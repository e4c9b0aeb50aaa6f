"""scripts/build_native: the same bytes from any folder, quick when nothing has changed, errors that help."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import struct
import subprocess
import sys
import tarfile
import time
from pathlib import Path, PurePosixPath
from types import ModuleType

import pytest

from tests.agent.starting import ABIS, REPOSITORY, build, built


def test_two_builds_give_the_same_bytes() -> None:
    done = build("--abi", "x86_64", "--check-reproducible")
    assert done.returncode == 0, done.stdout + done.stderr
    agent = next(line for line in done.stdout.splitlines() if line.startswith("edgekit-agent x86_64"))
    first = agent.split()[2]
    assert first == hashlib.sha256(Path(built("x86_64")).read_bytes()).hexdigest()


def test_cached_build_is_quick() -> None:
    built("x86_64")
    times = []
    for _ in range(3):
        began = time.monotonic()
        done = build("--abi", "x86_64")
        times.append(time.monotonic() - began)
        assert done.returncode == 0
        assert "building" not in done.stderr
    assert min(times) < 6, "a build takes longer, and so does a look at more than its sources"


def _has_interpreter(data: bytes) -> bool:
    """Whether the ELF file has a PT_INTERP header: a dynamic program."""
    wide = data[4] == 2
    offset = struct.unpack_from("<Q" if wide else "<I", data, 32 if wide else 28)[0]
    size, count = struct.unpack_from("<HH", data, 54 if wide else 42)
    return 3 in [struct.unpack_from("<I", data, offset + size * i)[0] for i in range(count)]


@pytest.mark.parametrize("abi", ABIS)
def test_programs_are_small_and_need_nothing(abi: str) -> None:
    program = Path(built(abi))
    data = program.read_bytes()
    assert 50_000 < len(data) < 500_000
    assert os.access(program, os.X_OK)
    assert not _has_interpreter(data)
    for word in (str(REPOSITORY).encode(), str(Path.home()).encode() + b"/"):
        assert word not in data, "a path of this machine is in the program"


@pytest.fixture(scope="module")
def zstd_source() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "zstd_source", REPOSITORY / "scripts" / "lib" / "zstd_source.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("backports_zstd-1.8.0/src/c/zstd/lib/zstd.h", "zstd.h"),
        ("backports_zstd-1.8.0/src/c/zstd/lib/common/mem.h", "common/mem.h"),
        ("backports_zstd-1.8.0/src/c/zstd/lib/decompress/huf_decompress.c", "decompress/huf_decompress.c"),
        ("backports_zstd-1.8.0/src/c/zstd/LICENSE", "LICENSE"),
        ("backports_zstd-1.8.0/src/c/zstd/lib/compress/hist.c", None),
        ("backports_zstd-1.8.0/src/c/zstd/lib/../../../../../x.c", None),
        ("backports_zstd-1.8.0/setup.py", None),
        ("/etc/src/c/zstd/x.c", None),
        ("../src/c/zstd/lib/common/x.c", "common/x.c"),
    ],
)
def test_what_is_taken_from_the_package_of_zstd(
    zstd_source: ModuleType, name: str, place: str | None
) -> None:
    """Names of the archive never become names outside the folder."""
    wanted = zstd_source._wanted(PurePosixPath(name))
    assert (str(wanted) if wanted else None) == place


def test_another_package_than_the_pinned_one_is_refused(zstd_source: ModuleType, tmp_path: Path) -> None:
    archive = tmp_path / "backports_zstd-1.8.0.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.addfile(tarfile.TarInfo("backports_zstd-1.8.0/src/c/zstd/lib/zstd.h"))
    with pytest.raises(zstd_source.SourceError, match="not the package that was reviewed"):
        zstd_source._unpack(archive, tmp_path / "unpacked")
    assert not (tmp_path / "unpacked").exists()


def test_package_of_zstd_that_cannot_be_fetched_is_an_error_with_a_next_step(tmp_path: Path) -> None:
    env = {
        "EDGEKIT_CACHE_DIR": str(tmp_path / "cache"),
        "PIP_NO_INDEX": "1",
        "PIP_CONFIG_FILE": os.devnull,
    }
    script = _copy(tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy" / "native" / "runner")
    done = _run(script, env)
    assert done.returncode == 1
    assert "build_native: pip download of backports.zstd 1.8.0 failed" in done.stderr
    assert "next step: fetch the source package" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("abi", ABIS)
def test_licence_of_zstd_is_beside_the_program_that_holds_it(abi: str) -> None:
    text = (Path(built(abi)).parent / "LICENSE.zstd").read_text()
    assert "Copyright (c) Meta Platforms, Inc." in text
    assert "Redistributions in binary form must reproduce" in text


def test_checked_build_without_a_compiler_says_what_to_install(tmp_path: Path) -> None:
    argv = [sys.executable, str(REPOSITORY / "scripts" / "build_native"), "--checked"]
    env = {**os.environ, "CC": "no-such-compiler"}
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "no C compiler for the checked build (no-such-compiler): install gcc" in done.stderr


def _copy(target: Path) -> Path:
    for folder in ("scripts", "native"):
        shutil.copytree(REPOSITORY / folder, target / folder)
    return target / "scripts" / "build_native"


def _run(script: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, str(script), "--abi", "x86_64"]
    return subprocess.run(
        argv, env={**os.environ, **env}, capture_output=True, text=True, timeout=600, check=False
    )


def test_compile_error_is_shown_and_fails(tmp_path: Path) -> None:
    script = _copy(tmp_path / "copy")
    source = tmp_path / "copy" / "native" / "agent" / "get.c"
    source.write_text(source.read_text() + "\nint broken(void) { return nothing; }\n")
    shutil.rmtree(tmp_path / "copy" / "native" / "runner")
    done = _run(script, {})
    assert done.returncode == 1
    assert "build_native: edgekit-agent for x86_64 failed" in done.stderr
    assert "use of undeclared identifier 'nothing'" in done.stderr
    assert not (tmp_path / "copy" / "edgekit").exists()


def test_another_python_without_zig_and_without_packages_fails_clearly(tmp_path: Path) -> None:
    """A Python that has no ziglang makes a venv for it; here pip is given no index to find it in."""
    script = _copy(tmp_path / "copy")
    env = {
        "EDGEKIT_CACHE_DIR": str(tmp_path / "cache"),
        "PIP_NO_INDEX": "1",
        "PIP_CONFIG_FILE": os.devnull,
        "PATH": os.environ["PATH"],
    }
    plain = getattr(sys, "_base_executable", sys.executable)
    probe = subprocess.run([plain, "-c", "import ziglang"], capture_output=True, timeout=30, check=False)
    if probe.returncode == 0:
        pytest.skip("the base Python has ziglang")
    done = subprocess.run(
        [plain, str(script), "--abi", "x86_64"],
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert "pip install ziglang failed" in done.stderr
    assert "Traceback" not in done.stderr
