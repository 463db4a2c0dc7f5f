"""The rungs of the ladder: names, inequalities and proofs, and which of them lie above which.

f is the network, x the path, l a length, J(t) the Jacobian of f at x(t), T a space that holds the path's tangents, |A|
the spectral norm, inj(A) the smallest |A y| over unit vectors y. Layers are blocks: W_k an affine map (neighbouring
affine steps, batch norm included, as one), u^k what it makes of x(t), phi_k the activation after it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from flyroom.measure.paths import Length
from flyroom.measure.trajectory._records import Interval
from flyroom.records import Evidence


@dataclass(frozen=True)
class Rung:
    """One bound of l(f(x)): `value.high` is what an upper rung certifies, `value.low` what a lower one does.

    `value` encloses the right-hand side of `statement` itself. `condition` says under which circumstances the rung says
    anything, what was checked here, and how it came out.
    """

    name: str
    side: str  # "upper" or "lower"
    value: Interval
    evidence: Evidence
    condition: str
    statement: str  # LaTeX
    proof: str


@dataclass(frozen=True)
class Ladder:
    """The length of the output with the bounds over and under it, each side from sharp to crude.

    `left_out` has a sentence for every rung that is not there. `reached` says whether every rung's interval
    is as sharp as asked; it is not where pieces or seconds ran out, or where a smallest singular value is too far
    below the largest for float64. The intervals hold all the same.
    """

    length: Interval
    input_length: Length
    rungs: tuple[Rung, ...]
    left_out: tuple[str, ...]
    rel_tol: float
    reached: bool
    pieces: int
    cpu_s: float
    assumes: str


class Words(NamedTuple):
    statement: str
    proof: str


_L = r"\ell(f\circ x)"
_PRODUCT_UP = r"\|W_1{0}\|_2\prod_{{k\ge1}}\Big(\max_i|\phi_k'(u_i^k(t))|\,\|W_{{k+1}}\|_2\Big)"
_PRODUCT_LOW = r"\mathrm{{inj}}(W_1{0})\prod_{{k\ge1}}\Big(\min_i|\phi_k'(u_i^k(t))|\,\mathrm{{inj}}(W_{{k+1}})\Big)"
_APART_UP = r"\|W_1{0}\|_2\prod_{{k\ge1}}\Big(\sup_t\max_i|\phi_k'(u_i^k(t))|\,\|W_{{k+1}}\|_2\Big)"
_APART_LOW = (
    r"\mathrm{{inj}}(W_1{0})\prod_{{k\ge1}}\Big(\inf_t\min_i|\phi_k'(u_i^k(t))|\,\mathrm{{inj}}(W_{{k+1}})\Big)"
)
_ON_T = "Every tangent lies in T, up to an angle that is counted, so that J x' = (J|_T) x'."
_SPEED = "l(f(x)) is the integral of |J(t) x'(t)|."
_CHAIN = "By the chain rule J = W_h D_{h-1} ... D_1 W_1 with D_k = diag(phi_k'(u^k)); for a square phi' = 2u."
_BELOW = "|A B y| >= inj(A) |B y| >= inj(A) inj(B) |y| for all y, with inj(A) = 0 where A has fewer rows than columns."

_TOGETHER_UP_PROOF = (
    f"{_CHAIN} The norm of a product is at most the product of norms, and |D_k| = max_i |phi_k'(u_i^k)|."
)
_APART_UP_PROOF = f"{_CHAIN} As for the layers together; the supremum of a product is at most the product of suprema."
_TOGETHER_LOW_PROOF = f"{_CHAIN} {_BELOW} Here inj(D_k) = min_i |phi_k'(u_i^k)|."
_APART_LOW_PROOF = f"{_CHAIN} {_BELOW} The infimum of a product is at least the product of infima."
UPPER: Mapping[str, Words] = MappingProxyType(
    {
        "integral on T": Words(
            _L + r"\le\int_0^1\|J(t)|_T\|_2\,|x'(t)|\,dt", f"{_SPEED} {_ON_T} |J x'| <= |J|_T| |x'| at every t."
        ),
        "integral": Words(_L + r"\le\int_0^1\|J(t)\|_2\,|x'(t)|\,dt", f"{_SPEED} |J x'| <= |J| |x'| at every t."),
        "supremum on T": Words(
            _L + r"\le\sup_t\|J(t)|_T\|_2\,\ell(x)",
            f"{_SPEED} {_ON_T} |J x'| <= sup |J|_T| |x'|, and the integral of |x'| is l(x).",
        ),
        "supremum": Words(
            _L + r"\le\sup_t\|J(t)\|_2\,\ell(x)", f"{_SPEED} |J x'| <= sup |J| |x'|, and the integral of |x'| is l(x)."
        ),
        "layers together on T": Words(
            _L + r"\le\sup_t\Big[" + _PRODUCT_UP.format("|_T") + r"\Big]\ell(x)",
            _TOGETHER_UP_PROOF,
        ),
        "layers together": Words(
            _L + r"\le\sup_t\Big[" + _PRODUCT_UP.format("") + r"\Big]\ell(x)",
            _TOGETHER_UP_PROOF,
        ),
        "layers apart on T": Words(
            _L + r"\le" + _APART_UP.format("|_T") + r"\,\ell(x)",
            _APART_UP_PROOF,
        ),
        "layers apart": Words(
            _L + r"\le" + _APART_UP.format("") + r"\,\ell(x)",
            _APART_UP_PROOF,
        ),
        "slope constants": Words(
            _L + r"\le\|W_1\|_2\prod_{k\ge1}\Big(\sup_{u}|\phi_k'(u)|\,\|W_{k+1}\|_2\Big)\,\ell(x)",
            f"{_CHAIN} Each |phi_k'| is at most its supremum on the whole line, which is 1.129 for GELU, not 1.",
        ),
    }
)
LOWER: Mapping[str, Words] = MappingProxyType(
    {
        "integral on T": Words(
            _L + r"\ge\int_0^1\mathrm{inj}(J(t)|_T)\,|x'(t)|\,dt",
            f"{_SPEED} {_ON_T} |J x'| >= inj(J|_T) |x'| at every t.",
        ),
        "integral": Words(
            _L + r"\ge\int_0^1\mathrm{inj}(J(t))\,|x'(t)|\,dt", f"{_SPEED} |J x'| >= inj(J) |x'| at every t."
        ),
        "infimum on T": Words(
            _L + r"\ge\inf_t\mathrm{inj}(J(t)|_T)\,\ell(x)",
            f"{_SPEED} {_ON_T} |J x'| >= inf inj(J|_T) |x'|, and the integral of |x'| is l(x).",
        ),
        "infimum": Words(
            _L + r"\ge\inf_t\mathrm{inj}(J(t))\,\ell(x)",
            f"{_SPEED} |J x'| >= inf inj(J) |x'|, and the integral of |x'| is l(x).",
        ),
        "layers together on T": Words(
            _L + r"\ge\inf_t\Big[" + _PRODUCT_LOW.format("|_T") + r"\Big]\ell(x)",
            _TOGETHER_LOW_PROOF,
        ),
        "layers together": Words(
            _L + r"\ge\inf_t\Big[" + _PRODUCT_LOW.format("") + r"\Big]\ell(x)",
            _TOGETHER_LOW_PROOF,
        ),
        "layers apart on T": Words(
            _L + r"\ge" + _APART_LOW.format("|_T") + r"\,\ell(x)",
            _APART_LOW_PROOF,
        ),
        "layers apart": Words(
            _L + r"\ge" + _APART_LOW.format("") + r"\,\ell(x)",
            _APART_LOW_PROOF,
        ),
    }
)

# Pairs (sharper, cruder), in an order in which every pair comes after those that lead to its first member.
EDGES = (
    ("integral on T", "integral"),
    ("integral on T", "extreme on T"),
    ("integral", "extreme"),
    ("extreme on T", "extreme"),
    ("extreme on T", "layers together on T"),
    ("extreme", "layers together"),
    ("layers together on T", "layers together"),
    ("layers together on T", "layers apart on T"),
    ("layers together", "layers apart"),
    ("layers apart on T", "layers apart"),
    ("layers apart", "slope constants"),
)


def edges(side: str) -> tuple[tuple[str, str], ...]:
    """The pairs (sharper, cruder) of one side."""
    word = "supremum" if side == "upper" else "infimum"
    return tuple((a.replace("extreme", word), b.replace("extreme", word)) for a, b in EDGES)


def tightened(values: Mapping[str, Interval], side: str) -> dict[str, Interval]:
    """Each interval cut to what the others imply: of two true values the sharper one is nearer to the length."""
    found = dict(values)
    pairs = [pair for pair in edges(side) if pair[0] in found and pair[1] in found]
    for a, b in reversed(pairs):  # the cruder one limits the sharper one from outside
        one, other = found[a], found[b]
        cut = (one.low, min(one.high, other.high)) if side == "upper" else (max(one.low, other.low), one.high)
        found[a] = Interval(*cut)
    for a, b in pairs:
        one, other = found[a], found[b]
        cut = (max(one.low, other.low), other.high) if side == "upper" else (other.low, min(one.high, other.high))
        found[b] = Interval(*cut)
    for name, value in found.items():
        if not value.low <= value.high:
            raise AssertionError(f"the enclosures of the {side} rungs contradict each other at {name!r}: {value}")
    return found
