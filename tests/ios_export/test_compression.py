"""Weights that coremltools compressed, expanded here and by coremltools' own decompression (B1.3)."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

pytest.importorskip("coremltools")
pytest.importorskip("torch")

import torch
from edgekit_ios.mil import MilModel

pytestmark = pytest.mark.heavy

X = np.random.default_rng(0).standard_normal((1, 8, 10, 10)).astype(np.float32)


@cache
def model(target: str, precision: str) -> Any:
    import coremltools as ct

    torch.manual_seed(3)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(8, 16, 3), torch.nn.ReLU(), torch.nn.Conv2d(16, 32, 3, groups=2), torch.nn.Flatten(),
        torch.nn.Linear(32 * 36, 24), torch.nn.Tanh(), torch.nn.Linear(24, 16),
    ).eval()  # fmt: skip
    program = torch.export.export(net, (torch.from_numpy(X),)).run_decompositions({})
    return ct.convert(
        program,
        minimum_deployment_target=getattr(ct.target, target),
        compute_precision=getattr(ct.precision, precision),
        outputs=[ct.TensorType(name="y", dtype=np.float32)],
        skip_model_load=True,
    )


def linear(**given: Any) -> Callable[[Any], Any]:
    import coremltools.optimize.coreml as cto

    given = {"mode": "linear", "weight_threshold": 100, **given}
    return lambda m: cto.linear_quantize_weights(m, _config(cto.OpLinearQuantizerConfig(**given)))


def palette(**given: Any) -> Callable[[Any], Any]:
    import coremltools.optimize.coreml as cto

    given = {"mode": "uniform", "weight_threshold": 100, **given}
    return lambda m: cto.palettize_weights(m, _config(cto.OpPalettizerConfig(**given)))


def pruned(**given: Any) -> Callable[[Any], Any]:
    import coremltools.optimize.coreml as cto

    return lambda m: cto.prune_weights(m, _config(cto.OpMagnitudePrunerConfig(weight_threshold=100, **given)))


def joint(first: Callable[[Any], Any], **given: Any) -> Callable[[Any], Any]:
    """Pruned, and what is left is compressed."""
    import coremltools.optimize.coreml as cto

    def both(m: Any) -> Any:
        made = first(m)
        if "nbits" in given:
            config = cto.OpPalettizerConfig(mode="uniform", weight_threshold=100, **given)
            return cto.palettize_weights(made, _config(config), joint_compression=True)
        config = cto.OpLinearQuantizerConfig(weight_threshold=100, **given)
        return cto.linear_quantize_weights(made, _config(config), joint_compression=True)

    return both


def _config(operator: Any) -> Any:
    import coremltools.optimize.coreml as cto

    return cto.OptimizationConfig(global_config=operator)


CASES = [
    ("linear8", "iOS16", lambda: linear(dtype="int8"), {"constexpr_affine_dequantize"}),
    ("linear_u8_symmetric", "iOS17", lambda: linear(dtype="uint8", mode="linear_symmetric"), {"constexpr_affine_dequantize"}),
    ("linear8_ios18", "iOS18", lambda: linear(dtype="int8"), {"constexpr_blockwise_shift_scale"}),
    ("linear4_blocks", "iOS18", lambda: linear(dtype="int4", granularity="per_block", block_size=8),
     {"constexpr_blockwise_shift_scale"}),
    *((f"palette{bits}", "iOS16", lambda bits=bits: palette(nbits=bits), {"constexpr_lut_to_dense"})
      for bits in (1, 2, 4, 6, 8)),
    *((f"palette{bits}_groups", "iOS18", lambda bits=bits: palette(nbits=bits, granularity="per_grouped_channel", group_size=4),
       {"constexpr_lut_to_dense"}) for bits in (2, 3, 4)),
    ("palette_kmeans_vectors", "iOS18", lambda: palette(nbits=3, mode="kmeans", cluster_dim=2), {"constexpr_lut_to_dense"}),
    ("palette_scales", "iOS18", lambda: palette(nbits=4, granularity="per_grouped_channel", group_size=4,
                                                enable_per_channel_scale=True),
     {"constexpr_lut_to_dense", "constexpr_blockwise_shift_scale"}),
    ("pruned", "iOS16", lambda: pruned(target_sparsity=0.6), {"constexpr_sparse_to_dense"}),
    ("pruned_ios18", "iOS18", lambda: pruned(target_sparsity=0.6), {"constexpr_sparse_to_dense"}),
    ("pruned_linear", "iOS18", lambda: joint(pruned(target_sparsity=0.5), dtype="int8", mode="linear_symmetric"),
     {"constexpr_sparse_blockwise_shift_scale", "constexpr_sparse_to_dense"}),
    ("pruned_palette", "iOS18", lambda: joint(pruned(target_sparsity=0.5), nbits=4),
     {"constexpr_lut_to_sparse", "constexpr_sparse_to_dense"}),
]  # fmt: skip


@pytest.mark.parametrize("precision", ["FLOAT32", "FLOAT16"])
@pytest.mark.parametrize(("name", "target", "compress", "operators"), CASES, ids=[case[0] for case in CASES])
def test_expanded_weights_are_those_of_coremltools(
    name: str, target: str, compress: Callable[[], Callable[[Any], Any]], operators: set[str], precision: str
) -> None:
    import coremltools.optimize.coreml as cto

    plain = model(target, precision)
    compressed = compress()(plain)
    assert operators <= constexprs(compressed), "the model was not compressed as the case says"
    expanded = cto.decompress_weights(compressed)
    assert not constexprs(expanded)
    ours = MilModel(compressed.package_path).run([X])[0]
    theirs = MilModel(expanded.package_path).run([X])[0]
    assert np.max(np.abs(ours - MilModel(plain.package_path).run([X])[0])) > 1e-4, (
        "compression changed nothing"
    )
    # float16: coremltools rounds inside of an expansion, here each weight is rounded once
    tolerance = 1e-6 if precision == "FLOAT32" else 2e-3
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * np.max(np.abs(theirs)))


def constexprs(m: Any) -> set[str]:
    (function,) = m.get_spec().mlProgram.functions.values()
    (block,) = function.block_specializations.values()
    return {operation.type for operation in block.operations if operation.type.startswith("constexpr_")}
