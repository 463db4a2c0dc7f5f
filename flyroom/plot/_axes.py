"""Logarithmic axes: where they end, and what is written beside them."""

import math
from collections.abc import Sequence

from flyroom.plot._rows import Row, numbers

LEADS = (1, 2, 5)


def positive(data: Sequence[Row], *names: str) -> None:
    """Raises ValueError for a number under `names` that has no place on a logarithmic axis."""
    for name in names:
        for value in numbers(data, name):
            if value <= 0:
                raise ValueError(f"{name} = {value:g} has no place on a logarithmic axis: leave the row out")


def round_ends(low: float, high: float) -> tuple[float, float]:
    """The narrowest ends of the form 1, 2 or 5 times a power of ten that leave `low` and `high` inside."""
    first, last = math.floor(math.log10(low)) - 1, math.floor(math.log10(high)) + 1
    steps = [lead * 10.0**power for power in range(first, last + 1) for lead in LEADS]
    return max(step for step in steps if step < low), min(step for step in steps if step > high)


def ticks(low: float, high: float) -> list[float]:
    """Powers of ten between two ends, every so many where they are many; with 2 and 5 times where they are few."""
    powers = range(math.floor(math.log10(low)), math.floor(math.log10(high)) + 1)
    leads, every = (LEADS if math.log10(high / low) < 2 else (1,)), max(1, -(-len(powers) // 8))
    found = [lead * 10.0**power for power in powers if power % every == 0 for lead in leads]
    # 10.0**-3 * 5 is not quite 0.005, and an end is a tick.
    return [tick for tick in found if low * (1 - 1e-9) <= tick <= high * (1 + 1e-9)]
