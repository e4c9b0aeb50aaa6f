"""The power of the USB port that a device hangs on, cut for the time of a measurement by `uhubctl`, and given back whatever happens.

A device has nothing to do with it, so its agent cannot give it back. Before a port is switched off, a file in the data folder says
how to switch it on, locked as long as this process lives; the next edgekit that opens a device, or `edgekit doctor`, finds
files without an owner and does what they say.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgekit.cache import data_dir, host_errors
from edgekit.config import UsbPort
from edgekit.errors import EdgekitError, ToolError
from edgekit.events import Event, Sink
from edgekit.parse import ParseError
from edgekit.parse.uhubctl import parse_new_status

PROGRAM = "uhubctl"
SECONDS = 20.0
FOLDER = "usb-power"


def switch_argv(port: UsbPort, action: str) -> list[str]:
    """`action`: on or off. `-l` and `-p` always: without them it would be any port of any hub."""
    return [PROGRAM, "-l", port.location, "-p", str(port.port), "-a", action]


@contextmanager
def power_cut(port: UsbPort, sink: Sink, device: str) -> Iterator[None]:
    """Off for the time of the block. Raises ToolError E_USB_POWER where it cannot be switched off; one that cannot be switched on
    again is a warning, and tried again by the next command."""
    with _noted(port, device) as path:
        try:
            switch(port, "off")
        except ToolError as error:
            if error.transient:
                _give_back(path, port, sink, device)
            else:
                path.unlink()  # nothing was switched
            raise
        except BaseException:
            _give_back(path, port, sink, device)
            raise
        try:
            sink(Event("usb power", f"off: port {port.port} of hub {port.location}", device=device))
            yield
        finally:
            _give_back(path, port, sink, device)


@contextmanager
def _noted(port: UsbPort, device: str) -> Iterator[Path]:
    """What to give back, on disk, and locked before anybody else sees it."""
    folder = data_dir(FOLDER)
    path = folder / f"{secrets.token_hex(8)}.json"
    begun = path.with_suffix(".begun")
    with host_errors(begun):
        note = open(begun, "x")  # noqa: SIM115
    with note:
        with host_errors(begun):
            fcntl.flock(note, fcntl.LOCK_EX)
            json.dump({"location": port.location, "port": port.port, "device": device}, note)
            note.flush()
            os.fsync(note.fileno())
            begun.rename(path)
        yield path


def switch(port: UsbPort, action: str) -> None:
    """Raises ToolError E_USB_POWER with what it said; also where the hub then says that it has not changed. Transient where some
    of it may have: it hung, is not understood, or switched only one side of a hub."""
    argv = switch_argv(port, action)
    hint = f"hubs that can are few: {PROGRAM} alone lists those found; it needs root or a udev rule (docs/measuring.md)"
    program = shutil.which(PROGRAM)
    if program is None:
        raise ToolError(f"{PROGRAM} is not installed", code="E_USB_POWER", hint=f"apt install {PROGRAM}")
    try:
        done = subprocess.run(
            [program, *argv[1:]], capture_output=True, text=True, timeout=SECONDS, errors="replace"
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ToolError(
            f"{' '.join(argv)}: {error}", code="E_USB_POWER", hint=hint, transient=True
        ) from error
    said = (done.stderr.strip() or done.stdout.strip()).splitlines()
    if done.returncode:
        why = said[0][:200] if said else f"exit code {done.returncode}"
        raise ToolError(f"{' '.join(argv)}: {why}", code="E_USB_POWER", hint=hint)
    try:
        powered = parse_new_status(done.stdout)
    except ParseError as error:
        raise ToolError(
            f"{' '.join(argv)}: {error.message}", code="E_USB_POWER", hint=hint, transient=True
        ) from error
    if any(powered.values()) if action == "off" else not any(powered.values()):
        raise ToolError(
            f"{' '.join(argv)}: the hub says that the port {'still has' if action == 'off' else 'has no'} power",
            code="E_USB_POWER",
            hint=hint,
            transient=not all(powered.values()),
        )


def given_back(sink: Sink) -> int:
    """Switch on the ports that commands which are gone left off. Returns how many; what cannot be is a warning. Never raises."""
    return sum(_left(path, sink) for path in notes())


def notes() -> list[Path]:
    """What is off now, or was left so; nothing where the data folder cannot be had."""
    try:
        return sorted(data_dir(FOLDER).glob("*.json"))
    except (EdgekitError, OSError):
        return []


def _left(path: Path, sink: Sink) -> bool:
    try:
        with open(path) as note:
            fcntl.flock(note, fcntl.LOCK_EX | fcntl.LOCK_NB)
            left = json.load(note)
            return _give_back(
                path, UsbPort(location=left["location"], port=left["port"]), sink, left["device"]
            )
    except (BlockingIOError, FileNotFoundError):
        return False  # its owner lives, or another command was first
    except (OSError, ValueError, KeyError, TypeError) as error:
        sink(Event("usb power", f"{path} says nothing: {error}", level="warning"))
        return False


def _give_back(path: Path, port: UsbPort, sink: Sink, device: str) -> bool:
    try:
        switch(port, "on")
    except ToolError as error:
        sink(Event("usb power", f"not given back: {error.message}", device=device, level="warning"))
        return False
    path.unlink(missing_ok=True)
    sink(Event("usb power", f"on again: port {port.port} of hub {port.location}", device=device))
    return True
