"""Plan, run and judge a measurement."""

from edgekit.benchmarking.gates import Gate, GateResult, parse_gate
from edgekit.benchmarking.outcome import Outcome
from edgekit.benchmarking.plan import BenchOptions, BenchPlan, make_plan
from edgekit.benchmarking.verdict import Evidence, Verdict, judge

__all__ = [
    "BenchOptions",
    "BenchPlan",
    "Evidence",
    "Gate",
    "GateResult",
    "Outcome",
    "Verdict",
    "judge",
    "make_plan",
    "parse_gate",
]
