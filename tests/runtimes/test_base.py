"""Facts to decisions, decisions to files and commands. Nothing is started here."""

from __future__ import annotations

import hashlib
import platform
import subprocess
from pathlib import Path

import pytest

from edgekit.errors import InputError, ToolError
from edgekit.registry import load, plugins
from edgekit.runtimes.base import (
    LIBC_VERSION_ARGV,
    BundleFile,
    LibcFacts,
    RunnerJob,
    Runtime,
    libc_facts,
    libstdcxx_folders,
    make_bundle,
    manifest,
    runner_arguments,
)
from edgekit.runtimes.executorch_python import ExecutorchPythonRuntime
from edgekit.runtimes.litert import LiteRtRuntime
from edgekit.runtimes.litert_python import LiteRtPythonRuntime
from edgekit.runtimes.native import needs_own_libc
from edgekit.runtimes.onnxruntime import OnnxRuntimeRuntime
from edgekit.runtimes.onnxruntime_python import OnnxRuntimePythonRuntime
from edgekit.runtimes.pins import LITERT, ONNXRUNTIME
from edgekit.runtimes.tool import ToolRuntime

pytestmark = pytest.mark.base

FILES = (
    BundleFile(path=Path("/x/b"), name="b", sha256="1" * 64, size_bytes=3, mode=0o755),
    BundleFile(path=Path("/x/a"), name="a", sha256="2" * 64, size_bytes=4, mode=0o644),
)


@pytest.mark.parametrize("name", sorted(plugins("runtimes")))
def test_every_runtime_follows_the_protocol(name: str) -> None:
    """Runners print what edgekit reads, tools their own words; nothing is both."""
    runtime = load("runtimes", name)()
    assert isinstance(runtime, Runtime) is not isinstance(runtime, ToolRuntime)
    assert runtime.name == name
    assert runtime.formats
    assert runtime.accelerators
    assert isinstance(runtime.op_profile, bool)
    if isinstance(runtime, Runtime):
        assert "cpu" in runtime.accelerators
        assert (runtime.raw_samples, runtime.outputs) == (True, True)


@pytest.mark.parametrize(
    ("getconf", "names", "glibc", "libstdcxx"),
    [
        ("glibc 2.36\n", ["/usr/lib/aarch64-linux-gnu/libstdc++.so.6.0.30"], (2, 36), (6, 0, 30)),
        ("glibc 2.31", ["libstdc++.so.6", "libstdc++.so.6.0.28\n"], (2, 31), (6, 0, 28)),
        ("glibc 2.39", ["a/libstdc++.so.6.0.9", "b/libstdc++.so.6.0.33"], (2, 39), (6, 0, 33)),
        ("glibc 2.36", [], (2, 36), None),
        (None, [], None, None),
        ("", ["libstdc++.so.6.0.30-gdb.py"], None, None),
        ("getconf: GNU_LIBC_VERSION: unknown variable", [], None, None),
        ("musl libc (aarch64)\nVersion 1.2.3", [], None, None),
        ("glibc two", [], None, None),
    ],
)
def test_facts_from_what_a_device_prints(
    getconf: str | None, names: list[str], glibc: tuple[int, ...] | None, libstdcxx: tuple[int, ...] | None
) -> None:
    assert libc_facts(getconf, names) == LibcFacts(glibc=glibc, libstdcxx=libstdcxx)


@pytest.mark.parametrize(
    ("abi", "glibc", "libstdcxx", "own"),
    [
        ("arm64-v8a", (2, 36), (6, 0, 30), False),
        ("arm64-v8a", (2, 34), (6, 0, 30), False),
        ("arm64-v8a", (2, 34), (6, 0, 29), True),  # RHEL 9's pair: the C library will do, the C++ one not
        ("arm64-v8a", (2, 31), (6, 0, 28), True),  # Debian 11, Ubuntu 20.04, JetPack 5
        ("arm64-v8a", (2, 9), (6, 0, 30), True),  # 9 is less than 34
        ("arm64-v8a", (2, 36), None, True),
        ("arm64-v8a", None, (6, 0, 30), True),
        ("arm64-v8a", None, None, True),  # Android
        ("x86_64", (2, 31), (6, 0, 28), False),
        ("x86_64", (2, 26), (6, 0, 28), True),
        ("x86_64", (3, 0), (7, 0, 0), False),
    ],
)
def test_own_libc_where_the_devices_will_not_do(
    abi: str, glibc: tuple[int, ...] | None, libstdcxx: tuple[int, ...] | None, own: bool
) -> None:
    assert needs_own_libc(LITERT.pins[abi], LibcFacts(glibc=glibc, libstdcxx=libstdcxx)) is own


@pytest.mark.parametrize(
    ("glibc", "libstdcxx", "own"),
    [
        ((2, 28), (6, 0, 25), False),  # Debian 10, RHEL 8
        ((2, 31), (6, 0, 28), False),  # JetPack 5, where LiteRT needs its own
        ((2, 27), (6, 0, 25), True),  # Ubuntu 18.04, JetPack 4
        (None, None, True),  # Android
    ],
)
@pytest.mark.parametrize("abi", sorted(ONNXRUNTIME.pins))
def test_onnx_runtime_needs_its_own_libc_less_often(
    abi: str, glibc: tuple[int, ...] | None, libstdcxx: tuple[int, ...] | None, own: bool
) -> None:
    """D1.1: glibc 2.28 is what libonnxruntime.so asks for."""
    assert needs_own_libc(ONNXRUNTIME.pins[abi], LibcFacts(glibc=glibc, libstdcxx=libstdcxx)) is own


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="this machine has another C library")
def test_facts_of_this_machine() -> None:
    """The probes, run here: what they find is what Python itself knows of the C library."""
    version = subprocess.run(LIBC_VERSION_ARGV, capture_output=True, text=True, timeout=30, check=True).stdout
    folders = [
        Path(folder) for folder in libstdcxx_folders(platform.machine().replace("aarch64", "arm64-v8a"))
    ]
    names = [path.name for folder in folders if folder.is_dir() for path in folder.glob("libstdc++.so.*")]
    facts = libc_facts(version, names)
    assert facts.glibc == tuple(int(part) for part in platform.libc_ver()[1].split("."))
    assert facts.libstdcxx is None or facts.libstdcxx >= (6, 0, 0)
    assert (facts.libstdcxx is None) is (not names)


