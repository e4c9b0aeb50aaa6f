"""What every command shares: its options, where output goes, how an error ends the process.

stdout carries the result (one JSON document with --json); progress and messages go to stderr.
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from edgekit.cli import signals
from edgekit.cli.options import MAX_WAIT_SECONDS, Seconds
from edgekit.cli.progress import ProgressSink
from edgekit.errors import EdgekitError, Finding, InputError
from edgekit.printable import printable_lines

if TYPE_CHECKING:
    from rich.console import Console

    from edgekit.config import Config


@dataclass
class Session:
    """The shared options of one command, as the user gave them."""

    json: bool = False
    verbosity: int = 0
    color: bool = True
    log_file: str | None = None
    timeout: float | None = None
    devices: tuple[str, ...] = ()
    profile: str | None = None
    db: str | None = None
    sink: ProgressSink = field(default_factory=ProgressSink)

    @functools.cached_property
    def config(self) -> Config:
        from edgekit.config import load_config

        return load_config()

    @functools.cached_property
    def console(self) -> Console:
        """For tables and text on stdout; width and colour follow the terminal and NO_COLOR."""
        from rich.console import Console

        return Console(no_color=None if self.color else True, highlight=False)

    @property
    def results(self) -> str | None:
        """The results store: --db where the command has it, else what the settings name; None is the default one."""
        return self.db or self.config.results

    def emit(self, document: Any, render: Callable[[Any], None] | None = None) -> None:
        """The command's result: the document with --json, else `render(document)`."""
        self.sink.stop()
        if self.json:
            text = json.dumps(document, indent=2, default=_plain)
            signals.answered = True
            click.echo(text)
        elif render is not None:
            render(document)


def _plain(value: Any) -> Any:
    import msgspec

    return msgspec.to_builtins(value)


def device_option(*, multiple: bool = False, required: bool = False) -> Callable[[Any], Any]:
    """-d/--device and its short form -s/--serial. What is not given comes from the settings."""
    many = " May be given more than once." if multiple else ""

    def decorate(function: Any) -> Any:
        function = click.option(
            "-s", "--serial", "serials", multiple=True, metavar="SERIAL", help="Short for -d adb:SERIAL."
        )(function)
        return click.option(
            "-d",
            "--device",
            "devices",
            multiple=True,
            metavar="ADDRESS",
            help="Device: local:, ssh://USER@HOST, adb:SERIAL, or a name from edgekit.yaml." + many,
        )(function)

    decorate.multiple = multiple  # type: ignore[attr-defined]
    return decorate


def profile_option(function: Any) -> Any:
    return click.option(
        "-p",
        "--profile",
        metavar="NAME|FILE",
        help="Device profile (default: the one that matches the device).",
    )(function)


def db_option(function: Any) -> Any:
    return click.option(
        "--db",
        metavar="FILE|URL",
        help="The results store: a file, or postgresql://HOST/DATABASE (default: EDGEKIT_RESULTS, else your own file).",
    )(function)


def _shared(function: Any) -> Any:
    options = [
        click.option(
            "--json", "json_output", is_flag=True, help="Print exactly one JSON document on stdout."
        ),
        click.option("-v", "--verbose", count=True, help="Say more."),
        click.option("-q", "--quiet", is_flag=True, help="Say only what is wrong."),
        click.option("--log-file", metavar="FILE", help="Write what happens there, in full."),
        click.option("--no-color", is_flag=True, help="No colours (NO_COLOR works too)."),
        click.option(
            "--timeout", type=Seconds(0.1, MAX_WAIT_SECONDS), metavar="SECONDS", help="For the whole command."
        ),
    ]
    for option in reversed(options):
        function = option(function)
    return function


def command(function: Any) -> Any:
    """Give a command the shared options; it gets them as its first argument, a Session.

    Use below @click.command and its own options, above the function:

        @click.command()
        @device_option()
        @command
        def releases(session: Session, name: str | None) -> None: ...
    """

    @_shared
    @functools.wraps(function)
    def wrapper(
        json_output: bool,
        verbose: int,
        quiet: bool,
        log_file: str | None,
        no_color: bool,
        timeout: float | None,
        devices: tuple[str, ...] = (),
        serials: tuple[str, ...] = (),
        profile: str | None = None,
        db: str | None = None,
        **kwargs: Any,
    ) -> Any:
        verbosity = -1 if quiet else verbose
        session = Session(
            json=json_output,
            verbosity=verbosity,
            color=not no_color,
            log_file=log_file,
            timeout=timeout,
            devices=(*devices, *(f"adb:{serial}" for serial in serials)),
            profile=profile,
            db=db,
            sink=ProgressSink(verbosity=verbosity, color=not no_color, log_file=log_file),
        )
        click.get_current_context().meta["edgekit.session"] = session
        with session.sink, _Deadline(timeout):
            return function(session, **kwargs)

    return wrapper


class _Deadline:
    """The whole command's deadline. SIGALRM reaches the main thread wherever it waits."""

    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds

    def __enter__(self) -> None:
        if self.seconds is not None:
            import signal

            signal.signal(signal.SIGALRM, self._expire)
            signal.setitimer(signal.ITIMER_REAL, self.seconds)

    def __exit__(self, *_: object) -> None:
        if self.seconds is not None:
            import signal

            signal.setitimer(signal.ITIMER_REAL, 0)

    def _expire(self, *_: object) -> None:
        from edgekit.cli.signals import Expired

        raise Expired(self.seconds or 0.0)


def one_device(session: Session) -> str:
    """The one device of a command that takes one. Raises DeviceError where none is named or found."""
    chosen = chosen_devices(session)
    if len(chosen) > 1:
        raise click.UsageError("this command takes one device (-d)")
    return chosen[0]


def chosen_devices(session: Session) -> tuple[str, ...]:
    """-d, else the settings, else the only Android device that is attached."""
    if session.devices:
        return session.devices
    if session.config.device:
        return (session.config.device,)
    return ("adb:",)


def fail(error: EdgekitError, *, as_json: bool, color: bool) -> int:
    """Say what went wrong, and give the exit code."""
    if as_json:
        signals.answered = True
        click.echo(json.dumps({"error": error.to_json()}, indent=2))
        return error.exit_code
    device = error.device or ""
    where = f"{device.removesuffix(':')}: " if device and not error.message.startswith(device) else ""
    mark = click.style("error", fg="red", bold=True) if color and sys.stderr.isatty() else "error"
    click.echo(f"{mark} {error.code}: {printable_lines(where + error.message)}", err=True)
    for finding in getattr(error, "findings", ()):
        click.echo(printable_lines(f"  {finding}"), err=True)
    if error.hint:
        click.echo(printable_lines(f"  hint: {error.hint}"), err=True)
    return error.exit_code


def parse_labels(values: tuple[str, ...]) -> dict[str, str]:
    """`K=V` pairs. Raises InputError E_LABEL."""
    labels = {}
    for text in values:
        key, sep, value = text.partition("=")
        if not sep or not key:
            raise InputError(
                f"a label is KEY=VALUE, not '{text}'",
                code="E_LABEL",
                hint="write --label board=7, for instance",
            )
        labels[key] = value
    return labels


def finding_json(finding: Finding) -> dict[str, Any]:
    """One error of a profile or a recipe."""
    return {"file": finding.file, "line": finding.line, "path": finding.path, "message": finding.message}
