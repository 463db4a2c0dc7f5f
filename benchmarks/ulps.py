"""What certified measures take on trust: how far the base functions of NumPy and SciPy are from the truth, in ulp.

    python benchmarks/ulps.py [--points 20000]

Needs python-flint, whose balls (Arb, 200 bits) are the truth. One ulp is the distance between the floating-point
numbers around the true value; where that is below 2^-1022, the ulp there. Printed beside each measured worst case is
what `flyroom.measure.enclosure` assumes, and the argument of the worst case.
"""

import argparse
import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import flint
import numpy as np
from scipy import special

from flyroom.measure.enclosure._local import ULPS


class Base(NamedTuple):
    """A base function, its ball version, and the ranges that its arguments are drawn from.

    A range (low, high) is drawn from evenly; with `scales`, magnitudes are drawn evenly in the logarithm instead.
    """

    name: str
    computed: Callable[[np.ndarray], np.ndarray]
    truth: Callable[[flint.arb], flint.arb]
    ranges: tuple[tuple[float, float], ...]
    scales: tuple[tuple[float, float], ...] = ()


BASES = (
    Base("exp", np.exp, lambda x: x.exp(), ((-1, 1), (-40, 40), (-708, 709)), ((1e-300, 700),)),
    Base("expm1", np.expm1, lambda x: x.expm1(), ((-1, 1), (-40, 40), (-708, 709)), ((1e-300, 700),)),
    Base("log", np.log, lambda x: x.log(), ((0.5, 2), (0, 100)), ((1e-320, 1e308),)),
    Base("log1p", np.log1p, lambda x: x.log1p(), ((-1, 1), (0, 100)), ((1e-300, 1e308),)),
    Base("sqrt", np.sqrt, lambda x: x.sqrt(), ((0, 4),), ((1e-307, 1e308),)),
    Base("sin", np.sin, lambda x: x.sin(), ((-4, 4), (-100, 100), (-1e6, 1e6)), ((1e-300, 1e300),)),
    Base("cos", np.cos, lambda x: x.cos(), ((-4, 4), (-100, 100), (-1e6, 1e6)), ((1e-300, 1e300),)),
    Base("tanh", np.tanh, lambda x: x.tanh(), ((-2, 2), (-25, 25)), ((1e-300, 300),)),
    Base("erf", special.erf, lambda x: x.erf(), ((-1, 1), (-6.5, 6.5)), ((1e-300, 20),)),
    Base("erfc", special.erfc, lambda x: x.erfc(), ((1, 3), (1, 8), (1, 26.5))),
)


def arguments(base: Base, points: int) -> np.ndarray:
    """Drawn from each range in turn; with sin and cos also the floats nearest to multiples of pi / 2."""
    rng = np.random.default_rng(0)
    drawn: list[np.ndarray] = [rng.uniform(low, high, points) for low, high in base.ranges]
    drawn += [np.exp(rng.uniform(math.log(low), math.log(high), points)) for low, high in base.scales]
    if base.name in ("sin", "cos"):
        drawn.append(np.arange(1, points + 1) * (np.pi / 2))
    if base.name in ("exp", "expm1", "tanh", "erf"):
        drawn.append(-drawn[-1])
    return np.concatenate(drawn)


def errors(base: Base, x: np.ndarray) -> Iterator[float]:
    """Of each argument, in ulp."""
    flint.ctx.prec = 200
    for at, value in zip(x.tolist(), base.computed(x).tolist(), strict=True):
        true = base.truth(flint.arb(at))
        yield float(abs(flint.arb(value) - true).mid()) / math.ulp(float(true.mid()))


def assumed(name: str, x: float) -> float:
    """That of erfc, which is used from 1 on, grows with the square of its argument."""
    return ULPS[name] + (2 * x * x if name == "erfc" else 0.0)


def main() -> None:
    parser = argparse.ArgumentParser(description="Worst errors of base functions, in ulp.")
    parser.add_argument("--points", type=int, default=20000, help="arguments of each range")
    points = parser.parse_args().points
    print(f"NumPy {np.__version__}, {points} arguments of each range")
    print(f"{'function':<10}{'worst ulp':>10}{'at':>26}{'assumed':>10}{'largest share':>15}")
    for base in BASES:
        x = arguments(base, points)
        found = np.array(list(errors(base, x)))
        share = found / np.array([assumed(base.name, at) for at in x.tolist()])
        worst = int(found.argmax())
        at = float(x[worst])
        print(f"{base.name:<10}{found[worst]:>10.3f}{at:>26.17g}{assumed(base.name, at):>10.1f}{share.max():>15.3f}")


if __name__ == "__main__":
    main()
