"""One command on one device, or on several: what is printed and which exit code follows."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from edgekit.cli.common import Session, chosen_devices
from edgekit.errors import EdgekitError, SomeDevicesFailed

T = TypeVar("T")


def _itself(result: Any) -> Any:
    return result


def on_devices(
    session: Session,
    work: Callable[[str], T],
    render: Callable[[T], None],
    document: Callable[[T], Any] = _itself,
    exit_code: Callable[[T], int] = lambda _: 0,
    at_once: int = 1,
    on_failure: Callable[[str, EdgekitError], None] | None = None,
) -> None:
    """Do `work(address)` for each chosen device and print `document(result)` or `render(result)`.

    With one device its error is the command's error. With several the document is {"results": [...],
    "failed": [{"device", "error"}]}; the exit code is 6 where some failed, the first failure's own where all
    did. A result may ask for an exit code of its own (a verdict, a gate). `at_once`: how many devices are worked on
    together; results keep the order in which the devices were named. `on_failure` gets each of several devices that
    failed, before anything is printed.
    """
    devices = chosen_devices(session)
    if len(devices) == 1:
        result = work(devices[0])
        session.emit(document(result), lambda _: render(result))
        _exit(exit_code(result))
        return
    results: list[T] = []
    failed: list[tuple[str, EdgekitError]] = []
    for address, outcome in zip(devices, _worked(work, devices, at_once), strict=True):
        if isinstance(outcome, EdgekitError):
            failed.append((address, outcome))
            if on_failure is not None:
                on_failure(address, outcome)
        else:
            results.append(outcome)

    def render_all(_: object) -> None:
        for result in results:
            render(result)

    session.emit(
        {
            "results": [document(result) for result in results],
            "failed": [{"device": address, "error": failure.to_json()} for address, failure in failed],
        },
        render_all,
    )
    if not session.json:
        for address, failure in failed:
            click.echo(f"{address}: {failure.code}: {failure.message}", err=True)
            if failure.hint:
                click.echo(f"  hint: {failure.hint}", err=True)
    if failed:
        _exit(SomeDevicesFailed.exit_code if results else failed[0][1].exit_code)
    # 4 (invalid) beats 5 (gate)
    _exit(min((code for result in results if (code := exit_code(result))), default=0))


def _worked(work: Callable[[str], T], devices: Sequence[str], at_once: int) -> list[T | EdgekitError]:
    """Threads that do not outlive the command: after Ctrl-C nobody waits for a device that does not answer."""
    if at_once == 1:
        return [_outcome(work, address) for address in devices]
    todo: queue.SimpleQueue[int] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[int, T | EdgekitError | BaseException]] = queue.SimpleQueue()
    for index in range(len(devices)):
        todo.put(index)

    def worker() -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                index = todo.get_nowait()
                try:
                    done.put((index, _outcome(work, devices[index])))
                except BaseException as error:
                    done.put((index, error))

    for number in range(min(at_once, len(devices))):
        threading.Thread(target=worker, name=f"edgekit-device-{number}", daemon=True).start()
    outcomes: dict[int, T | EdgekitError] = {}
    while len(outcomes) < len(devices):
        index, outcome = done.get()
        if isinstance(outcome, BaseException) and not isinstance(outcome, EdgekitError):
            raise outcome
        outcomes[index] = outcome
    return [outcomes[index] for index in range(len(devices))]


def _outcome(work: Callable[[str], T], address: str) -> T | EdgekitError:
    try:
        return work(address)
    except EdgekitError as error:
        return error


def _exit(code: int) -> None:
    if code:
        raise click.exceptions.Exit(code)
