"""The accounts of two stores: verdicts and statements beside each other."""

import math
from collections.abc import Sequence

from flyroom.compare._found import Agreement, Pair
from flyroom.records import Account, Evidence, Json, Statement, Verdict


def beside(a: Sequence[Account], b: Sequence[Account]) -> tuple[Account | None, Account | None]:
    """The weightiest accounts of one version and the same settings; without such, the weightiest of each."""
    for left in a:
        for right in b:
            if version(left) == version(right) and left.settings == right.settings:
                return left, right
    return next(iter(a), None), next(iter(b), None)


def version(account: Account | None) -> int | None:
    """Of the claim, as it was judged."""
    return account and account.judgement.version


def changed(a: Account | None, b: Account | None) -> dict[str, tuple[Json, Json]]:
    """The settings that two accounts do not share, as (A, B)."""
    if a is None or b is None:
        return {}
    pairs = {name: (a.settings.get(name), b.settings.get(name)) for name in {**a.settings, **b.settings}}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def verdict(a: Verdict | None, b: Verdict | None, comparable: bool) -> Agreement:
    """Whether two verdicts are one; those under other settings or of another version need not be."""
    if a is None or b is None:
        return Agreement.undecided if a == b else Agreement.only_a if b is None else Agreement.only_b
    if not comparable:
        return Agreement.incomparable
    return Agreement.identical if a == b else Agreement.differs


def statements(a: Account | None, b: Account | None, comparable: bool) -> tuple[Pair, ...]:
    """Every statement of either account, in the order of A."""
    left, right = ({one.id: one for one in side.judgement.statements} if side else {} for side in (a, b))
    same_version = version(a) == version(b)
    pairs = []
    for name in {**left, **right}:
        one, other = left.get(name), right.get(name)
        if one is None or other is None:
            found = Agreement.only_a if other is None else Agreement.only_b
        else:
            found = _statement(one, other) if same_version else Agreement.incomparable
        # Under other settings another value is no contradiction.
        differs = found == Agreement.differs and not comparable
        pairs.append(Pair(name, one, other, Agreement.incomparable if differs else found))
    return tuple(pairs)


def _statement(a: Statement, b: Statement) -> Agreement:
    if a.value is None or b.value is None:
        if a.value is not b.value:
            return Agreement.undecided
        return Agreement.identical if a.verdict == b.verdict else Agreement.differs
    if a.verdict == b.verdict and _bits(a) == _bits(b):
        return Agreement.identical
    low, high = _bounds(a), _bounds(b)
    if low is None or high is None:
        return Agreement.undecided
    return Agreement.agrees if low[0] <= high[1] and high[0] <= low[1] else Agreement.differs


def _bits(one: Statement) -> list[str]:
    return [float(number).hex() for number in (one.value, *(one.interval or ())) if number is not None]


def _bounds(one: Statement) -> tuple[float, float] | None:
    """Where the true value is said to lie; None where that is not said."""
    exact = one.evidence == Evidence.exact and one.value is not None
    low, high = one.interval or ((one.value, one.value) if exact else (None, None))
    return None if low is None or high is None or math.isnan(low + high) else (float(low), float(high))
