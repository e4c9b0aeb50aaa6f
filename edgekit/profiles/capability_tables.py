"""What each runtime can run, as tables: edgekit.runtime/1, YAML files beside this module.

Made by `scripts/capability_tables` from the runtimes themselves. Loaded when asked for, once per process; no runtime
and no ML framework is imported.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from edgekit.errors import BugError
from edgekit.profiles.rules import cpu_numbers

SCHEMA: Final = "edgekit.runtime/1"
FOLDER: Final = Path(__file__).parent / "runtimes"
GLIBC_PATTERN: Final = r"^\d+(\.\d+)+$"
SPANS_PATTERN: Final = r"^(\d{1,4}(-\d{1,4})?(,\d{1,4}(-\d{1,4})?)*)?$"
CUSTOM: Final = "custom::"

Glibc = Annotated[str, msgspec.Meta(pattern=GLIBC_PATTERN)]
Spans = Annotated[str, msgspec.Meta(pattern=SPANS_PATTERN)]


class Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One runtime.

    `version`: of the package that was asked; `versions`: those that the table is for. `formats`: as `convert --to`
    names them. `abis`: processors that it is published for, each with the glibc that the device must have; None where
    edgekit brings a C library; no entry at all where processors do not matter. `dtypes`: of inputs and outputs.
    `opsets`: the highest that it takes, by domain. `instead`: the table that counts on these ABIs.

    `operators` by name: the versions that it has ("1-3,5"), "" where the format has no versions. They are the
    operator's own versions for TFLite, opsets for ONNX, specification versions for Core ML. ONNX operators outside of
    the domain ai.onnx are "domain::name", custom TFLite operators "custom::name".
    """

    schema: Literal["edgekit.runtime/1"]
    runtime: str
    package: str
    version: str
    versions: str
    formats: tuple[str, ...]
    dtypes: tuple[str, ...]
    operators: dict[str, Spans]
    abis: dict[str, Glibc | None] = {}
    instead: dict[str, str] = {}
    delegates: tuple[str, ...] = ()
    opsets: dict[str, int] = {}
    ir_version: int | None = None

    def glibc(self, abi: str | None) -> tuple[int, ...] | None:
        """The C library that a device with this processor must have; None where that is no condition."""
        need = self.abis.get(abi or "")
        return None if need is None else tuple(int(part) for part in need.split("."))

    def has(self, operator: str, version: int | None = None) -> bool:
        """Whether it has an operator; with a version, whether it has that of it."""
        spans = self.operators.get(operator)
        if spans is None or version is None or not spans:
            return spans is not None
        return version in cpu_numbers(spans)


def table_names() -> tuple[str, ...]:
    """The runtimes that have a table, sorted."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))


@cache
def load_table(runtime: str) -> Table | None:
    """The table of a runtime; None where edgekit has none, as for a plug-in's. Raises BugError where it is damaged."""
    if runtime not in table_names():
        return None
    import msgspec.yaml

    try:
        table = msgspec.yaml.decode((FOLDER / f"{runtime}.yaml").read_bytes(), type=Table)
    except (OSError, msgspec.MsgspecError) as error:
        raise BugError(f"the table of what {runtime} can run is damaged: {error}", code="E_BUG") from error
    if table.runtime != runtime:
        raise BugError(f"the table of {runtime} says it is of {table.runtime}", code="E_BUG")
    return table
