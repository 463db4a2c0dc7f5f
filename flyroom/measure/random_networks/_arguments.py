"""What these formulas accept, said once: widths, standard deviations, counts."""

from collections.abc import Sequence
from math import isfinite

LARGEST_STD = 1000.0  # quadrature of a sine takes work in proportion to the standard deviation
LARGEST_WIDTH = 10**9


def check_width(name: str, width: int) -> None:
    if not 1 <= width <= LARGEST_WIDTH:
        raise ValueError(f"{name} = {width}: a layer has at least 1 and at most {LARGEST_WIDTH} units")


def check_widths(widths: Sequence[int]) -> None:
    if len(widths) < 2:
        raise ValueError(f"widths = {tuple(widths)}: give the width of the input and of at least one layer after it")
    for layer, width in enumerate(widths):
        check_width(f"widths[{layer}]", width)


def check_weight_std(weight_std: float) -> None:
    if not 0 < weight_std <= LARGEST_STD:
        raise ValueError(
            f"weight_std = {weight_std}: give the standard deviation of a weight times the root of its fan-in, above 0"
            f" and at most {LARGEST_STD:g}"
        )


def check_bias_std(bias_std: float) -> None:
    if not 0 <= bias_std <= LARGEST_STD:
        raise ValueError(
            f"bias_std = {bias_std}: give the standard deviation of a bias, from 0 (no biases) to {LARGEST_STD:g}"
        )


def check_count(name: str, count: int, least: int = 1) -> None:
    if count < least:
        raise ValueError(f"{name} = {count}: give a whole number of at least {least}")


def check_positive(name: str, value: float) -> None:
    if not (isfinite(value) and value > 0):
        raise ValueError(f"{name} = {value}: give a finite number above 0")
