"""What every figure asks of its rows."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from flyroom.records import Json

Row = Mapping[str, Any]


def table(rows: Iterable[Row], needed: Sequence[str], optional: Sequence[str] = ()) -> list[dict[str, Json]]:
    """Copies of the rows as plain Python numbers and words, each marked as a part "line".

    `optional` entries that are missing become None. Raises ValueError for a row that lacks a needed entry, and for
    a number that is not finite: a figure never hides one.
    """
    copies = [{**{name: _plain(entry) for name, entry in row.items()}, "part": "line"} for row in rows]
    for row in copies:
        for name in needed:
            if row.get(name) is None:
                raise ValueError(f"a row without {name!r} cannot be drawn: {row}; every row needs {', '.join(needed)}")
        for name, entry in row.items():
            if isinstance(entry, float) and not math.isfinite(entry):
                raise ValueError(f"{name} = {entry} cannot be drawn: leave the row out, and say so beside the figure")
        for name in optional:
            row.setdefault(name, None)
    return copies


def distinct(data: Sequence[Row], name: str) -> list[Any]:
    """The values of `name` in the order of first appearance. Raises ValueError where there is no row at all."""
    if not data:
        raise ValueError("there is nothing to draw: the figure was given no rows")
    return list(dict.fromkeys(row[name] for row in data))


def numbers(data: Sequence[Row], *names: str) -> list[float]:
    """All numbers that stand under `names`. Raises ValueError for an entry that is no number."""
    found = [(name, row[name]) for row in data for name in names if row.get(name) is not None]
    for name, entry in found:
        if isinstance(entry, bool) or not isinstance(entry, int | float):
            raise ValueError(f"{name} = {entry!r} is not a number, and stands on an axis of numbers")
    return [float(entry) for _, entry in found]


def _plain(entry: Any) -> Any:
    """A NumPy or JAX scalar as the number that it holds."""
    return entry.item() if hasattr(entry, "item") else entry
