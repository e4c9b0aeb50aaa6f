"""The ONNX Runtime runner, on this machine (D1.1)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from edgekit.runtimes.base import RunnerJob
from edgekit.runtimes.fetch import library_of
from edgekit.runtimes.pins import LITERT, ONNXRUNTIME
from tests.runner import tiny_onnx
from tests.runner.contract import RunnerContract, await_file
from tests.runner.launching import LOCAL_ABI, Launcher, onnxruntime, onnxruntime_outputs
from tests.runner.models import REAL_ONNX, onnx_path

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def launcher(tmp_path_factory: pytest.TempPathFactory) -> Launcher:
    return onnxruntime(tmp_path_factory.mktemp("onnxruntime"))


class TestOnnxRuntimeRunner(RunnerContract):
    load_steps = ("dlopen_us", "environment_us", "compile_us")

    @pytest.fixture(params=sorted(REAL_ONNX))
    def real_model(self, request: pytest.FixtureRequest) -> Path:
        return onnx_path(request.param)


def job_of(model: Path, inputs: bytes | None = None) -> RunnerJob:
    folder = model.parent
    if inputs is not None:
        (folder / "in").write_bytes(inputs)
    return RunnerJob(
        model=str(model),
        samples=str(folder / "s"),
        outputs=str(folder / "out"),
        inputs=str(folder / "in") if inputs is not None else None,
    )


# which library


def test_libraries_that_are_none_or_another_runtimes(launcher: Launcher, tmp_path: Path) -> None:
    text = tmp_path / "libonnxruntime.so"
    text.write_text("not a library")
    argv, environment = launcher.command(job_of(tiny_onnx.open_batch(tmp_path / "model")))
    at = argv.index("--library") + 1
    said = {}
    for library in (str(text), "/nonexistent.so", "libc.so.6", str(library_of(LITERT, LOCAL_ABI))):
        answer = launcher.refused([*argv[:at], library, *argv[at + 1 :]], environment)
        assert answer["code"] == "E_RUNNER_LIBRARY"
        said[library] = answer["message"]
    assert "OrtGetApiBase: not an ONNX Runtime library" in said[str(library_of(LITERT, LOCAL_ABI))]


FAKE = """
#include <stdlib.h>
static const char *version(void) { return "%s"; }
static void *fail(void) { %s }
static void *one(void **a, void **b, void **c, void **d) { return 0; }
static const void *table[414];
static const void *const *get(unsigned version) {
    for (int i = 0; i < 414; i++) table[i] = (const void *)one;
    table[%d] = (const void *)fail;
    return table;
}
static const struct { const void *get, *version; } base = {(const void *)get, (const void *)version};
const void *OrtGetApiBase(void) { return &base; }
"""


def library(folder: Path, version: str, slot: int = 0, body: str = "return 0;") -> Path:
    """A real library with the one symbol of ONNX Runtime's; every function of its table says "ok", one does `body`."""
    source, made = folder / "library.c", folder / "libfake.so"
    source.write_text(FAKE % (version, body, slot))
    command = [sys.executable, "-m", "ziglang", "cc", "-shared", "-fPIC", "-O0", "-w", "-fno-sanitize=all"]
    subprocess.run([*command, str(source), "-o", str(made)], check=True, timeout=240, capture_output=True)
    return made


@pytest.mark.parametrize("version", ["1.31.1", "1.33.0", "1.3.2", "2.0.0", ""])
def test_another_version_than_the_pinned_one_is_refused(
    launcher: Launcher, tmp_path: Path, version: str
) -> None:
    argv, environment = launcher.command(job_of(tiny_onnx.open_batch(tmp_path / "model")))
    argv[argv.index("--library") + 1] = str(library(tmp_path, version))
    answer = launcher.refused(argv, environment)
    assert answer["code"] == "E_RUNNER_VERSION"
    assert f"ONNX Runtime {version}; this runner is for 1.32." in answer["message"]


