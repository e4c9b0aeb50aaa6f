"""What a benchmark gives: the record, what the gates said, and the exit code that follows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from edgekit.benchmarking.gates import GateResult
from edgekit.errors import GateError, VerdictError
from edgekit.records import Record, to_builtins


@dataclass(frozen=True)
class Outcome:
    record: Record
    gates: tuple[GateResult, ...] = ()

    def document(self) -> dict[str, Any]:
        """The record as JSON knows it, with the gates beside it."""
        document = to_builtins(self.record)
        if self.gates:
            document["gates"] = msgspec.to_builtins(self.gates)
        return document

    def exit_code(self, *, strict: bool = False) -> int:
        """0, or 4 where the verdict is invalid (with `strict` also suspect), or 5 where a gate failed."""
        if self.record.verdict.state == "invalid" or (strict and self.record.verdict.state == "suspect"):
            return VerdictError.exit_code
        if not all(gate.passed for gate in self.gates):
            return GateError.exit_code
        return 0
