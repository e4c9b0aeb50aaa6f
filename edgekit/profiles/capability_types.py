"""Answers of `capabilities.check`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["format", "opset", "operator", "dtype", "libc", "size", "unknown"]


@dataclass(frozen=True)
class CapabilityFinding:
    """One thing about one runtime. `refusal`: it certainly stops the model; otherwise it is worth knowing."""

    runtime: str
    kind: Kind
    refusal: bool
    message: str
    hint: str | None = None


@dataclass(frozen=True)
class Capability:
    """One runtime's answer. `known`: there is a table for it; without one nothing but sizes was looked at."""

    runtime: str
    known: bool
    findings: tuple[CapabilityFinding, ...] = ()

    @property
    def refusals(self) -> tuple[CapabilityFinding, ...]:
        """The reasons why it cannot run the model; empty where nothing known speaks against it."""
        return tuple(finding for finding in self.findings if finding.refusal)

    @property
    def runs(self) -> bool | None:
        """True: by all that the table knows; False: certainly not; None: not known."""
        if self.refusals:
            return False
        return True if self.known else None
