"""A ladder of bounds as a piece of LaTeX: a table of the numbers, and each bound as statement, proof and value."""

import re
from itertools import accumulate

from flyroom.measure.trajectory import Interval, Ladder, Rung, Trajectory
from flyroom.report._certain import certain

HEAD = r"% Needs \usepackage{amsmath,booktabs}."
NOTATION = (
    r"$f$ is the network, $x$ the path with $t\in[0,1]$, $\ell$ a length, $J(t)$ the Jacobian of $f$ at $x(t)$, $T$ "
    r"a space that holds the path's tangents, $\|\cdot\|_2$ the spectral norm, "
    r"$\mathrm{inj}(A)=\min_{\|y\|=1}\|Ay\|$, $W_k$ the affine maps, $u^k$ the values before the activation $\phi_k$."
)
SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "|": r"\textbar{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    **{sign: rf"\{sign}" for sign in "$&%#_"},
}
# What the plain proofs write, and what it is in mathematics.
SIGNS = (
    ("<=", r"\le "),
    (">=", r"\ge "),
    ("...", r"\cdots "),
    ("  ", " "),
    ("phi", r"\phi"),
    (r"l(", r"\ell("),
)
OPERATORS = r"\b(sup|inf|max|min)(?![a-z])"
MATHEMATICAL = re.compile(r"[|_^<>=+]|'(?!s\b|$)|\.\.\.|\(.|[a-zA-Z]'(?=[^a-z]|$)")
SINGLE = re.compile(r"\d?[b-zB-HJ-Z]|sup|inf|diag|0|1")


def ladder_latex(net: str, path: str, found: Trajectory, ladder: Ladder) -> str:
    """The fragment; `net` and `path` are what they are called, and every text in it is escaped.

    Bounds stand from the crudest upper to the crudest lower one, the length between them.
    """
    rungs = in_order(ladder)
    body = [_row(rung, ladder) for rung in rungs if rung.side == "upper"]
    body.append(rf"\midrule length $\ell(f\circ x)$ & ${_number(ladder.length)}$ & $1$ \\ \midrule")
    body += [_row(rung, ladder) for rung in rungs if rung.side == "lower"]
    given = Interval(ladder.input_length.low, ladder.input_length.high)
    return "\n".join(
        [
            HEAD,
            rf"\noindent Network \texttt{{{escaped(net)}}}, path \texttt{{{escaped(path)}}} of length",
            rf"$\ell(x){_equals(given)}$. {NOTATION}",
            "",
            *_layers(found),
            "",
            r"\begin{center}",
            r"\begin{tabular}{lrr}",
            r"\toprule",
            r"bound & value & value$\,/\,\ell(f\circ x)$ \\ \midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{center}",
            "",
            r"\begin{enumerate}",
            *(line for rung in rungs for line in _item(rung, ladder)),
            r"\end{enumerate}",
            "",
            rf"\noindent {escaped(ladder.assumes)}" + _left_out(ladder),
            "",
        ]
    )


def in_order(ladder: Ladder) -> list[Rung]:
    """From the crudest upper bound to the crudest lower one; equal ones as the theory has them."""
    upper = [rung for rung in reversed(ladder.rungs) if rung.side == "upper"]
    lower = [rung for rung in ladder.rungs if rung.side == "lower"]
    return sorted(upper, key=lambda rung: -rung.value.high) + sorted(lower, key=lambda rung: -rung.value.low)


def looseness(rung: Rung, ladder: Ladder) -> float | None:
    """What the rung certifies, over the length; None where that is no number."""
    low, high = ladder.length
    middle = (low + high) / 2
    bound = rung.value.high if rung.side == "upper" else rung.value.low
    return bound / middle if low > 0 and middle < float("inf") and bound < float("inf") else None