@pytest.mark.parametrize(("body", "number"), [("*(volatile int *)8 = 1;", "11"), ("abort();", "06")])
def test_a_crash_while_the_model_is_loaded_names_the_signal(
    launcher: Launcher, tmp_path: Path, body: str, number: str
) -> None:
    create_session = 7
    argv, environment = launcher.command(job_of(tiny_onnx.open_batch(tmp_path / "model")))
    argv[argv.index("--library") + 1] = str(library(tmp_path, "1.32.0", create_session, body))
    answer = launcher.refused(argv, environment)
    assert answer["code"] == "E_MODEL_CRASH"
    assert f"(signal {number})" in answer["message"]


# models


def test_the_version_is_the_librarys_own_word(launcher: Launcher, tmp_path: Path) -> None:
    argv, environment = launcher.command(job_of(tiny_onnx.open_batch(tmp_path / "model")))
    outcome = launcher.start(argv, {**environment, "EDGEKIT_RUNTIME_VERSION": "0.0"})
    assert outcome.answer["runtime"] == {"name": "onnxruntime", "version": ONNXRUNTIME.version}


def test_weights_in_a_file_beside_the_model(
    launcher: Launcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """External data is found from the model's folder, wherever the runner was started; missing, it is named."""
    import onnx

    folder = tmp_path / "model"
    folder.mkdir()
    whole = tiny_onnx.small(tmp_path / "whole.onnx")
    split = folder / "model.onnx"
    onnx.save_model(
        onnx.load(whole), split, save_as_external_data=True, location="weights.bin", size_threshold=0
    )
    assert split.stat().st_size < 5_000 < (folder / "weights.bin").stat().st_size
    inputs = launcher.kit.random_inputs(whole, 2)
    monkeypatch.chdir("/")
    launcher.run(job_of(split, inputs))
    assert (folder / "out").read_bytes() == onnxruntime_outputs(whole, inputs)
    (folder / "weights.bin").unlink()
    answer = launcher.refuse(job_of(split, inputs))
    assert answer["code"] in ("E_MODEL_LOAD", "E_MODEL_COMPILE")
    assert "weights.bin" in answer["message"]


def test_int8_outputs_are_those_of_the_python_package(launcher: Launcher, tmp_path: Path) -> None:
    """Quantized models give the same bytes: recipes are judged by these outputs."""
    from onnxruntime.quantization import quantize_dynamic

    model = tmp_path / "int8.onnx"
    source = tiny_onnx.small(tmp_path / "float32.onnx")
    quantize_dynamic(source, model)
    assert model.stat().st_size < source.stat().st_size / 2
    inputs = launcher.kit.random_inputs(model, 20)
    launcher.run(job_of(model, inputs))
    assert (tmp_path / "out").read_bytes() == onnxruntime_outputs(model, inputs)
    assert len(set(np.fromfile(tmp_path / "out", "<f4").tolist())) > 20


def test_an_input_that_is_an_output_too(launcher: Launcher, tmp_path: Path) -> None:
    shape = ("n", 3)
    outputs = [tiny_onnx.value("y", "float32", shape), tiny_onnx.value("x", "float32", shape)]
    model = tiny_onnx.build(
        tmp_path / "model",
        [tiny_onnx.node("Neg", ["x"], ["y"])],
        [tiny_onnx.value("x", "float32", shape)],
        outputs,
    )
    launcher.run(job_of(model, np.arange(6, dtype="<f4").tobytes()))
    assert np.fromfile(tmp_path / "out", "<f4").tolist() == [0, -1, -2, 0, 1, 2, -3, -4, -5, 3, 4, 5]


def test_shapes_that_come_of_the_data(launcher: Launcher, tmp_path: Path) -> None:
    """One that stays is measured; one that another sample changes is an error with both shapes."""
    model = tiny_onnx.build(
        tmp_path / "model",
        [tiny_onnx.node("NonZero", ["x"], ["y"])],
        [tiny_onnx.value("x", "float32", (4,))],
        [tiny_onnx.value("y", "int64", (1, None))],
    )
    result = launcher.run(job_of(model, np.array([0, 1, 1, 0, 5, 0, 0, 5], "<f4").tobytes()))
    assert result.outputs[0].shape == (1, 2)
    assert np.fromfile(tmp_path / "out", "<i8").tolist() == [1, 2, 0, 3]
    answer = launcher.refuse(job_of(model, np.array([0, 1, 1, 0, 5, 5, 5, 5], "<f4").tobytes()))
    assert answer["code"] == "E_MODEL_RUN"
    assert "{1,2}" in answer["message"]
    assert "{1,4}" in answer["message"]


def test_models_that_the_runner_cannot_feed_or_read(launcher: Launcher, tmp_path: Path) -> None:
    import onnx

    x, y = tiny_onnx.value("x", "float32", (3,)), tiny_onnx.value("y", "bfloat16", (3,))
    relu = tiny_onnx.node("Relu", ["x"], ["y"])
    nothing = tiny_onnx.build(tmp_path / "nothing", [relu], [x], [])
    assert launcher.refuse(job_of(nothing))["message"] == "the model has no outputs"
    cast = tiny_onnx.node("Cast", ["x"], ["y"], to=onnx.TensorProto.BFLOAT16)
    answer = launcher.refuse(job_of(tiny_onnx.build(tmp_path / "cast", [cast], [x], [y])))
    assert answer["code"] == "E_MODEL_RUN" or "'y' is of a type (other, 16)" in answer["message"]
    listed = onnx.helper.make_tensor_sequence_value_info("y", onnx.TensorProto.FLOAT, None)
    sequence = tiny_onnx.build(
        tmp_path / "sequence", [tiny_onnx.node("SequenceConstruct", ["x"], ["y"])], [x], [listed]
    )
    answer = launcher.refuse(job_of(sequence))
    assert (answer["code"], answer["message"]) == ("E_MODEL_UNSUPPORTED", "the output 'y' is not a tensor")


def test_a_model_that_asks_for_all_memory(launcher: Launcher, tmp_path: Path) -> None:
    """16 TiB: an error of the runtime, not the end of the process."""
    sizes = tiny_onnx.weight("sizes", np.array([1 << 14] * 3))
    model = tiny_onnx.build(
        tmp_path / "model",
        [
            tiny_onnx.node("ConstantOfShape", ["sizes"], ["large"]),
            tiny_onnx.node("Add", ["large", "x"], ["y"]),
        ],
        [tiny_onnx.value("x", "float32", (1,))],
        [tiny_onnx.value("y", "float32", None)],
        [sizes],
    )
    answer = launcher.refuse(job_of(model))
    assert answer["code"] in ("E_MODEL_COMPILE", "E_MODEL_RUN")
    assert "memory" in answer["message"] or "alloc" in answer["message"]


@pytest.mark.parametrize("seed", range(8))
def test_flipped_bytes_never_break_the_contract(launcher: Launcher, tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    content = bytearray(tiny_onnx.reordered(tmp_path / "whole").read_bytes())
    for at in rng.integers(len(content), size=seed + 1):
        content[at] = int(rng.integers(256))
    damaged = tmp_path / "damaged"
    damaged.write_bytes(content)
    outcome = launcher.start(*launcher.command(job_of(damaged)))
    assert outcome.exit_code == (0 if outcome.answer["ok"] else 1)
    assert outcome.answer["ok"] or outcome.answer["code"].startswith("E_MODEL_")


# the process


def test_the_librarys_telemetry_is_off(launcher: Launcher, tmp_path: Path) -> None:
    """It would leave a database and a device's identity in the home folder, whatever the environment says of it."""
    home = tmp_path / "home"
    home.mkdir()
    argv, environment = launcher.command(job_of(tiny_onnx.open_batch(tmp_path / "model")))
    told = {**environment, "HOME": str(home), "XDG_CACHE_HOME": str(home), "ORT_DISABLE_TELEMETRY": "0"}
    assert launcher.start(argv, told).answer["ok"]
    assert list(home.iterdir()) == []


@pytest.mark.parametrize("threads", [1, 3])
def test_one_pool_with_the_threads_asked_for(launcher: Launcher, tmp_path: Path, threads: int) -> None:
    """And no other thread: what the library would do beside (telemetry) is off."""
    job = replace(job_of(tiny_onnx.small(tmp_path / "model")), threads=threads, min_seconds=5, max_seconds=20)
    argv, environment = launcher.command(job)
    child = subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        await_file(tmp_path / "out")
        assert len(list(Path(f"/proc/{child.pid}/task").iterdir())) == threads
    finally:
        child.kill()
        child.communicate(timeout=30)
