"""What benchmarks/quantization.py compares: the files that each tool makes of one trained network.

TFLite: edgekit makes a float .tflite file of the .keras file; edgekit and ai-edge-quantizer quantize that file,
tf.lite.TFLiteConverter begins with the same .keras file. ONNX: edgekit makes a float .onnx file of the .pt2 file of the same
weights; edgekit and onnxruntime quantize that one.
Every tool is used as its documentation's first example does: the recipes of ai_edge_quantizer.recipe, Optimize.DEFAULT,
quantize_static (QDQ, after quant_pre_process) and quantize_dynamic without further arguments. All are given the same calibration samples.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

import edgekit
from benchmarks.quantization_data import Digits, Images, Part
from benchmarks.quantization_models import keras_net, write_pt2
from benchmarks.quantization_nets import PIXELS, Weights
from edgekit.api.models import converted
from edgekit.benchmarking import BenchOptions
from edgekit.conversion.extras import quiet
from edgekit.devices import Device
from edgekit.errors import InputError, VerificationError
from edgekit.profiles import Profile, load_profile

EDGEKIT, AEQ, TFLITE, ORT = "edgekit", "ai-edge-quantizer", "tf.lite", "onnxruntime"
FLOAT = "float32"
SCHEMES = (
    "float16",
    "int8-dynamic",
    "int8-weight-only",
    "int8-static",
    "int16x8",
    "int4-weight-only",
    "int4-blockwise",
)
PROFILE = "host-x86-64"
AEQ_RECIPES = {
    "float16": None,
    "int8-dynamic": "dynamic_wi8_afp32",
    "int8-weight-only": "weight_only_wi8_afp32",
    "int8-static": "static_wi8_ai8",
    "int16x8": "static_wi8_ai16",
    "int4-weight-only": "weight_only_wi4_afp32",
    "int4-blockwise": "dynamic_wi4b32_afp32",
}


@dataclass(frozen=True)
class Made:
    """One file, or why there is none."""

    tool: str
    scheme: str
    format: str
    path: Path | None = None
    failed: str = ""

    @property
    def size_bytes(self) -> int:
        return self.path.stat().st_size if self.path is not None else 0


@dataclass(frozen=True)
class Sources:
    """One trained network as files. `start`: the float file of each format that edgekit made. `digits` are in files, too, as edgekit
    takes them: NHWC for TFLite, NCHW for ONNX."""

    folder: Path
    keras: Path
    start: Mapping[str, Path]
    digits: Digits

    def data(self, part: str, format_: str) -> Path:
        return self.folder / f"{part}-{format_}.npz"


def write_sources(
    net: Any, kind: str, weights: Weights, digits: Digits, folder: Path, formats: Sequence[str]
) -> Sources:
    """Raises what a conversion to float32 raises."""
    keras, pt2 = folder / "net.keras", folder / "net.pt2"
    keras_net(kind, weights).save(keras)
    start = {}
    for format_ in formats:
        if format_ == "onnx":
            write_pt2(net, pt2)
        source, output = (keras if format_ == "tflite" else pt2), folder / f"{FLOAT}-{format_}.ekm"
        start[format_] = edgekit.convert(source, output=output, to=format_, recipe=FLOAT).model_path
    found = Sources(folder, keras, start, digits)
    for part in ("calibration", "selection"):
        values: Part = getattr(digits, part)
        labels = {} if part == "calibration" else {"labels": values.labels}
        for format_ in formats:
            np.savez(found.data(part, format_), image=shaped(values.images, format_), **labels)
    return found


def shaped(images: Images, format_: str) -> Images:
    return images if format_ == "tflite" else images.reshape(-1, 1, PIXELS, PIXELS)


def make_all(sources: Sources, schemes: Sequence[str], say: Callable[[str], None]) -> list[Made]:
    """Every tool's files, float32 first. What a tool has no scheme for is left out."""
    found = []
    for format_, start in sources.start.items():
        found.append(Made(EDGEKIT, FLOAT, format_, start))
        for scheme in schemes:
            for tool, make in _TOOLS[format_]:
                say(f"{format_} {scheme} by {tool}")
                found.append(_made(tool, scheme, format_, lambda m=make, s=scheme, p=start: m(sources, s, p)))
    return [one for one in found if one.path is not None or one.failed]


