"""The results store as measurements take it: looked at before anything is measured, and given each run.

`store` is what `bench` takes: True or None for the user's results, a path for another file, False to keep nothing.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.cache import atomic_write
from edgekit.errors import HostError

if TYPE_CHECKING:
    from edgekit.records import Record, Samples
    from edgekit.results.store import Store


def open_store(store: str | Path | bool | None) -> Store:
    """The results store. Raises StoreError."""
    from edgekit.results.store import Store

    return Store(None if isinstance(store, bool) else store)


def check_store(store: str | Path | bool | None, *, writable: bool = False) -> None:
    """Before a measurement: a store that cannot be opened costs no run; `writable`: nor does one that is read-only. Raises
    StoreError, HostDiskFull."""
    if store is False:
        return
    found = open_store(store)
    if writable:
        found.check_writable()


def keep(
    record: Record, samples: Samples, store: str | Path | bool | None, *, ends: str | None = None
) -> None:
    """Add a run to the results store; `ends`: what it was called there while it was under way. Raises StoreError or
    HostDiskFull; the record is then in a file beside, which the hint names."""
    if store is False:
        return
    try:
        open_store(store).add(record, samples, ends=ends)
    except HostError as error:
        error.hint = f"{error.hint or ''}; {_rescue(record)}".removeprefix("; ")
        raise


def _rescue(record: Record) -> str:
    """A measurement is not lost because its store is full."""
    from edgekit.records import encode

    path = Path(tempfile.gettempdir()) / f"edgekit-{record.id}.json"
    try:
        atomic_write(path, encode(record))
    except HostError:
        return "the record could not be saved elsewhere either"
    return f"the record is in {path}"
