"""The quantization benchmark (B2-b2): its pure judgements, its networks, and that it runs and prints its tables."""

from __future__ import annotations

import pytest

from benchmarks.quantization_judge import Lost, Rescued, Row, against_best, beaten_by


def row(
    tool: str = "edgekit",
    *,
    rms: float = 0.1,
    size: int = 1000,
    us: float | None = 10.0,
    scheme: str = "int8-static",
) -> Row:
    return Row(tool, scheme, "tflite", size, Lost(correct=1980, flips=3, rms=rms, samples=2000), us)


def test_b2_b2_the_best_tool_at_equal_size_is_the_bar() -> None:
    """B2-b2: the most exact of the others counts, for each seed; one that needs more bytes is not at equal size."""
    found = against_best(
        [
            [row(rms=0.1), row("a", rms=0.2), row("b", rms=0.1), row("large", rms=0.01, size=1100)],
            [row(rms=0.4), row("a", rms=0.2), row("b", rms=0.1), row("small", rms=0.2, size=900)],
        ],
        "tflite",
        "int8-static",
    )
    assert found is not None
    assert found.best == "b"
    assert found.ratios == pytest.approx((1.0, 4.0))
    assert found.ratio == pytest.approx(2.0)
    assert not found.kept


def test_b2_b2_what_no_other_tool_makes_is_not_judged() -> None:
    assert against_best([[row(), row("a", scheme="float16")]], "tflite", "int8-static") is None


@pytest.mark.parametrize(
    ("other", "beats"),
    [
        (row("a", us=9.5), True),
        (row("a", us=9.8), False),
        (row("a", rms=0.09), True),
        (row("a", rms=0.09, us=10.1), False),
        (row("a", size=980), True),
        (row("a", size=980, rms=0.2), False),
        (row("a", rms=0.01, us=None), False),
        (row("a"), False),
    ],
    ids=[
        "faster",
        "as fast within the slack",
        "more exact",
        "more exact but slower",
        "smaller",
        "smaller but less exact",
        "does not run",
        "equal",
    ],
)
def test_b2_b2_the_pareto_front(other: Row, beats: bool) -> None:
    mine = row()
    assert (beaten_by(mine, [mine, other]) is other) is beats


@pytest.mark.parametrize(
    ("fallen", "rescued", "rescued_us", "kept"),
    [
        (0.90, 0.985, 12.0, True),
        (0.90, 0.979, 12.0, False),
        (0.90, 0.985, 12.6, False),
        (0.96, 0.985, 10.0, False),
    ],
    ids=["brought back", "not far enough", "too slow", "was not lost"],
)
def test_b2_b2_rescue(fallen: float, rescued: float, rescued_us: float, kept: bool) -> None:
    assert Rescued(0.99, fallen, rescued, fallen_us=10.0, rescued_us=rescued_us).kept is kept


@pytest.mark.heavy
@pytest.mark.parametrize("net", ["mobile", "encoder"])
def test_b2_b2_keras_and_pytorch_compute_the_same(net: str) -> None:
    """The tools are compared on one set of weights: what begins as .keras is what begins as .pt2."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("tensorflow")
    import numpy as np

    from benchmarks.quantization_models import float_logits, keras_net, torch_net, with_outliers
    from benchmarks.quantization_nets import NETS

    torch.manual_seed(3)
    model = NETS[net]().eval()
    for name, buffer in model.named_buffers():  # as if it had been trained
        if name.endswith(("running_mean", "running_var")):
            buffer.uniform_(0.5, 1.5)
    images = np.random.default_rng(4).random((3, 28, 28, 1), dtype=np.float32)
    wanted = float_logits(model, images)
    with torch.no_grad():
        model.fold()
    weights = {name: value.numpy() for name, value in model.state_dict().items()}
    twin = keras_net(net, weights)
    found = np.concatenate([np.asarray(twin(image[None])) for image in images])
    assert np.abs(wanted).max() > 0.01
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * float(np.abs(wanted).max()))
    if net == "mobile":
        changed = with_outliers(weights, seed=1)
        assert not np.array_equal(
            changed["convs.block3_expand.conv.weight"], weights["convs.block3_expand.conv.weight"]
        )
        again = float_logits(torch_net(net, changed), images)
        np.testing.assert_allclose(again, wanted, rtol=0, atol=1e-4 * float(np.abs(wanted).max()))


@pytest.mark.heavy
def test_b2_b2_the_program_prints_its_tables(capsys: pytest.CaptureFixture[str]) -> None:
    """From training to judgement, with real tools, on a handful of digits."""
    pytest.importorskip("torch")
    pytest.importorskip("tensorflow")
    from benchmarks.quantization import main

    main(["--quick", "--nets", "mobile", "--schemes", "int8-static", "--formats", "tflite"])
    printed = capsys.readouterr().out
    rows = [line for line in printed.splitlines() if line.startswith("| tflite |")]
    assert {cells.split(" | ")[2] for cells in rows} == {
        "edgekit",
        "edgekit (A/A)",
        "ai-edge-quantizer",
        "tf.lite",
    }
    assert "- rms, tflite int8-static: " in printed
    assert "- auto took " in printed