def _made(tool: str, scheme: str, format_: str, make: Callable[[], Path | None]) -> Made:
    try:
        with _silenced():
            path = make()
    except Exception as error:  # each tool has its own; the table says so
        return Made(tool, scheme, format_, failed=" ".join(f"{type(error).__name__}: {error}".split())[:160])
    return Made(tool, scheme, format_, path)


class _silenced:  # noqa: N801
    """The tools log every step at WARNING."""

    def __enter__(self) -> None:
        self._before = logging.root.manager.disable
        logging.disable(logging.WARNING)

    def __exit__(self, *_: object) -> None:
        logging.disable(self._before)


def accepting() -> Profile:
    """A profile that takes whatever accuracy and precision: what is lost is measured here, not refused."""
    profile = load_profile(PROFILE)
    recipe = msgspec.structs.replace(profile.recipe, max_accuracy_drop=1.0)
    return msgspec.structs.replace(profile, recipe=recipe, precisions={})


def by_edgekit(sources: Sources, scheme: str, start: Path) -> Path | None:
    """With the profile of this machine where that takes it: `auto` then has these conversions from the cache."""
    if scheme == "int4-weight-only" and start.suffix == ".onnx":
        return None
    try:
        return _converted(sources, scheme, start, load_profile(PROFILE))
    except (InputError, VerificationError):
        return _converted(sources, scheme, start, accepting())


def by_file(sources: Sources, name: str) -> Made:
    """TFLite by a recipe of examples/recipes."""
    path = Path(__file__).resolve().parent.parent / "examples" / "recipes" / f"{name}.yaml"
    start = sources.start["tflite"]
    return _made(EDGEKIT, name, "tflite", lambda: _converted(sources, str(path), start, accepting(), name))


def _converted(
    sources: Sources, recipe: str, start: Path, profile: Profile, scheme: str | None = None
) -> Path:
    format_ = start.suffix.removeprefix(".")
    artifact = edgekit.convert(
        start,
        profile=profile,
        output=sources.folder / f"{EDGEKIT}-{scheme or recipe}-{format_}.ekm",
        to=format_,
        recipe=recipe,
        calibration=sources.data("calibration", format_),
        evaluation=sources.data("selection", format_),
    )
    return artifact.model_path


def _by_aeq(sources: Sources, scheme: str, start: Path) -> Path | None:
    from ai_edge_quantizer import algorithm_manager, qtyping, quantizer, recipe, recipe_manager

    with quiet():
        if scheme == "float16":
            manager = recipe_manager.RecipeManager()
            half = qtyping.TensorQuantizationConfig(num_bits=16, dtype=qtyping.TensorDataType.FLOAT)
            manager.add_quantization_config(
                ".*",
                qtyping.TFLOperationName.ALL_SUPPORTED,
                qtyping.OpQuantizationConfig(
                    weight_tensor_config=half,
                    compute_precision=qtyping.ComputePrecision.FLOAT,
                    explicit_dequantize=True,
                ),
                algorithm_manager.AlgorithmName.FLOAT_CASTING,
            )
            chosen = manager.get_quantization_recipe()
        else:
            chosen = getattr(recipe, str(AEQ_RECIPES[scheme]))()
        engine = quantizer.Quantizer(str(start), chosen)
        ranges = None
        if engine.need_calibration:
            samples = [{"image": image[None]} for image in sources.digits.calibration.images]
            ranges = engine.calibrate({"serving_default": samples})
        result = engine.quantize(ranges)
    path = sources.folder / f"{AEQ}-{scheme}.tflite"
    path.write_bytes(bytes(result.quantized_model))
    return path


