"""Operator profiles of benchmark_model and trtexec, read into the one table (D1.8)."""

from __future__ import annotations

import pytest

from edgekit.parse import ParseError
from edgekit.parse.benchmark_ops import parse_op_profile
from edgekit.parse.litert_profile import parse_litert_profile
from edgekit.parse.onnxruntime_profile import parse_onnxruntime_profile
from edgekit.parse.op_profile import OpRow, op_profile
from edgekit.parse.trtexec_json import parse_trtexec_profile
from tests.parse.outputs import output

pytestmark = pytest.mark.base


def test_text_of_2018_with_a_start_column() -> None:
    profile = parse_op_profile(output("op_profile_2018"))
    assert [(row.op, row.avg_us) for row in profile.rows] == [
        ("CONV_2D", 4269.0),
        ("DEPTHWISE_CONV_2D", 2150.0),
        ("CONV_2D", 6107.0),
        ("DEPTHWISE_CONV_2D", 1366.0),
    ]
    assert profile.rows[0].node == "MobilenetV1/MobilenetV1/Conv2d_0/Relu6"
    assert (profile.rows[0].unit, profile.rows[0].calls, profile.rows[0].index) == ("cpu", None, None)
    # the tool's own percentages are of the sum over all runs: useless
    assert sum(row.share or 0 for row in profile.rows) == pytest.approx(1.0)
    assert profile.runs == 50


def test_text_of_litert_in_the_middle_of_its_output() -> None:
    profile = parse_op_profile(output("op_profile_litert"))
    gemm = profile.rows[3]
    assert (gemm.op, gemm.node, gemm.index) == (
        "Fully Connected (NC, F32) GEMM",
        "Delegate/Fully Connected (NC, F32) GEMM",
        1,
    )
    assert gemm.avg_us == 1269.0
    # what ran once before the inferences has no time per inference
    assert (profile.rows[1].op, profile.rows[1].avg_us, profile.rows[1].share) == (
        "AllocateTensors",
        None,
        None,
    )
    assert gemm.share == pytest.approx(1269 / (18 + 4 + 1269 + 16))


def test_csv_takes_the_runs_not_the_initialization_and_keeps_delegates_inside_apart() -> None:
    profile = parse_op_profile(output("op_profile_csv"))
    assert [(row.op, row.node, row.index, row.unit) for row in profile.rows] == [
        ("TfLiteNnapiDelegate", None, 64, None),
        ("RESIZE_NEAREST_NEIGHBOR", "resize, resize_1", 38, "cpu"),
        ("TfLiteNnapiDelegate", None, 65, None),
    ]
    assert profile.rows[0].share == pytest.approx(4.011 / 6.465)
    # commas in a type are not escaped
    assert [row.op for row in profile.inner] == [
        "Fully Connected (NC, F32) GEMM",
        "Convolution (NHWC, QC8) IGEMM",
    ]


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("op_profile_csv", "Number of nodes executed: 3", "Number of nodes executed: 4"),
        ("op_profile_csv", "Number of nodes executed: 3\n", ""),
        ("op_profile_csv", "node type, first, avg_ms,", "node type, first, average,"),
        ("op_profile_csv", "0.052, 0.058", "0.052, zero"),
        ("op_profile_csv", "0.052, 0.058", "0.052, -0.058"),
        ("op_profile_csv", "Operator-wise Profiling Info", "Profiling Info for Benchmark Initialization"),
        ("op_profile_2018", "\t    4.269\t    4.269", "\t    4.269"),
        ("op_profile_2018", "[node type]\t  [start]", "[start]\t  [node type]"),
    ],
)
def test_a_profile_that_is_not_whole(name: str, old: str, new: str) -> None:
    text = output(name)
    assert old in text
    with pytest.raises(ParseError):
        parse_op_profile(text.replace(old, new))


def test_an_output_without_a_profile_has_none() -> None:
    with pytest.raises(ParseError, match="no profile of the runs"):
        parse_op_profile(output("benchmark_model_2024"))


def test_trtexec_layers_with_and_without_medians() -> None:
    profile = parse_trtexec_profile(output("trtexec_profile").encode())
    assert profile.runs == 625
    first, conv, needless = profile.rows
    assert (conv.node, conv.avg_us, conv.median_us) == ("Conv_0 + PWN(Clip_3)", 66.2771, 66.1)
    assert needless.avg_us == 0.0
    assert (first.share or 0) + (conv.share or 0) == pytest.approx(1.0)
    older = parse_trtexec_profile(output("trtexec_profile_old").encode())
    assert [row.median_us for row in older.rows] == [None, None, None]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b'[{"name": "a", "averageMs": 1}]',
        b'[{"count": 1}, {"name": "a"}]',
        b'[{"count": 1}, {"name": "a", "averageMs": -1}]',
        b'[{"count": 1}, {"name": "a", "averageMs": NaN}]',
        b'[{"count": 1}, {"name": "a", "averageMs": 1e300}]',
        b'[{"count": -1}]',
    ],
)
def test_trtexec_layers_that_cannot_be(data: bytes) -> None:
    with pytest.raises(ParseError):
        parse_trtexec_profile(data)