def test_no_native_runtime_for_an_abi_names_the_other_runtime() -> None:
    with pytest.raises(InputError) as caught:
        LiteRtRuntime().bundle("armeabi-v7a", LibcFacts())
    assert caught.value.code == "E_ABI"
    assert "litert-python" in str(caught.value.hint)
    with pytest.raises(InputError) as caught:
        OnnxRuntimeRuntime().bundle("armeabi-v7a", LibcFacts())
    assert caught.value.code == "E_ABI"
    assert "--to tflite" in str(caught.value.hint)


def test_a_bundle_is_named_by_its_sorted_manifest() -> None:
    expected = f"{'2' * 64} 644 a\n{'1' * 64} 755 b\n".encode()
    assert manifest(FILES) == manifest(FILES[::-1]) == expected
    bundle = make_bundle("r", "1", FILES)
    assert bundle == make_bundle("r", "1", FILES[::-1])
    assert bundle.sha256 == hashlib.sha256(expected).hexdigest()
    assert [file.name for file in bundle.files] == ["a", "b"]
    assert bundle.size_bytes == 7


def test_arguments() -> None:
    job = RunnerJob(
        model="/a b/m.tflite",
        samples="s",
        threads=4,
        iterations=10,
        warmup_iterations=2,
        min_seconds=0.5,
        max_seconds=1e-3,
        inputs="i",
        outputs="o",
        seed=2**64 - 1,
        cpus="4-7",
        empty_body=True,
        op_profile="p",
    )
    arguments = runner_arguments(job)
    pairs = dict(zip(arguments[:-1:2], arguments[1::2], strict=True))
    assert arguments[-1] == "--empty-body"
    assert pairs == {
        "--model": "/a b/m.tflite",
        "--samples": "s",
        "--threads": "4",
        "--seed": "18446744073709551615",
        "--warmup-iterations": "2",
        "--iterations": "10",
        "--min-seconds": "0.5",
        "--max-seconds": "0.001",
        "--inputs": "i",
        "--outputs": "o",
        "--cpus": "4-7",
        "--op-profile": "p",
    }
    assert not {"--inputs", "--outputs", "--cpus", "--empty-body", "--op-profile"} & set(
        runner_arguments(RunnerJob(model="m", samples="s"))
    )


def test_command_without_and_with_a_loader_of_its_own() -> None:
    runtime, job = LiteRtRuntime(), RunnerJob(model="m", samples="s")
    plain, plain_environment = runtime.command(make_bundle("litert", "2.3.0", FILES), "/d", job)
    assert plain[:3] == ["/d/edgekit-runner-litert", "--library", "/d/libLiteRt.so"]
    assert plain_environment == {"EDGEKIT_RUNTIME_VERSION": "2.3.0"}
    own = make_bundle("litert", "2.3.0", FILES, loader="ld-linux-aarch64.so.1")
    argv, environment = runtime.command(own, "/d", job)
    assert argv == ["/d/ld-linux-aarch64.so.1", "--inhibit-cache", "--library-path", "/d", *plain]
    assert environment == {"EDGEKIT_RUNTIME_VERSION": "2.3.0", "LD_PRELOAD": ""}


@pytest.mark.parametrize(
    ("runtime", "script"),
    [
        (LiteRtPythonRuntime(), "litert_runner.py"),
        (OnnxRuntimePythonRuntime(), "onnxruntime_runner.py"),
        (ExecutorchPythonRuntime(), "executorch_runner.py"),
    ],
)
def test_a_python_runtime_is_the_same_scripts_for_every_device(runtime: Runtime, script: str) -> None:
    bundles = {runtime.bundle(abi, LibcFacts()) for abi in ("x86_64", "arm64-v8a", "armeabi-v7a")}
    assert len(bundles) == 1
    bundle = bundles.pop()
    shared = ["board_launch.py", "board_process.py", "board_tensors.py"]
    assert [file.name for file in bundle.files] == sorted([*shared, script])
    argv, environment = runtime.command(bundle, "/d", RunnerJob(model="m", samples="s"))
    assert argv[:2] == ["python3", f"/d/{script}"]
    assert environment["PYTHONDONTWRITEBYTECODE"] == "1"


@pytest.mark.parametrize(("libc", "script"), [(LibcFacts(), "build_native"), (LibcFacts(), "fetch_libc")])
def test_what_was_not_built_names_its_script(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, libc: LibcFacts, script: str
) -> None:
    monkeypatch.setattr("edgekit.runtimes.native._built", lambda abi: tmp_path / abi)
    if script == "fetch_libc":
        (tmp_path / "arm64-v8a").mkdir()
        (tmp_path / "arm64-v8a" / "edgekit-runner-litert").write_bytes(b"runner")
    with pytest.raises(ToolError) as caught:
        LiteRtRuntime().bundle("arm64-v8a", libc)
    assert caught.value.code == "E_NOT_BUILT"
    assert script in str(caught.value.hint)
