"""Whether what was asked for is what ran. Pure; for runners and tools alike."""

from __future__ import annotations

from edgekit.errors import VerdictError


def require_accelerator(runtime: str, asked: str, actual: str | None, fully: bool | None) -> None:
    """`actual`: what a launch told of where it ran, `fully`: whether all of the graph was there; None is "not told".

    Raises VerdictError E_ACCELERATOR where `asked` did not run all of it. Not told is a failure too: what is required
    must be proven.
    """
    if actual == asked and (fully is True or actual == "cpu"):
        return
    if actual is None:
        what = "its output does not prove what ran"
    elif actual != asked:
        what = f"it ran on {actual}"
    elif fully is None:
        what = "its output does not prove that all of the graph ran there"
    else:
        what = "only a part of the graph ran there"
    raise VerdictError(
        f"{runtime} was to run on {asked}, but {what}",
        code="E_ACCELERATOR",
        hint="without --require-accelerator it is measured all the same, and the record says what ran",
    )
