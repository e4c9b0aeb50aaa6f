"""Can a profile's runtimes run this model? Answered from the tables of `capability_tables`; no device is asked. Pure.

Only what is certain is a refusal. What a table does not know (a plug-in's runtime, a board's own version, a model
whose format does not tell its operators) is a note.
"""

from __future__ import annotations

from collections.abc import Iterator

from edgekit.errors import InputError
from edgekit.profiles.capability_model import FileSizes, ModelFacts
from edgekit.profiles.capability_operators import missing_operators, too_new_opsets
from edgekit.profiles.capability_tables import Table, load_table
from edgekit.profiles.capability_types import Capability, CapabilityFinding
from edgekit.profiles.schema import Profile

__all__ = ["Capability", "CapabilityFinding", "ModelFacts", "check", "require_runnable"]

TARGET_OF_FORMAT = {"mlpackage": "coreml", "pte": "executorch"}
"""A file's format to the name that `convert --to` and profiles give it, where the two differ."""

_PRECISION = {
    "float32": "float32", "float16": "float16", "int8-dynamic": "int8", "int8-weight-only": "int8",
    "int8-static": "int8", "int16x8": "int16", "int4-weight-only": "int4", "int4-blockwise": "int4", "mixed": "int8",
}  # fmt: skip


def check(
    profile: Profile,
    *,
    format: str,  # noqa: A002  the word that profiles and manifests use
    info: ModelFacts | None,
    recipe: str,
    runtime: str | None = None,
    glibc: tuple[int, ...] | None = None,
) -> tuple[Capability, ...]:
    """One answer for each runtime of the profile, in its order of preference; of `runtime` alone where given.

    `format`: the result's, as `convert --to` names it or as ModelInfo does. `info`: the result, or the float model
    that the recipe will be applied to; None where nothing is known of it yet. `glibc`: the device's, where known.
    """
    target = TARGET_OF_FORMAT.get(format, format)
    asked = profile.runtimes if runtime is None else (runtime,)
    return tuple(_answer(profile, name, target, info, recipe, glibc) for name in asked)


def require_runnable(
    profile: Profile,
    info: ModelFacts | None,
    format: str,  # noqa: A002
    recipe: str,
    *,
    runtime: str | None = None,
    glibc: tuple[int, ...] | None = None,
) -> tuple[str, ...]:
    """What a user should know about running the result; empty where all is well. The runtimes are asked in order of
    preference, up to the first that is known to run it.

    Raises InputError where no runtime of the profile can run it, each with its reason: E_UNSUPPORTED_FORMAT,
    E_UNSUPPORTED_OPSET, E_UNSUPPORTED_OPERATOR (names every one), E_UNSUPPORTED_DTYPE, E_UNSUPPORTED_LIBC,
    E_MODEL_TOO_LARGE.
    """
    answers = check(profile, format=format, info=info, recipe=recipe, runtime=runtime, glibc=glibc)
    if not answers:
        return (f"profile {profile.name} names no runtime, so whether one can run this was not checked",)
    if all(answer.refusals for answer in answers):
        raise _refused(profile, answers)
    notes: list[str] = []
    for answer in answers:
        if answer.refusals:
            telling = [refusal for refusal in answer.refusals if refusal.kind != "format"]
            notes += [f"{answer.runtime} cannot run this: {refusal.message}" for refusal in telling]
            continue  # one that is for another format is nothing that a user should know
        notes += [finding.message for finding in answer.findings]
        if answer.known:
            break  # this is the one that will be taken; what the later ones would say is of no use
    return tuple(dict.fromkeys(notes))


def _refused(profile: Profile, answers: tuple[Capability, ...]) -> InputError:
    # a runtime that takes the format at all says more about what to do than one that does not
    telling = [answer for answer in answers if answer.refusals[0].kind != "format"] or list(answers)
    reasons = "; ".join(refusal.message for answer in telling for refusal in answer.refusals)
    first = telling[0].refusals[0]
    return InputError(
        f"nothing of profile {profile.name} can run this: {reasons}",
        code={
            "format": "E_UNSUPPORTED_FORMAT",
            "opset": "E_UNSUPPORTED_OPSET",
            "operator": "E_UNSUPPORTED_OPERATOR",
            "dtype": "E_UNSUPPORTED_DTYPE",
            "libc": "E_UNSUPPORTED_LIBC",
            "size": "E_MODEL_TOO_LARGE",
        }[first.kind],
        hint=first.hint,
    )


