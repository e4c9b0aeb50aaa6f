"""What open pages listen to: a newer run, a measurement that begins, goes on or ends (server-sent events)."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator
from math import inf

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from edgekit.errors import EdgekitError
from edgekit.results.store import Store
from edgekit.results.under_way import digest
from edgekit.web.listing import newest_run

PERIOD_S = 2.0
QUIET_S = 15.0


class News:
    """Of one store, for all pages that are open: however many they are, the store is asked about once a second."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._read_at = -inf
        self._state: dict[str, str] = {}

    def state(self) -> dict[str, str]:
        """`newest`: the newest run's id; `under-way`: a digest of what is being measured. Raises StoreError."""
        with self._lock:
            if time.monotonic() - self._read_at >= PERIOD_S / 2:
                self._state = {
                    "newest": newest_run(self._store),
                    "under-way": digest(self._store.under_way()),
                }
                self._read_at = time.monotonic()
            return self._state

    async def stream(self, request: Request) -> AsyncIterator[str]:
        """The state as it is, then what changes, as JSON. Something every 15 s, so that a dead link is noticed.
        Where the store does not answer it ends: browsers ask again a few seconds later."""
        known: dict[str, str] = {}
        quiet_s = 0.0
        while not await request.is_disconnected():
            try:
                state = await run_in_threadpool(self.state)
            except EdgekitError:
                return
            for name, found in state.items():
                if known.get(name) != found:
                    known[name], quiet_s = found, 0.0
                    yield f"event: {name}\ndata: {json.dumps(found)}\n\n"
            if quiet_s >= QUIET_S:
                quiet_s = 0.0
                yield ": still here\n\n"
            await asyncio.sleep(PERIOD_S)
            quiet_s += PERIOD_S
