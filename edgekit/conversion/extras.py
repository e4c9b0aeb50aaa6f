"""The frameworks, imported on demand; one line and exit 8 where an extra is not installed."""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
import warnings
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from edgekit.errors import HostError, MissingExtra

_FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
# Both libraries write to the terminal from C++ as soon as they are imported, unless told before.
# ONNX Runtime's official builds collect and upload usage data unless told before; edgekit has no telemetry.
_QUIET = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "GLOG_minloglevel": "3",
    "ABSL_MIN_LOG_LEVEL": "3",
    "ORT_DISABLE_TELEMETRY": "1",
}


def need(module: str, extra: str, what: str) -> Any:
    """Import a module of an extra. Raises MissingExtra, or HostError (E_BROKEN_EXTRA) where it does not load."""
    for key, value in _QUIET.items():
        os.environ.setdefault(key, value)
    root = module.partition(".")[0]
    try:
        with quiet():
            return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.partition(".")[0] == root:
            raise MissingExtra(what, extra) from error
        raise _broken(module, extra, error) from error
    except (ImportError, OSError, AttributeError) as error:
        raise _broken(module, extra, error) from error


def _broken(module: str, extra: str, error: BaseException) -> HostError:
    return HostError(
        f"{module} is installed but does not load: {error}",
        code="E_BROKEN_EXTRA",
        hint=f"pip install --force-reinstall 'edgekit-sdk[{extra}]'",
    )


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Drop what foreign code prints, in Python or below it: progress bars, warnings, C++ log lines. What fails is
    raised, not printed. For the whole process: no other thread may want to print meanwhile."""
    nowhere = io.StringIO()
    with contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with _no_stderr():
            yield


@contextlib.contextmanager
def users_code() -> Iterator[None]:
    """What code of the user's prints goes to stderr, from Python or below it: stdout is for edgekit's answer."""
    sys.stdout.flush()
    kept = os.dup(1)
    try:
        os.dup2(2, 1)
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def is_function(text: str) -> bool:
    """Whether data is the user's `package.module:function` rather than a file."""
    return _FUNCTION.fullmatch(text) is not None and not Path(text).exists()


@contextlib.contextmanager
def users_function(text: str) -> Iterator[Any]:
    """What `package.module:name` stands for, importable from the folder that edgekit was started in, for as long as the
    block lasts. It is the user's code that runs here: anything may come out of it, SystemExit too."""
    module, _, name = text.partition(":")
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        with users_code():
            yield getattr(import_module(module), name)
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(here)


@contextlib.contextmanager
def _no_stderr() -> Iterator[None]:
    """File descriptor 2 leads nowhere for a while: what C++ code writes to does not pass through Python."""
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def versions(*packages: str) -> dict[str, str]:
    """Installed versions, of those that are installed."""
    found = {}
    for package in packages:
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found
