"""The aarch64 runner on a whole (virtual) arm64 board: kernel, /proc and C library of its own (A5)."""

from __future__ import annotations

import io
import shlex
import subprocess
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from msgspec.structs import replace

from edgekit.runtimes.base import Bundle, LibcFacts, RunnerJob, Runtime, libc_facts
from edgekit.runtimes.litert import LiteRtRuntime
from edgekit.runtimes.onnxruntime import OnnxRuntimeRuntime
from tests.runner.launching import ONNX, TFLITE, Kit
from tests.runner.models import model_path, onnx_path

if TYPE_CHECKING:
    from tests.targets.board import Board

ABI = "arm64-v8a"
SLOW_SECONDS = 240
RELATIVE = 1e-5
"""Of the largest output: other vector instructions add up in another order."""


def ssh(board: Board, command: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    argv = ["ssh", "-p", str(board.port), "root@127.0.0.1", command]
    return subprocess.run(
        argv, input=stdin, capture_output=True, timeout=SLOW_SECONDS, check=False, env=board.client.full_env
    )


def send(board: Board, folder: str, files: dict[str, tuple[bytes, int]]) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, (content, mode) in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), mode
            archive.addfile(member, io.BytesIO(content))
    done = ssh(board, f"mkdir -p {folder} && tar -x -C {folder}", packed.getvalue())
    assert done.returncode == 0, done.stderr


def bundle_files(bundle: Bundle) -> dict[str, tuple[bytes, int]]:
    return {file.name: (file.path.read_bytes(), file.mode) for file in bundle.files}


def board_libc(board: Board) -> LibcFacts:
    libraries = ssh(board, "readlink -f /usr/lib/aarch64-linux-gnu/libstdc++.so.6").stdout.decode()
    return libc_facts(ssh(board, "getconf GNU_LIBC_VERSION").stdout.decode(), libraries.splitlines())


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("name", "own_libc"),
    [("iris_landmark", False), ("face_landmark", True)],
    ids=["the-boards-libc", "its-own-libc"],
)
def test_outputs_on_the_board_are_those_of_the_host(board: Board, name: str, own_libc: bool) -> None:
    there_as_here(board, LiteRtRuntime(), TFLITE, model_path(name), own_libc=own_libc)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("own_libc", [False, True], ids=["the-boards-libc", "its-own-libc"])
def test_onnx_outputs_on_the_board_are_those_of_the_host(
    board: Board, tmp_path: Path, own_libc: bool
) -> None:
    """D1.1: a real model with the board's own C library, a made one with the bundle's."""
    pytest.importorskip("onnxruntime")
    model = ONNX.small(tmp_path) if own_libc else onnx_path("ch_ppocr_mobile_v2.0_cls_infer")
    there_as_here(board, OnnxRuntimeRuntime(), ONNX, model, own_libc=own_libc)


def there_as_here(board: Board, runtime: Runtime, kit: Kit, model: Path, *, own_libc: bool) -> None:
    bundle = runtime.bundle(ABI, LibcFacts() if own_libc else board_libc(board))
    assert (bundle.loader is not None) is own_libc
    folder = f"/tmp/runner-{bundle.sha256[:12]}"
    inputs = kit.random_inputs(model, 2)
    files = {"model": (model.read_bytes(), 0o644), "in": (inputs, 0o644)}
    send(board, folder, {**bundle_files(bundle), **files})
    job = RunnerJob(
        model=f"{folder}/model",
        samples=f"{folder}/s",
        inputs=f"{folder}/in",
        outputs=f"{folder}/out",
        op_profile=f"{folder}/ops",
        iterations=3,
        max_seconds=60,
    )
    try:
        argv, environment = runtime.command(bundle, folder, replace(job, cpus="0"))
        assignments = [f"{key}={value}" for key, value in environment.items()]
        done = ssh(board, shlex.join(["env", *assignments, *argv]))
        assert done.returncode == 0, done.stdout + done.stderr
        result = runtime.parse(done.stdout)
        there = np.frombuffer(ssh(board, f"cat {folder}/out").stdout, "<f4")
        samples = np.frombuffer(ssh(board, f"cat {folder}/s").stdout, "<f8")
        table = runtime.read_op_profile(ssh(board, f"cat {folder}/ops").stdout)
    finally:
        ssh(board, f"rm -rf {folder}")
    here = np.frombuffer(kit.outputs(model, inputs), "<f4")
    assert there.shape == here.shape
    assert np.abs(there - here).max() <= RELATIVE * np.abs(here).max()
    assert len(samples) == result.iterations == 3
    assert result.fully_accelerated is (True if kit is TFLITE else None)  # ONNX Runtime does not tell
    assert result.memory.model_delta_bytes
    assert result.memory.pss_bytes
    assert {row.unit for row in table.rows} == {"cpu"}  # D1.8
    assert 0 < sum(row.median_us or 0 for row in table.rows) < np.max(samples) * 2
