"""Rows of constants, control flow and lists."""

from __future__ import annotations

from typing import Any

import numpy as np
from coremltools.converters.mil import Builder as mb  # noqa: N813

from tests.ios_export.table.row import Row, normal

X = normal(3, 4, seed=40)
WEIGHT = normal(3, 4, seed=41)


def branches(x: Any, which: Any) -> Any:
    """A cond in a cond, each with constants of its own."""
    return mb.cond(
        pred=mb.greater(x=mb.squeeze(x=which), y=0),
        _true_fn=lambda: mb.mul(x=x, y=2.0),
        _false_fn=lambda: mb.cond(
            pred=mb.less(x=mb.squeeze(x=which), y=-5),
            _true_fn=lambda: mb.add(x=x, y=1.0),
            _false_fn=lambda: mb.sub(x=x, y=WEIGHT),
        ),
    )


def doubled(x: Any, times: Any) -> Any:
    """x doubled `times` times."""
    limit = mb.squeeze(x=times)
    _, made = mb.while_loop(
        _cond=lambda i, y: mb.less(x=i, y=limit),
        _body=lambda i, y: (mb.add(x=i, y=1), mb.mul(x=y, y=2.0)),
        loop_vars=(mb.sub(x=limit, y=limit), x),
    )
    return made


def listed(x: Any) -> Any:
    """The rows of x written into a list in a loop, each with the running sum added; read back in other ways."""
    items = mb.make_list(init_length=3, dynamic_length=False, elem_shape=(4,), dtype="fp32")

    def body(i: Any, total: Any, items: Any) -> Any:
        total = mb.add(
            x=total, y=mb.squeeze(x=mb.gather(x=x, indices=mb.expand_dims(x=i, axes=[0]), axis=0), axes=[0])
        )
        return mb.add(x=i, y=1), total, mb.list_write(ls=items, index=i, value=total)

    zero = mb.sub(x=mb.reduce_argmax(x=X[0]), y=mb.reduce_argmax(x=X[0]))
    start = mb.mul(x=mb.reduce_sum(x=x, axes=[0]), y=0.0)
    _, _, items = mb.while_loop(
        _cond=lambda i, total, items: mb.less(x=i, y=mb.list_length(ls=items)),
        _body=body,
        loop_vars=(zero, start, items),
    )
    items = mb.list_scatter(ls=items, indices=[1], value=mb.expand_dims(x=start, axes=[0]))
    return mb.concat(
        values=(
            mb.list_gather(ls=items, indices=[2, 0]),
            mb.expand_dims(x=mb.list_read(ls=items, index=1), axes=[0]),
        ),
        axis=0,
    )


def with_list(operator: str) -> Row:
    return Row(operator, (X,), listed, lambda x: np.stack([x.sum(0), x[0], np.zeros(4)]))


ROWS = [
    Row("const", (X,), lambda x: mb.add(x=x, y=mb.const(val=WEIGHT)), lambda x: x + WEIGHT),
    *(
        Row("cond", (X, np.array([which], np.int32)), branches, expect, name=str(which))
        for which, expect in (
            (1, lambda x, _: 2 * x), (-9, lambda x, _: x + 1), (-1, lambda x, _: x - WEIGHT),
        )
    ),
    *(
        Row("while_loop", (X, np.array([times], np.int32)), doubled, lambda x, n: x * 2.0 ** n, name=str(times))
        for times in (0, 5)
    ),
    *map(with_list, ("make_list", "list_length", "list_write", "list_read", "list_gather", "list_scatter")),
]  # fmt: skip