def escaped(text: str) -> str:
    """Text that LaTeX prints as it is.

    >>> escaped("50 % of layers_0")
    '50 \\\\% of layers\\\\_0'
    """
    return "".join(SPECIAL.get(sign, sign) for sign in " ".join(text.split()))


def with_mathematics(text: str) -> str:
    """Plain sentences with their formulas set as such; what is not surely a formula is printed as it is."""
    parts, formula = [], []

    def close() -> None:
        if formula:
            parts.append(_formula(" ".join(formula)))
            formula.clear()

    for word in text.split():
        bare = word.rstrip(".,;:") if not word.endswith("...") else word
        if MATHEMATICAL.search(bare) or SINGLE.fullmatch(bare):
            formula.append(bare)
            if bare != word:
                close()
                parts[-1] += word[len(bare) :]
        else:
            close()
            parts.append(escaped(word))
    close()
    return " ".join(parts)


def _formula(words: str) -> str:
    if not (_closes(words, "{}") and _closes(words, "()")) or re.search(r"[$&%#\\~]|_\w*_|\^\w*\^|[_^]$", words):
        return escaped(words)
    for plain, sign in SIGNS:
        words = words.replace(plain, sign)
    words = re.sub(OPERATORS, r"\\\1", words)
    words = re.sub(r"\b(inj|diag)\(", r"\\mathrm{\1}(", words)
    words = re.sub(r"(?<![\\a-z{])([a-z]{3,})(?![a-z}(])", r"\\text{ \1 }", words)
    return f"${words}$"


def _closes(words: str, pair: str) -> bool:
    """Whether every bracket that opens closes, in order."""
    depths = list(accumulate({pair[0]: 1, pair[1]: -1}.get(sign, 0) for sign in words))
    return min(depths, default=0) >= 0 and (not depths or depths[-1] == 0)


def _number(value: Interval) -> str:
    return certain(*value, latex=True)


def _equals(value: Interval, sign: str = "=") -> str:
    """A number, a set that it lies in, or an inequality."""
    said = _number(value)
    return said if said.startswith("\\") else rf"\in {said}" if said.startswith("[") else f"{sign}{said}"


def _row(rung: Rung, ladder: Ladder) -> str:
    factor = looseness(rung, ladder)
    sign = r"\le" if rung.side == "upper" else r"\ge"
    told = f"${factor:.4g}$" if factor is not None else "---"
    return rf"${sign}$ {escaped(rung.name)} & ${_number(rung.value)}$ & {_ten(told)} \\"


def _ten(text: str) -> str:
    """1e+08 as a power of ten."""
    return re.sub(r"e([+-])0*(\d+)", lambda found: rf"\cdot 10^{{{found[1].strip('+')}{found[2]}}}", text)


def _item(rung: Rung, ladder: Ladder) -> list[str]:
    factor = looseness(rung, ladder)
    told = "" if factor is None else rf", {_ten(f'${factor:.4g}$')} times the length"
    return [
        rf"\item \textbf{{{escaped(rung.name)}}} ({rung.side} bound).",
        rf"\[ {rung.statement} \]",
        rf"\emph{{Proof.}} {with_mathematics(rung.proof)} \\",
        rf"\emph{{Here}} the right-hand side is ${_equals(rung.value, '')}$ ({rung.evidence.name}){told}. \\",
        rf"\emph{{Condition.}} {escaped(rung.condition)}",
    ]


def _layers(found: Trajectory) -> list[str]:
    rows = [
        rf"{escaped(layer.name)} & {escaped(layer.op)} & ${_number(layer.length)}$ & {layer.pieces} \\"
        for layer in found.layers
    ]
    return [
        r"\begin{center}",
        r"\begin{tabular}{llrr}",
        r"\toprule",
        r"layer & step & length of the image & pieces \\ \midrule",
        *rows,
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{center}",
    ]


def _left_out(ladder: Ladder) -> str:
    return f" Left out: {escaped(' '.join(ladder.left_out))}" if ladder.left_out else ""
