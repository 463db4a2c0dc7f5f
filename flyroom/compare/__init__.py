"""Two stores of the same claims, number by number: before and after a change, or from two machines.

Three questions, from the hard to the soft: are the values of the same run the same bits; are the means over seeds
told apart by a test; do the judged statements and verdicts agree. Nothing is read or written here: accounts and
records come in, a comparison goes out.
"""

from flyroom.compare._found import Agreement, Compared, Comparison, Number, Pair, Runs, Side
from flyroom.compare._stores import compare, largest

__all__ = ["Agreement", "Compared", "Comparison", "Number", "Pair", "Runs", "Side", "compare", "largest"]
