"""What measured, and what it was asked to do: the part of a record that says how to do the run again."""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

How: TypeAlias = Literal["alone", "compared", "side by side", "unplugged"]


class Host(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The machine that edgekit ran on; no name of it, and none of its user."""

    os: str | None = None
    kernel: str | None = None
    machine: str | None = None
    cpu: str | None = None


class Asked(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was asked for and stands nowhere else in the record, as `edgekit bench` takes it.

    `how`: alone; compared, in pairs with another model; side by side with other thread counts; unplugged. `device`: as the
    user named it. `model`, `inputs`, `evaluation`: paths on the host, absolute; `model`: of the model file or artifact that was put
    there, None where a release was named that was there already. `baseline`: the run that gates were held against, where one
    was named.
    """

    how: How = "alone"
    device: str | None = None
    model: str | None = None
    meter: str | None = None
    inputs: str | None = None
    evaluation: str | None = None
    require_accelerator: bool = False
    runtime_flags: tuple[str, ...] = ()
    op_profile: bool = False
    gates: tuple[str, ...] = ()
    baseline: str | None = None


class Environment(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`argv`: of edgekit, without secrets; None where it was a script's call. `versions`: of Python and of the packages that
    measure, by name. `agent_sha256`: of the program on the device; None where it is simulated. `rerun_of`: the run that
    this one does again."""

    argv: tuple[str, ...] | None = None
    rerun_of: str | None = None
    host: Host = Host()
    versions: dict[str, str] = {}
    agent_sha256: str | None = None
    asked: Asked = Asked()
