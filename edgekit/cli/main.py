"""The command `edgekit`: a table of commands, each imported only when it is called.

`--help` and `--version` import click and nothing else of weight (A-b4), so the one-line helps are here.
"""

from __future__ import annotations

import errno
import importlib
import os
import signal
from typing import TYPE_CHECKING, Any

import click

from edgekit.cli import output, signals
from edgekit.cli.signals import EXIT_BY_SIGNAL, Expired, Signalled, expiry_behind

if TYPE_CHECKING:
    from edgekit.errors import EdgekitError

COMMANDS: dict[str, tuple[str, str]] = {
    "devices": ("devices", "What is attached or configured, and its state."),
    "doctor": ("doctor", "What is wrong with this host or a device, and what mends it."),
    "profile": ("profile", "List, show, check and write device profiles."),
    "recipe": ("recipe", "List, show and check quantization recipes."),
    "inspect": ("inspect", "A model file: format, signature, operators, quantization."),
    "convert": ("convert", "Quantize and convert a model for a profile, verified."),
    "push": ("push", "Put a model on a device, verified, switched atomically."),
    "releases": ("releases", "The models on a device and which version is active."),
    "rollback": ("releases", "Make an earlier version active again; nothing is sent."),
    "remove": ("releases", "Delete a release from a device."),
    "gc": ("gc", "Free space on a device: old releases, failed ones, unused runtimes."),
    "uninstall": ("releases", "Remove edgekit and all its releases from a device."),
    "bench": ("bench", "Measure a model on a device."),
    "compare": ("compare", "One model against another on the same device, interleaved."),
    "run": ("run", "Convert, verify, push, measure and report in one go."),
    "meters": ("meters", "What a device can tell of its power, and what more would take."),
    "rerun": ("rerun", "A kept run once more by the same plan, and what changed."),
    "unplugged": ("unplugged", "Measure while the cable is out, and fetch the result afterwards."),
    "watch": ("watch", "A device's heat, frequencies and power, live."),
    "results": ("results", "List, show and export kept runs."),
    "report": ("report", "One self-contained HTML page for runs."),
    "dashboard": ("dashboard", "The results store in a browser; takes runs that others push."),
    "cache": ("cache", "What edgekit keeps on this host; fetch runtimes for offline use."),
    "plugins": ("plugins", "What is registered: sources, targets, transports, runtimes."),
}


