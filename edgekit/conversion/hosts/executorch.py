"""ExecuTorch programs on this host, with the runtime of the `executorch` package."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.conversion.extras import need, quiet
from edgekit.conversion.naming import short
from edgekit.errors import ModelError
from edgekit.models.info import Signature

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_WHAT = "running an ExecuTorch program on this host"


class ExecutorchHost:
    """The method `forward` of a program."""

    def __init__(self, path: Path, signature: Signature, name: str) -> None:
        """Raises MissingExtra, ModelError E_MODEL_LOAD."""
        self._torch = need("torch", "torch", _WHAT)
        runtime = need("executorch.runtime", "executorch", _WHAT)
        self._name = name
        self.signature = signature
        try:
            with quiet():
                self._program = runtime.Runtime.get().load_program(path)
                self._method = self._program.load_method("forward")
        except Exception as error:
            raise ModelError(
                f"ExecuTorch does not load {name}: {short(error)}", code="E_MODEL_LOAD"
            ) from error
        if self._method is None:
            raise ModelError(f"{name} has no method 'forward'", code="E_MODEL_LOAD")

    def run(self, sample: Sequence[Array]) -> list[Array]:
        """One inference. Raises ModelError E_MODEL_RUN."""
        try:
            with quiet():
                results = self._method.execute([self._torch.from_numpy(value.copy()) for value in sample])
            # The runtime plans its memory once: what it gives is overwritten by the next inference.
            return [self._torch.as_tensor(value).clone().numpy() for value in results]
        except Exception as error:
            raise ModelError(
                f"ExecuTorch does not run {self._name}: {short(error)}", code="E_MODEL_RUN"
            ) from error