def _answer(
    profile: Profile,
    runtime: str,
    target: str,
    info: ModelFacts | None,
    recipe: str,
    glibc: tuple[int, ...] | None,
) -> Capability:
    table = load_table(runtime)
    findings = [*_memory(profile, runtime, info, recipe), *_precision(profile, runtime, recipe)]
    if table is None:
        message = f"what {runtime} can run is not known here, so it was not checked"
        return Capability(runtime, False, (CapabilityFinding(runtime, "unknown", False, message), *findings))
    table = load_table(table.instead.get(profile.device.abi or "", runtime)) or table
    if target not in table.formats:
        return Capability(runtime, True, (_wrong_format(profile, runtime, table, target),))
    if info is not None:
        findings = [
            *too_new_opsets(runtime, table, info),
            *missing_operators(runtime, table, target, info),
            *_dtypes(runtime, table, info),
            *findings,
        ]
    return Capability(runtime, True, (*findings, *_libc(profile, runtime, table, glibc)))


def _wrong_format(profile: Profile, runtime: str, table: Table, target: str) -> CapabilityFinding:
    runnable = [name for name in profile.formats if name in table.formats] or list(table.formats)
    return CapabilityFinding(
        runtime,
        "format",
        True,
        f"{runtime} runs {', '.join(table.formats)}, not {target}",
        f"convert to it with --to {runnable[0]}, or name a runtime for {target} in the profile",
    )


def _dtypes(runtime: str, table: Table, info: ModelFacts) -> Iterator[CapabilityFinding]:
    if info.signature is None:
        return
    tensors = [*info.signature.inputs, *info.signature.outputs]
    wrong = [f"{tensor.name} ({tensor.dtype})" for tensor in tensors if tensor.dtype not in table.dtypes]
    if wrong:
        yield CapabilityFinding(
            runtime,
            "dtype",
            True,
            f"{runtime} has no inputs or outputs of the type of {', '.join(wrong)}",
            f"export the model with inputs and outputs of one of {', '.join(table.dtypes)}",
        )


def _libc(
    profile: Profile, runtime: str, table: Table, glibc: tuple[int, ...] | None
) -> Iterator[CapabilityFinding]:
    abi = profile.device.abi
    if abi and table.abis and abi not in table.abis:
        message = f"{table.package} is not published for {abi}: {runtime} must be there already"
        yield CapabilityFinding(runtime, "libc", False, message)
    need = table.glibc(abi)
    if need is None:
        return
    least = ".".join(map(str, need))
    if glibc is None:
        message = f"{table.package} on {abi} needs glibc {least} or newer, which was not checked"
        yield CapabilityFinding(runtime, "libc", False, message)
    elif glibc < need:
        yield CapabilityFinding(
            runtime,
            "libc",
            True,
            f"{table.package} on {abi} needs glibc {least} or newer, the device has {'.'.join(map(str, glibc))}",
            "use the runtime litert (or onnxruntime), which brings its own C library, or a newer system on the device",
        )


def _precision(profile: Profile, runtime: str, recipe: str) -> Iterator[CapabilityFinding]:
    listed = profile.precisions.get(runtime)
    precision = _PRECISION.get(recipe)
    if listed and precision and precision not in listed:
        message = f"profile {profile.name} does not list {precision} for {runtime}"
        yield CapabilityFinding(runtime, "dtype", False, message)


def _memory(
    profile: Profile, runtime: str, info: ModelFacts | None, recipe: str
) -> Iterator[CapabilityFinding]:
    if info is None:
        return
    sizes = FileSizes.of(info, recipe)
    memory, limit = profile.device.memory_bytes, profile.limits.model_size_bytes
    if memory is not None and sizes.least_bytes > memory:
        yield CapabilityFinding(
            runtime,
            "size",
            True,
            f"the model alone is at least {_mb(sizes.least_bytes)}, the device's memory {_mb(memory)}",
            "use a smaller model or a recipe that makes it smaller (--recipe int8-dynamic)",
        )
    elif memory is not None and sizes.loaded_bytes > memory // 2:
        message = (
            f"the model needs some {_mb(sizes.loaded_bytes)}, more than half of the device's {_mb(memory)}"
        )
        yield CapabilityFinding(runtime, "size", False, message)
    if limit is not None and sizes.least_bytes > limit:
        message = (
            f"the model is at least {_mb(sizes.least_bytes)}; the profile's limits.model_size is {_mb(limit)}, "
            "and push and bench will fail by it"
        )
        yield CapabilityFinding(runtime, "size", False, message)


def _mb(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.1f} MB"
