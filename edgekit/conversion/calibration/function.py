"""Samples from a function of the user's: `package.module:function`, called without arguments for each pass."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from edgekit.conversion.extras import users_code, users_function
from edgekit.conversion.naming import short
from edgekit.errors import EdgekitError, InputError
from edgekit.models.info import TensorSpec

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_END = object()


class FunctionFeed:
    """A function that yields samples: an array (of a model with one input), a tuple in model order, or a dict by name.
    The data's hash is of the samples that the first pass saw."""

    count: int | None = None

    def __init__(self, text: str, inputs: Sequence[TensorSpec], *, trust: bool) -> None:
        """Raises InputError E_UNTRUSTED, E_CALIBRATION (it cannot be imported)."""
        if not trust:
            raise InputError(
                f"{text} is code, which would run here",
                code="E_UNTRUSTED",
                hint="where it is your own, give --trust",
            )
        self.name, self.where, self._names = text, f"calibration data {text}", [spec.name for spec in inputs]
        self._digest = ""
        try:
            with users_function(text) as found:
                self._function = found
        except (Exception, SystemExit) as error:
            raise InputError(
                f"{text} cannot be imported: {short(error)}",
                code="E_CALIBRATION",
                hint="it must be importable from here",
            ) from error

    @property
    def sha256(self) -> str:
        return self._digest

    def __iter__(self) -> Iterator[tuple[Array, ...]]:
        """Raises InputError: E_CALIBRATION (the user's code failed), E_DATA_CHANGED (it gave other samples than the first
        time)."""
        import numpy as np

        digest = hashlib.sha256()
        samples = self._called(lambda: iter(self._function()))
        index = 0
        while (given := self._called(lambda: next(samples, _END))) is not _END:
            sample = self._called(partial(self._in_order, np, given, index))
            for array in sample:
                digest.update(f"{array.dtype.str}{array.shape}".encode())
                digest.update(np.ascontiguousarray(array).tobytes())
            yield sample
            index += 1
        if not self._digest:
            self._digest = digest.hexdigest()
        elif self._digest != digest.hexdigest():
            raise InputError(
                f"{self.where} gave other samples the second time",
                code="E_DATA_CHANGED",
                hint="seed what it draws from: it is called once for each pass",
            )

    def _called(self, step: Any) -> Any:
        try:
            with users_code():
                return step()
        except EdgekitError:
            raise
        except (Exception, SystemExit) as error:  # the user's code: anything may come out of it
            raise InputError(
                f"{self.name} failed: {type(error).__name__}: {short(error)}",
                code="E_CALIBRATION",
                hint="it is called without arguments and yields one sample after the other",
            ) from error

    def _in_order(self, np: Any, given: Any, index: int) -> tuple[Array, ...]:
        if isinstance(given, Mapping):
            missing = [name for name in self._names if name not in given]
            if missing or len(given) != len(self._names):
                raise InputError(
                    f"{self.where}: sample {index} has {', '.join(map(str, given))}; the model's inputs are"
                    f" {', '.join(self._names)}",
                    code="E_DATA_NAMES",
                )
            given = tuple(given[name] for name in self._names)
        arrays = given if isinstance(given, tuple | list) else (given,)
        return tuple(np.asarray(array) for array in arrays)
