"""The bundle with its own loader and C library, in a root that holds nothing else: what an Android phone, a
minimal board or one with an old glibc gets (A5)."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from edgekit.runtimes.base import LibcFacts, RunnerJob
from tests.runner.launching import Launcher, native, onnxruntime
from tests.runner.models import model_path

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="a root of its own needs root")

IN_ROOT = 'mount -t proc proc "$0/proc" && exec chroot "$0" "$@"'


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    for name in ("proc", "data"):
        (root / name).mkdir(parents=True)
    return root


def start(launcher: Launcher, root: Path, job: RunnerJob) -> subprocess.CompletedProcess[bytes]:
    argv, environment = launcher.runtime.command(launcher.bundle, "/bundle", job)
    # a PATH for the shell and chroot outside; nothing of this machine's environment goes in
    return subprocess.run(
        ["unshare", "--mount", "--pid", "--fork", "sh", "-c", IN_ROOT, str(root), *argv],
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **environment},
        capture_output=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("make", [native, onnxruntime])
def test_runs_where_there_is_nothing_but_the_bundle(root: Path, make: Callable[..., Launcher]) -> None:
    launcher = make(root / "bundle", LibcFacts())
    assert launcher.bundle.loader is not None
    model = root / "data" / "model"
    model.write_bytes(launcher.kit.small(root / "data").read_bytes())
    inputs = launcher.kit.random_inputs(model, 2)
    (root / "data" / "in").write_bytes(inputs)
    job = RunnerJob(
        model="/data/model",
        samples="/data/s",
        inputs="/data/in",
        outputs="/data/out",
        iterations=10,
        threads=2,
    )
    done = start(launcher, root, job)
    assert done.returncode == 0, done.stdout + done.stderr
    result = launcher.runtime.parse(done.stdout)
    assert result.iterations == 10
    assert result.memory.pss_bytes is not None
    assert (root / "data" / "out").read_bytes() == launcher.kit.outputs(model, inputs, 2)
    inside = {path.name for path in root.iterdir()}
    assert inside == {"proc", "data", "bundle"}


def test_does_not_run_there_without_its_own_loader(root: Path) -> None:
    """The test above shows something only if the plain form cannot run in that root."""
    launcher = native(root / "bundle")
    assert launcher.bundle.loader is None
    done = start(launcher, root, RunnerJob(model="/data/model", samples="/data/s"))
    assert done.returncode == 127
    assert b"No such file" in done.stderr


def test_what_proc_would_tell_is_null_without_it(root: Path) -> None:
    """Unknown is null, never 0. (The library itself wants to know the processor, so that much is there.)"""
    shutil.copy("/proc/cpuinfo", root / "proc" / "cpuinfo")
    launcher = native(root / "bundle", LibcFacts())
    shutil.copy(model_path("face_landmark"), root / "data" / "model")
    job = RunnerJob(model="/data/model", samples="/data/s")
    argv, environment = launcher.runtime.command(launcher.bundle, "/bundle", job)
    done = subprocess.run(
        ["chroot", str(root), *argv],
        env={"PATH": "/usr/sbin:/usr/bin", **environment},
        capture_output=True,
        timeout=120,
    )
    memory = launcher.runtime.parse(done.stdout).memory
    assert memory.model_delta_bytes is None
    assert memory.rss_start_bytes is memory.peak_rss_bytes is memory.pss_bytes is None


def test_a_preloaded_library_of_the_device_is_no_obstacle(tmp_path: Path) -> None:
    """Termux preloads a library of Android's libc into everything; the command takes it out."""
    launcher = native(tmp_path / "bundle", LibcFacts())
    job = RunnerJob(model=str(model_path("face_landmark")), samples=str(tmp_path / "s"))
    argv, environment = launcher.command(job)
    assert environment["LD_PRELOAD"] == ""
    spoiled = {**environment, "LD_PRELOAD": "/nonexistent/libtermux-exec.so"}
    assert b"cannot be preloaded" in subprocess.run(argv, env=spoiled, capture_output=True, timeout=60).stderr
    clean = subprocess.run(argv, env=environment, capture_output=True, timeout=60)
    assert b"preload" not in clean.stderr
    assert launcher.runtime.parse(clean.stdout).ok


def test_every_library_comes_from_the_bundle(tmp_path: Path) -> None:
    launcher = native(tmp_path / "bundle", LibcFacts())
    argv, environment = launcher.command(RunnerJob(model="m", samples="s"))
    listing = subprocess.run(
        [*argv[:4], "--list", str(tmp_path / "bundle" / "libLiteRt.so")],
        env=environment,
        capture_output=True,
        timeout=60,
    ).stdout.decode()
    paths = [line.split("=>")[1].split()[0] for line in listing.splitlines() if "=>" in line]
    assert len(paths) >= 7
    assert {str(Path(path).parent) for path in paths} == {str(tmp_path / "bundle")}
