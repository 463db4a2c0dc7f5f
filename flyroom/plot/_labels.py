"""Names of lines, moved apart where two would overlap."""

import math
from collections.abc import Sequence

from flyroom.plot._rows import Row
from flyroom.records import Json


def line_ends(
    data: Sequence[Row], x: str, y: str, group: str, panel: str, *, domain: tuple[float, float], log: bool = False
) -> list[dict[str, Json]]:
    """A row for the name of each line at its last point, those of one panel at least a line of text apart.

    `label_at` is in the units of y. On a logarithmic axis the distances are those of the logarithms.
    """
    forth, back = (math.log10, lambda value: 10.0**value) if log else (float, float)
    gap = (forth(domain[1]) - forth(domain[0])) / 18
    last: dict[tuple[Json, Json], Row] = {}
    for row in data:
        key = (row[panel], row[group])
        if key not in last or row[x] >= last[key][x]:
            last[key] = row
    ends: list[dict[str, Json]] = []
    for name in dict.fromkeys(key[0] for key in last):
        found = sorted((row for key, row in last.items() if key[0] == name), key=lambda row: row[y])
        wanted = [forth(min(max(row[y], domain[0]), domain[1])) for row in found]
        for row, place in zip(found, apart(wanted, gap), strict=True):
            ends.append({group: row[group], panel: name, x: row[x], "label_at": back(place), "part": "name"})
    return ends


def apart(places: Sequence[float], gap: float) -> list[float]:
    """The places (rising), moved as little as may be so that neighbours are `gap` apart: blocks that touch are
    merged, and stand around the mean of where their members wanted to be."""
    blocks: list[list[float]] = []  # each: wanted places, less their offset within the block
    for place in places:
        blocks.append([place])
        while len(blocks) > 1 and _top(blocks[-2], gap) + gap > _centre(blocks[-1]):
            upper = blocks.pop()
            shift = gap * len(blocks[-1])
            blocks[-1] = [*blocks[-1], *(wanted - shift for wanted in upper)]
    return [_centre(block) + gap * i for block in blocks for i in range(len(block))]


def _centre(block: Sequence[float]) -> float:
    return sum(block) / len(block)


def _top(block: Sequence[float], gap: float) -> float:
    return _centre(block) + gap * (len(block) - 1)
