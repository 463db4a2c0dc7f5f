"""Two stores, claim by claim."""

import math
from collections.abc import Sequence
from itertools import chain

from flyroom.compare._accounts import beside, changed, statements, verdict, version
from flyroom.compare._found import Agreement, Compared, Comparison, Side
from flyroom.compare._numbers import numbers
from flyroom.compare._runs import shared


def compare(a: Side, b: Side, claims: Sequence[str] = ()) -> Comparison:
    """Compare two stores, or only `claims` of them.

    Runs of the same key are compared bit by bit. Each (version, settings, value) is compared by its mean over seeds:
    paired by seed with the sign-flip test where at least half of the smaller side's seeds are in both, else with
    Welch's test and interval (Welch 1947, Biometrika 34:28). Where one side lost more values to NaN or infinity,
    Fisher's exact test of that is joined by Bonferroni. p is adjusted by Holm over the tested numbers of a claim: a
    number `differs` if p < 0.05, `agrees` if the 95 % interval of the difference holds 0, else it is undecided.

    Statements agree if their verdicts rest on intervals that meet. That is a comparison by eye, and no test: both may
    come from the same seeds.

    Raises ValueError for a claim that neither store has.
    """
    there_a, there_b = _claims(a), _claims(b)
    if unknown := [name for name in claims if name not in there_a | there_b]:
        known = ", ".join(sorted(there_a | there_b)) or "none"
        raise ValueError(f"neither store has the claim {unknown[0]!r}; there are: {known}")
    chosen = set(claims) or there_a | there_b
    both = tuple(_claim(name, _part(a, name), _part(b, name)) for name in sorted(chosen & there_a & there_b))
    only_a, only_b = (tuple(sorted(chosen & mine - other)) for mine, other in ((there_a, there_b), (there_b, there_a)))
    differs = any(map(claim_differs, both))
    return Comparison(a.name, b.name, both, only_a, only_b, _sentence(both, only_a, only_b), differs)


def claim_differs(one: Compared) -> bool:
    """Whether a number, a statement or the verdict of a claim differs."""
    found = (one.verdict, *(pair.agreement for pair in one.statements), *(number.agreement for number in one.numbers))
    return Agreement.differs in found


def largest(one: Compared) -> dict[str, float]:
    """The largest difference of each value and curve over the runs in both; NaN, where there is one, is the largest."""
    found: dict[str, float] = {}
    for name, value in chain.from_iterable(run.differences.items() for run in one.shared):
        before = found.get(name, 0.0)
        found[name] = before if math.isnan(before) or before > value else value
    return found


def _claims(side: Side) -> set[str]:
    return {one.about.id for one in side.accounts} | {one.result.run.claim for one in side.records}


def _part(side: Side, claim: str) -> Side:
    return Side(
        side.name,
        [one for one in side.accounts if one.about.id == claim],
        [one for one in side.records if one.result.run.claim == claim],
    )


def _claim(claim: str, a: Side, b: Side) -> Compared:
    left, right = beside(a.accounts, b.accounts)
    runs, seconds = shared(a, b)
    different = changed(left, right)
    comparable = not different and version(left) == version(right)
    verdicts = left and left.judgement.verdict, right and right.judgement.verdict
    return Compared(
        claim=claim,
        versions=(version(left), version(right)),
        verdicts=verdicts,
        verdict=verdict(*verdicts, comparable),
        settings=different,
        runs=(len(a.records), len(b.records)),
        cpu_s=seconds,
        statements=statements(left, right, comparable),
        numbers=numbers(a.records, b.records),
        shared=runs,
    )


def _sentence(both: Sequence[Compared], only_a: Sequence[str], only_b: Sequence[str]) -> str:
    numbers = [one.agreement for claim in both for one in claim.numbers]
    words = {Agreement.agrees: "agree", Agreement.differs: "differ"}
    counts = [f"{numbers.count(kind)} {words.get(kind, kind.value)}" for kind in Agreement if kind in numbers]
    runs = [run.identical for claim in both for run in claim.shared]
    differing = [claim.claim for claim in both if claim_differs(claim)]
    parts = [
        f"{', '.join(differing)} differ{'s' if len(differing) == 1 else ''}" if differing else "Nothing differs",
        f"{_count(len(both), 'claim')} in both" + (f", {len(only_a)} only in A" if only_a else "")
        + (f", {len(only_b)} only in B" if only_b else ""),
        f"{_count(len(runs), 'run')} in both, {sum(runs)} of them bit-identical",
        f"{_count(len(numbers), 'number')}" + (f": {', '.join(counts)}" if counts else ""),
    ]  # fmt: skip
    return f"{'; '.join(parts)}."


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
