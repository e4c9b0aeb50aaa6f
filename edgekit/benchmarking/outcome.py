"""What a benchmark gives: the record, what the gates said, and the exit code that follows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from edgekit.benchmarking.gates import GateResult
from edgekit.errors import EdgekitError, GateError, VerdictError
from edgekit.records import Record, decode, to_builtins

BESIDE = ("gates", "second_run", "second_verdict")
"""Keys that `Outcome.document` puts beside those of the record: `Outcome.beside`."""


@dataclass(frozen=True)
class Outcome:
    record: Record
    gates: tuple[GateResult, ...] = ()
    second: Record | None = None
    """The run that was measured again, because a gate against a baseline failed."""

    def document(self) -> dict[str, Any]:
        """The record as JSON knows it, with the gates beside it."""
        return {**to_builtins(self.record), **self.beside()}

    def beside(self) -> dict[str, Any]:
        """What `BESIDE` names, as JSON knows it, where there is any."""
        found: dict[str, Any] = {}
        if self.gates:
            found["gates"] = msgspec.to_builtins(self.gates)
        if self.second is not None:
            found["second_run"] = self.second.id
            found["second_verdict"] = msgspec.to_builtins(self.second.verdict)
        return found

    def exit_code(self, *, strict: bool = False) -> int:
        """0, or 4 where the verdict is invalid (with `strict` also suspect), or 5 where a gate failed or a
        regression was confirmed. Of two measurements the worse verdict counts."""
        states = {run.verdict.state for run in (self.record, self.second) if run is not None}
        if "invalid" in states or (strict and "suspect" in states):
            return VerdictError.exit_code
        if not all(gate.passed for gate in self.gates):
            return GateError.exit_code
        return 0


@dataclass(frozen=True)
class Configured:
    """By thread count, as they were asked for: what was measured, or why the model does not run with so many."""

    results: tuple[tuple[int, Outcome | EdgekitError], ...]

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        return tuple(one for _, one in self.results if isinstance(one, Outcome))

    @property
    def failed(self) -> tuple[tuple[int, EdgekitError], ...]:
        return tuple((threads, one) for threads, one in self.results if isinstance(one, EdgekitError))

    def document(self) -> dict[str, Any]:
        """As JSON knows it; `failed` only where there is one."""
        document: dict[str, Any] = {"records": [outcome.document() for outcome in self.outcomes]}
        if self.failed:
            document["failed"] = [
                {"threads": threads, "error": error.to_json()} for threads, error in self.failed
            ]
        return document

    def exit_code(self, *, strict: bool = False) -> int:
        """The worst: that of one that does not run, else 4 (a verdict), else 5 (a gate), else 0."""
        if self.failed:
            return self.failed[0][1].exit_code
        codes = [outcome.exit_code(strict=strict) for outcome in self.outcomes]
        return min((code for code in codes if code), default=0)


def decode_printed(data: bytes) -> Record:
    """A record as it stands in a file, or as `bench --json` and `run --json` print it. Raises InputError E_RECORD."""
    try:
        document = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return decode(data)
    if not isinstance(document, dict):
        return decode(data)
    if isinstance(inner := document.get("record"), dict):  # of `run`, beside what it converted and pushed
        document = inner
    return decode(msgspec.json.encode({key: value for key, value in document.items() if key not in BESIDE}))