def _by_tf(sources: Sources, scheme: str, start: Path) -> Path | None:
    """Optimize.DEFAULT is int8-dynamic; with samples int8-static. It has no weight-only and no int4."""
    import keras
    import tensorflow as tf

    if scheme in ("int8-weight-only", "int4-weight-only", "int4-blockwise"):
        return None
    with quiet():
        converter = tf.lite.TFLiteConverter.from_keras_model(keras.models.load_model(sources.keras))
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if scheme == "float16":
            converter.target_spec.supported_types = [tf.float16]
        elif scheme in ("int8-static", "int16x8"):
            converter.representative_dataset = lambda: (
                [image[None]] for image in sources.digits.calibration.images
            )
            kinds = tf.lite.OpsSet
            converter.target_spec.supported_ops = [
                kinds.TFLITE_BUILTINS_INT8
                if scheme == "int8-static"
                else kinds.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
            ]
        data = bytes(converter.convert())
    path = sources.folder / f"{TFLITE}-{scheme}.tflite"
    path.write_bytes(data)
    return path


def _by_ort(sources: Sources, scheme: str, start: Path) -> Path | None:
    """It has no float16 and no int8-weight-only."""
    import onnx
    from onnxruntime import quantization
    from onnxruntime.quantization import matmul_nbits_quantizer
    from onnxruntime.quantization.shape_inference import quant_pre_process

    if scheme not in ("int8-dynamic", "int8-static", "int16x8", "int4-blockwise"):
        return None
    path, ready = sources.folder / f"{ORT}-{scheme}.onnx", sources.folder / f"{ORT}-ready.onnx"
    with quiet():
        if scheme != "int4-blockwise":  # it joins MatMul and Add, and MatMulNBits is made of MatMul only
            quant_pre_process(str(start), str(ready))
        if scheme == "int8-dynamic":
            quantization.quantize_dynamic(ready, path)
        elif scheme == "int4-blockwise":
            engine = matmul_nbits_quantizer.MatMulNBitsQuantizer(onnx.load(start))
            engine.process()
            onnx.save(engine.model.model, path)
        else:
            more = {} if scheme == "int8-static" else {"activation_type": quantization.QuantType.QInt16}
            name = onnx.load(ready).graph.input[0].name
            quantization.quantize_static(
                ready, path, _Reader(name, sources.digits.calibration.images), **more
            )
    return path


class _Reader:
    """Calibration data as onnxruntime asks for them: the next sample, None at the end."""

    def __init__(self, name: str, images: Images) -> None:
        self._rest: Iterator[dict[str, Images]] = iter(
            {name: shaped(image[None], "onnx")} for image in images
        )

    def get_next(self) -> dict[str, Images] | None:
        return next(self._rest, None)


_TOOLS: dict[str, Sequence[tuple[str, Callable[[Sources, str, Path], Path | None]]]] = {
    "tflite": ((EDGEKIT, by_edgekit), (AEQ, _by_aeq), (TFLITE, _by_tf)),
    "onnx": ((EDGEKIT, by_edgekit), (ORT, _by_ort)),
}


def by_auto(sources: Sources, device: Device, options: BenchOptions) -> tuple[Path, str]:
    """What `--recipe auto` takes for this device, and the recipe's name."""
    done = converted(
        sources.start["tflite"],
        profile=load_profile(PROFILE),
        output=sources.folder / "auto.ekm",
        device=device,
        bench=options,
        to="tflite",
        recipe="auto",
        calibration=sources.data("calibration", "tflite"),
        evaluation=sources.data("selection", "tflite"),
    )
    return done.artifact.model_path, done.artifact.manifest.recipe


def by_rescue(sources: Sources, format_: str) -> tuple[Path, str]:
    """int8-static with --rescue, and what it says was done. Raises VerificationError where nothing helped."""
    artifact = edgekit.convert(
        sources.start[format_],
        profile=load_profile(PROFILE),
        output=sources.folder / f"rescued-{format_}.ekm",
        to=format_,
        recipe="int8-static",
        rescue=True,
        calibration=sources.data("calibration", format_),
        evaluation=sources.data("selection", format_),
    )
    notes = [note for note in artifact.manifest.notes if "rescued" in note]
    return artifact.model_path, " ".join(notes) or "it was not needed"
