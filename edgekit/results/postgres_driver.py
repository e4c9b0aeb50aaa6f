"""A psycopg connection whose server has to answer in time. Needs the extra `postgres`.

A server that is stopped, or hangs on its disk, acknowledges what it gets (its kernel does) and says nothing more: no timeout of
libpq ends that, and its own statement_timeout runs on the server that hangs.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any, TypeVar

import psycopg
from sqlalchemy import Engine, event

Result = TypeVar("Result")


class AnsweredConnection(psycopg.Connection[Any]):
    """Closed where the server says nothing for `answer_s`: with that what was under way there ends sooner or later as well."""

    answer_s: float = 0.0

    def wait(self, gen: Generator[Any, Any, Result], *more: Any, **named: Any) -> Result:
        """All that psycopg asks of a server goes through here (psycopg's `Connection.wait`), but for connecting, which has
        `connect_timeout`."""
        try:
            return super().wait(_in_time(gen, self.answer_s), *more, **named)
        except SilentServer:
            self.close()
            raise


class SilentServer(psycopg.OperationalError):
    """The server took what was sent and did not answer."""


def answered(engine: Engine, answer_s: float) -> None:
    """Let the engine's connections wait no longer than this for an answer."""

    @event.listens_for(engine, "do_connect")
    def connect(_dialect: Any, _record: Any, arguments: Any, parameters: Any) -> AnsweredConnection:
        connection = AnsweredConnection.connect(*arguments, **parameters)
        connection.answer_s = answer_s
        return connection


def _in_time(gen: Generator[Any, Any, Result], answer_s: float) -> Generator[Any, Any, Result]:
    """psycopg sends 0 where nothing came for a tenth of a second."""
    ends = time.monotonic() + answer_s
    try:
        state = next(gen)
        while True:
            ready = yield state
            if not ready and time.monotonic() > ends:
                raise SilentServer(f"the server does not answer: nothing came for {answer_s:g} s")
            state = gen.send(ready)
    except StopIteration as end:
        result: Result = end.value
        return result
