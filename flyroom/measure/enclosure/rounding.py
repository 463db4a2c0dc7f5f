"""What float64 arithmetic may have lost: bounds that are themselves computed in float64, and stay bounds.

The model is the standard one (Higham, *Accuracy and Stability of Numerical Algorithms*, 2nd edition, sections 2.2 and
3.1): a sum of products of m terms, in any order, with or without fused multiply-adds, differs from the true one by at
most gamma(m) times the sum of the absolute values. It does not cover Winograd's or Strassen's products nor TF32, which
NumPy does not use.
"""

from typing import Any

import numpy as np

UNIT = 2.0**-53  # of relative error of one rounding to nearest
TINY = 2.0**-900  # more than underflow takes from millions of products, and far from subnormal, which are slow
# Sums and products of numbers that are not negative, a few thousand operations long, lose less than this factor makes
# good: 2^13 * 2^-53 = 2^-40.
UP = 1 + 2.0**-40
DOWN = 1 - 2.0**-40


def gamma(operations: int) -> float:
    """operations * u / (1 - operations * u), from above (Higham, lemma 3.1)."""
    return UP * operations * UNIT / (1 - operations * UNIT)


def up(x: Any) -> Any:
    """A bound from above on what a sum of numbers that are not negative is in real arithmetic; numbers or arrays."""
    return x * UP + TINY


def down(x: Any) -> Any:
    """A bound from below on the same."""
    return np.maximum(x * DOWN - TINY, 0)
