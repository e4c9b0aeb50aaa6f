"""LSTM and RNN.

GRU is not here: the documentation of `reset_after`, the formula beside it and the names of the gates do not agree, and
coremltools' own converters do not make it (they write a loop, which is computed).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit_ios.mil.args import Args
from edgekit_ios.mil.errors import unsupported
from edgekit_ios.mil.ops.activation import relu, sigmoid
from edgekit_ios.mil.registry import operator

if TYPE_CHECKING:
    Array = np.ndarray[Any, Any]
    Activation = Callable[[Array], Array]

_ACTIVATIONS: dict[str, Activation] = {
    "linear": lambda x: x,
    "relu": relu,
    "sigmoid": sigmoid,
    "tanh": np.tanh,
}


@operator("lstm")
def _lstm(a: Args) -> tuple[Array, Array, Array]:
    """x [steps, batch, in]; gates in the order input, forget, output, cell. Gives the hidden states (all or the
    last), the last hidden state and the last cell state; of both directions side by side."""
    x, direction = a.tensor("x"), a.text("direction", "forward")
    if "clip" in a:
        raise unsupported("lstm", "clip")
    hidden, cell = a.tensor("initial_h"), a.tensor("initial_c")
    if direction != "bidirectional":
        _check_direction(a, direction)
        return _lstm_way(a, x, hidden, cell, "", reverse=direction == "reverse")
    size = hidden.shape[1] // 2
    forward = _lstm_way(a, x, hidden[:, :size], cell[:, :size], "", reverse=False)
    backward = _lstm_way(a, x, hidden[:, size:], cell[:, size:], "_back", reverse=True)
    states, last, cells = (np.concatenate(pair, -1) for pair in zip(forward, backward, strict=True))
    return states, last, cells


def _lstm_way(
    a: Args, x: Array, hidden: Array, cell: Array, suffix: str, *, reverse: bool
) -> tuple[Array, Array, Array]:
    weight, recurrent = a.tensor(f"weight_ih{suffix}"), a.tensor(f"weight_hh{suffix}")
    bias, peephole = a.optional(f"bias{suffix}"), a.optional(f"peephole{suffix}")
    gate = _activation(a, "recurrent_activation", "sigmoid")
    inner, outer = _activation(a, "cell_activation", "tanh"), _activation(a, "activation", "tanh")
    peeps = np.zeros((3, 1)) if peephole is None else peephole.reshape(3, -1)
    given = x @ weight.T + (0 if bias is None else bias)
    states = []
    for step in given[::-1] if reverse else given:
        i, f, o, z = np.split(step + hidden @ recurrent.T, 4, axis=-1)
        i, f = gate(i + peeps[0] * cell), gate(f + peeps[1] * cell)
        cell = f * cell + i * inner(z)
        hidden = gate(o + peeps[2] * cell) * outer(cell)
        states.append(hidden)
    return _sequence(a, states, reverse), hidden, cell


@operator("rnn")
def _rnn(a: Args) -> tuple[Array, Array]:
    """h = activation(W_ih x + W_hh h + bias)"""
    x, hidden, direction = a.tensor("x"), a.tensor("initial_h"), a.text("direction", "forward")
    _check_direction(a, direction)
    reverse = direction == "reverse"
    recurrent, bias = a.tensor("weight_hh"), a.optional("bias")
    activation = _activation(a, "activation", "tanh")
    given = x @ a.tensor("weight_ih").T + (0 if bias is None else bias)
    states = []
    for step in given[::-1] if reverse else given:
        hidden = activation(step + hidden @ recurrent.T)
        states.append(hidden)
    return _sequence(a, states, reverse), hidden


def _sequence(a: Args, states: list[Array], reverse: bool) -> Array:
    if not a.flag("output_sequence"):
        return states[-1][None]
    return np.stack(states[::-1] if reverse else states)


def _check_direction(a: Args, direction: str) -> None:
    if direction not in ("forward", "reverse"):
        raise unsupported(a.operator, f"direction {direction}")
    if direction == "reverse" and a.flag("output_sequence"):
        raise unsupported(a.operator, "all states of the reverse direction: their order is not documented")


def _activation(a: Args, name: str, default: str) -> Activation:
    chosen = a.text(name, default)
    if chosen not in _ACTIVATIONS:
        raise unsupported(a.operator, f"{name} {chosen}")
    return _ACTIVATIONS[chosen]