def test_onnxruntime_nodes_of_the_main_graph_and_inside_of_it() -> None:
    """Without the first inference; branches and a loop's rounds are counted in the node that holds them."""
    profile = parse_onnxruntime_profile(output("onnxruntime_profile").encode())
    assert profile.runs == 2
    assert [(row.op, row.node, row.index, row.unit, row.calls) for row in profile.rows] == [
        ("If", "the if", 0, "cpu", 1.0),
        ("Loop", "the loop", 1, "cpu", 1.0),
        ("Neg", "Neg_2", 2, "cpu", 1.0),
    ]
    # the branch of one inference, that of the other, and three rounds in one of the two
    assert [(row.op, row.calls) for row in profile.inner] == [
        ("Exp", 0.5),
        ("Tanh", 0.5),
        ("Sin", 1.5),
        ("Identity", 1.5),
    ]
    assert profile.inner[0].node == 'in "quo\\te Exp'
    inside = sum(row.avg_us or 0 for row in profile.inner[2:])
    assert 0 < inside <= (profile.rows[1].avg_us or 0)


def test_onnxruntime_profile_that_stopped_in_an_inference() -> None:
    """Its profiler takes a million events: an inference that has no end in the file is left out."""
    text = output("onnxruntime_profile")
    last = text.rindex('{"cat" : "Session"')
    cut = text[:last].rstrip().rstrip(",") + "\n]\n"
    assert parse_onnxruntime_profile(cut.encode()).runs == 1
    # one inference alone is all there is
    first = text.index('"model_run"')
    alone = text[: text.index("}}", first) + 2] + "\n]\n"
    assert parse_onnxruntime_profile(alone.encode()).runs == 1


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"model_run"', '"model_walk"'),
        ('"SequentialExecutor::Execute"', '"Execute"'),
        ('"op_name" : "If"', '"op" : "If"'),
        ('"node_index" : "0"', '"node_index" : "zero"'),
        ('"cat" : "Node"', '"cat" : "Other"'),
        ('"dur" :', '"dur" :-'),
    ],
)
def test_an_onnxruntime_profile_that_is_none(old: str, new: str) -> None:
    text = output("onnxruntime_profile")
    assert old in text
    with pytest.raises(ParseError):
        parse_onnxruntime_profile(text.replace(old, new).encode())


def test_litert_operators_and_steps_of_the_delegate() -> None:
    """Steps are numbered from 0 in each part that XNNPACK took: rows are told apart all the same."""
    profile = parse_litert_profile(output("litert_profile").encode())
    assert profile.runs == 2
    kinds = [(row.op, row.index) for row in profile.rows]
    assert kinds.count(("Slice (ND, X8)", 0)) == 3
    assert [row.op for row in profile.rows if row.op.isupper()] == ["CALL_ONCE", *["SPLIT_V"] * 3, "QUANTIZE"]
    assert {row.unit for row in profile.rows} == {"cpu"}
    assert {row.calls for row in profile.rows} == {1.0}
    # the graph of CALL_ONCE ran in the first inference only
    assert profile.inner == ()


def test_litert_delegates_that_tell_their_own_time_hold_their_steps() -> None:
    text = output("litert_profile").replace("[2, 0, 60, ", "[4, 0, 60, ")
    profile = parse_litert_profile(text.encode())
    assert {row.op for row in profile.rows} == {"CALL_ONCE", "SPLIT_V", "QUANTIZE"}
    assert len(profile.inner) > 20


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("edgekit.litert-profile/1", "edgekit.litert-profile/2"),
        ("LiteRT::Run[Buffer sync]", "LiteRT::Run"),
        ("LiteRT::Run[buffer registration]", "LiteRT::Run"),
        ("[2, 0, 60, ", "[2, 0, -60, "),
        ("[8, 0, 0, ", "[8, 0, 0, -1"),
        ("[2, 0, 60, ", "[2, 0, 60, 1, "),
    ],
)
def test_a_litert_profile_that_is_none(old: str, new: str) -> None:
    text = output("litert_profile")
    assert old in text
    with pytest.raises(ParseError):
        parse_litert_profile(text.replace(old, new).encode())


def test_shares_are_of_medians_where_all_rows_have_one() -> None:
    """One slow inference in fifty is in an average, and in no median."""
    rows = [OpRow(op="a", avg_us=90.0, median_us=10.0), OpRow(op="b", avg_us=30.0, median_us=30.0)]
    assert [row.share for row in op_profile(rows).rows] == [0.25, 0.75]
    rows[1] = OpRow(op="b", avg_us=30.0)
    assert [row.share for row in op_profile(rows).rows] == [0.75, 0.25]
    assert [row.share for row in op_profile([OpRow(op="a"), OpRow(op="b", avg_us=3.0)]).rows] == [None, 1.0]
