"""One launch of several processes at once: all of them end well, or the launch has failed."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from typing import TYPE_CHECKING

from edgekit.deployment.launching import START_SECONDS, Launched, no_program, read_launched
from edgekit.deployment.runtime_there import Installed
from edgekit.devices import Device
from edgekit.errors import DeviceError, EdgekitError, ModelError, RemoteError
from edgekit.runtimes.base import RunnerJob, Runtime

if TYPE_CHECKING:
    from edgekit.agent.running import Running

WAITS = 2
"""A stream may wait for the slowest to load as long as it may run."""


def launch_streams(
    device: Device, installed: Installed, jobs: Sequence[RunnerJob], *, cwd: str, nice: int | None = None
) -> list[Launched]:
    """Start a process for each job, all at once, and wait for all of them.

    Raises what `launch` raises, of the stream that failed first, named in the message; the others are ended then.
    """
    runtime = installed.runtime
    assert isinstance(runtime, Runtime)  # a tool cannot wait for others: this is refused before
    with ExitStack() as stack:
        running = []
        for job in jobs:
            argv, env = runtime.command(installed.bundle, installed.folder, job)
            one = device.agent.start_run(argv, env=env, cwd=cwd, nice=nice, deadline_s=_deadline_s(job))
            running.append((stack.enter_context(one), dict(env)))
        with ThreadPoolExecutor(len(running), "edgekit-stream") as pool:
            try:
                futures = [
                    pool.submit(_ended, device, installed, *one, _deadline_s(jobs[0])) for one in running
                ]
                done, _ = wait(futures, return_when=FIRST_EXCEPTION)
                failed = _first_failure(futures, done)
                if failed is not None:
                    raise failed
            except BaseException:
                # else the pool would wait for those that wait for the one that is gone
                for one, _ in running:
                    _cancel(one)
                raise
        return [future.result() for future in futures]


def _deadline_s(job: RunnerJob) -> float:
    return WAITS * job.max_seconds + START_SECONDS


def _ended(
    device: Device, installed: Installed, running: Running, env: dict[str, str], deadline_s: float
) -> Launched:
    try:
        process = running.wait()
    except RemoteError as error:
        raise no_program(error, running.argv, device.address) from error
    return read_launched(device, installed, running.argv, env, process, deadline_s)


def _first_failure(futures: Sequence[Future[Launched]], done: set[Future[Launched]]) -> BaseException | None:
    for index, future in enumerate(futures):
        error = future.exception() if future in done else None
        if isinstance(error, ModelError | DeviceError):
            error.message = f"stream {index + 1} of {len(futures)}: {error.message}"
        if error is not None:
            return error
    return None


def _cancel(running: Running) -> None:
    try:
        running.cancel()
    except EdgekitError:
        pass  # the link is gone, and with it the process