class LazyGroup(click.Group):
    """Finds commands in the table above and imports them on demand."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"edgekit.cli.commands.{COMMANDS[cmd_name][0]}")
        found: click.Command = getattr(module, cmd_name)
        return found

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        with output.pipes():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        with output.pipes():
            return super().invoke(ctx)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            import difflib

            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            if near:
                raise click.UsageError(f"{error.message} Did you mean '{near[0]}'?", ctx) from error
            raise

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_text) for name, (_, help_text) in COMMANDS.items()])


def _print_version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from edgekit._version import __version__

        click.echo(f"edgekit {__version__}")
        ctx.exit()


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Addresses: local:   ssh://[USER@]HOST[:PORT]   adb:SERIAL   adb+ssh://HOST/SERIAL   a name from edgekit.yaml",
)
@click.option("-V", "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version)
def cli() -> None:
    """Take a trained model to a phone or a board and come back with numbers one can trust."""


def run(args: list[str]) -> int:
    """One command line; returns the exit code. Nothing that edgekit raises gets past here, and neither does
    an output that cannot be written."""
    signals.answered = False
    output.prepare()
    as_json = "--json" in args
    color = "--no-color" not in args and "NO_COLOR" not in os.environ
    try:
        code = _outcome(args, as_json, color)
        output.flush()
    except (BrokenPipeError, output.PipeClosed):
        output.give_up()
        return output.EXIT_PIPE_CLOSED
    except OSError as error:
        return output.unwritable(error, as_json=as_json, color=color)
    return code


def _outcome(args: list[str], as_json: bool, color: bool) -> int:
    """Raises OSError where the output cannot be written."""
    from edgekit.errors import EdgekitError

    try:
        _refuse_undecodable(args)
        result = cli.main(args=args, prog_name="edgekit", standalone_mode=False, obj=tuple(args))
        return result if isinstance(result, int) else 0
    except click.exceptions.Exit as error:
        return error.exit_code
    except SystemExit as error:
        if isinstance(error.__context__, BrokenPipeError):  # what rich makes of a closed pipe
            raise error.__context__ from None
        raise
    except click.ClickException as error:
        return _usage(error, as_json)
    except (click.Abort, KeyboardInterrupt):
        return _ended_by(signal.SIGINT, as_json)
    except Signalled as error:
        return _ended_by(error.number, as_json)
    except BrokenPipeError:
        raise
    except EdgekitError as error:
        # where cleaning up failed after a signal or a deadline, that is still the reason
        if signals.came is not None:
            return _ended_by(signals.came, as_json)
        from edgekit.cli.common import fail

        expiry = expiry_behind(error)
        return fail(error if expiry is None else _too_late(expiry), as_json=as_json, color=color)
    except Expired as error:
        from edgekit.cli.common import fail

        return fail(_too_late(error), as_json=as_json, color=color)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        return _bug(args, error, as_json, color)
    except Exception as error:  # the last resort: a bug is said to be one, with where it happened
        return _bug(args, error, as_json, color)


def _refuse_undecodable(args: list[str]) -> None:
    """Bytes that are no text can be kept in no manifest, record or JSON. Raises InputError E_ENCODING."""
    for text in args:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            from edgekit.errors import InputError

            shown = os.fsencode(text).decode(errors="backslashreplace")
            raise InputError(
                f"an argument is not UTF-8: {shown}", code="E_ENCODING", hint="rename the file, or retype it"
            ) from error


def _bug(args: list[str], error: Exception, as_json: bool, color: bool) -> int:
    if signals.came is not None:
        return _ended_by(signals.came, as_json)
    from edgekit.cli.common import fail
    from edgekit.errors import BugError

    return fail(BugError(_where(error), hint=_bug_hint(args, error)), as_json=as_json, color=color)


def _usage(error: click.ClickException, as_json: bool) -> int:
    if as_json:
        import json

        signals.answered = True
        body = {
            "code": "E_USAGE",
            "message": error.format_message(),
            "hint": None,
            "device": None,
            "transient": False,
        }
        click.echo(json.dumps({"error": body}, indent=2))
    else:
        error.show()
    return error.exit_code if error.exit_code != 1 else 2


def _ended_by(number: int, as_json: bool) -> int:
    name = signal.Signals(number).name
    if as_json and not signals.answered:
        signals.answered = True
        click.echo(signals.interrupted_document(number))
    else:
        click.echo(f"ended by {name}; the device was told to clean up", err=True)
    return EXIT_BY_SIGNAL[signal.Signals(number)]


def _too_late(error: Expired) -> EdgekitError:
    from edgekit.errors import DeviceTimeout

    return DeviceTimeout(
        f"not done within --timeout {error.seconds:g} s", code="E_TIMEOUT", hint="give it more, or see -v"
    )


def _where(error: Exception) -> str:
    import traceback

    frames = traceback.extract_tb(error.__traceback__)
    last = frames[-1] if frames else None
    place = f" ({last.filename.rpartition('edgekit/')[2]}:{last.lineno})" if last else ""
    return f"{type(error).__name__}: {error}{place}"


def _bug_hint(args: list[str], error: Exception) -> str:
    """The traceback goes to a file, not to the terminal."""
    import traceback

    try:
        from edgekit.cache import cache_dir

        path = cache_dir("bugs") / f"{os.getpid()}.txt"
        path.write_text(
            "".join(traceback.format_exception(error)), encoding="utf-8", errors="backslashreplace"
        )
    except Exception:  # the report of a mistake must come through whatever else is broken
        return "this is a mistake in edgekit, please report it"
    return f"this is a mistake in edgekit; please report it with {path}"
