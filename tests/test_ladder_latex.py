"""LaTeX of a ladder of bounds, and intervals as text: balanced, escaped, and never narrower than what they print."""

import math
import re
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flyroom.measure.paths import Length
from flyroom.measure.trajectory import Interval, Ladder, LayerLength, Rung, Trajectory
from flyroom.records import Evidence
from flyroom.report import certain
from flyroom.report.ladder_latex import escaped, in_order, ladder_latex, looseness, with_mathematics

finite = st.floats(allow_nan=False, allow_infinity=False)
POWER = re.compile(r"\\cdot 10\^\{(-?\d+)\}")


def number(text: str) -> Fraction:
    return Fraction(text)


def printed(text: str) -> tuple[Fraction, Fraction]:
    """The interval that a text says."""
    scale = Fraction(1)
    if outer := re.fullmatch(r"\((.*)\)e(-?\d+)", text):
        text, scale = outer[1], Fraction(10) ** int(outer[2])
    if text.startswith("["):
        low, high = text[1:-1].split(", ")
        return number(low), number(high)
    middle, _, radius = text.partition(" ± ")
    return (number(middle) - number(radius or "0")) * scale, (number(middle) + number(radius or "0")) * scale


@given(finite, finite)
@example(19.141786356, 19.141786396)
@example(5e-324, 1e308)
@example(0.1, 0.1)
@example(9.9999999, 10.0000001)
def test_what_is_printed_holds_the_interval(a, b):
    low, high = sorted((a, b))
    said = printed(certain(low, high))
    assert said[0] <= Fraction(low) <= Fraction(high) <= said[1]


@given(st.floats(-1e300, 1e300), st.floats(0, 1e-3))
def test_what_is_printed_is_hardly_wider(a, width):
    low, high = sorted((a, a + a * width))
    said = printed(certain(low, high))
    assert said[1] - said[0] <= 6 * (Fraction(high) - Fraction(low)) + abs(Fraction(a)) * Fraction(6, 10**9)


@given(finite, finite)
def test_latex_says_the_same_as_text(a, b):
    low, high = sorted((a, b))
    assert POWER.sub(r"e\1", certain(low, high, latex=True)).replace(r"\pm", "±") == certain(low, high)


def test_open_intervals_are_said_in_words():
    assert certain(1.5, math.inf) == "at least 1.5" and certain(-math.inf, 1.5) == "at most 1.5"
    assert certain(-math.inf, math.inf) == "no bound" and certain(1.5, math.inf, latex=True) == r"\ge 1.5"
    with pytest.raises(ValueError, match="is no interval"):
        certain(math.nan, 1.0)
    with pytest.raises(ValueError, match="is no interval"):
        certain(2.0, 1.0)


def rung(name: str, side: str, low: float, high: float, text: str = "It holds.") -> Rung:
    return Rung(name, side, Interval(low, high), Evidence.certified, text, r"\ell(f\circ x)\le\|J\|_2", text)


def ladder(text: str = "It holds.") -> tuple[Trajectory, Ladder]:
    given = Length(2.0, 2.0, Evidence.certified)
    layer = LayerLength(text, "dense", Interval(3.0, 3.0001), Evidence.certified, 4, 0)
    found = Trajectory(given, (layer,), 1e-3, True, "Taylor models", 7, 4, 0.1, text)
    rungs = (
        rung("integral", "upper", 4.0, 4.1, text),
        rung("supremum", "upper", 8.0, 1e12, text),
        rung("integral", "lower", 1.0, 2.0, text),
        rung("infimum", "lower", 0.0, 0.0, text),
    )
    return found, Ladder(layer.length, given, rungs, (text,), 1e-2, True, 4, 0.1, text)


def test_bounds_stand_from_the_crudest_upper_to_the_crudest_lower():
    bounds = ladder()[1]
    names = [(one.name, one.side) for one in in_order(bounds)]
    assert names == [("supremum", "upper"), ("integral", "upper"), ("integral", "lower"), ("infimum", "lower")]
    factors = [looseness(one, bounds) for one in in_order(bounds)]
    assert factors == pytest.approx([1e12 / 3.00005, 4.1 / 3.00005, 1 / 3.00005, 0])


def balanced(latex: str) -> bool:
    """Braces, dollars, brackets of formulas and environments all close, and nothing special is left to chance."""
    bare = re.sub(r"(?<!\\)%.*", "", latex.replace(r"\\", "\n"))
    plain = re.sub(r"\\[{}$&%#_]", "", bare)
    opened: list[str] = []
    for kind, name in re.findall(r"\\(begin|end)\{(\w+)\}", plain):
        if kind == "begin":
            opened.append(name)
        elif not opened or opened.pop() != name:
            return False
    depth = 0
    for sign in plain:
        depth += {"{": 1, "}": -1}.get(sign, 0)
        if depth < 0:
            return False
    lines = re.sub(r"\\\[.*?\\\]", "", plain).splitlines()
    outside = re.search(r"[_^#]", "".join(part for line in lines for part in line.split("$")[::2]))
    formulas = plain.count(r"\[") == plain.count(r"\]") and all(line.count("$") % 2 == 0 for line in lines)
    return depth == 0 and not opened and formulas and outside is None


def test_the_balance_sees_what_is_open():
    assert balanced(r"\begin{a} $x_1$ 50\% {y} \[ z^2 \] \end{a}")
    for wrong in (r"\begin{a}", r"\begin{a}\begin{b}\end{a}\end{b}", "{", "}{", "$x", r"\[ x", "x_1"):
        assert not balanced(wrong), wrong


@pytest.mark.parametrize(
    "text",
    [
        "It holds.",
        "100 % of layers_0 & co {cost} $5 #1 ~ ^ \\ | < >",
        "|J x'| <= |J|_T| |x'| at every t, by diag(phi_k'(u^k)); J = W_h D_{h-1} ... D_1 W_1.",
        "an activation's x_{1, {} and $x_1_2 and 2u",
        "\\end{tabular}",
    ],
)
def test_every_fragment_is_balanced(text):
    found, bounds = ladder(text)
    latex = ladder_latex(text, text, found, bounds)
    assert balanced(latex)
    assert latex.count(r"\item") == 4 and latex.count(r"\toprule") == latex.count(r"\bottomrule") == 2


@given(st.text("ab AJ1_^{}()|<>=+'.,$%&#~\\lphi ", max_size=40))
def test_any_proof_is_balanced(text):
    assert balanced(with_mathematics(text)) and balanced(escaped(text))


def test_numbers_of_this_network_stand_in_their_places():
    latex = ladder_latex("net", "path", *ladder())
    assert r"$\le$ supremum & $[8, 1\cdot 10^{12}]$ & $3.333\cdot 10^{11}$ \\" in latex
    assert r"the right-hand side is $\in [1, 2]$ (certified), $0.3333$ times the length" in latex
    assert r"$\ell(x)=2.000000000$" in latex


def test_formulas_in_proofs_are_set_as_formulas():
    assert with_mathematics("|J x'| <= sup |J| |x'|, and so on.") == r"$|J x'| \le \sup |J| |x'|$, and so on."
    assert with_mathematics("an activation's slope, for all y.") == "an activation's slope, for all $y$."
