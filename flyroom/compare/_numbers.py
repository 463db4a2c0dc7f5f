"""The means over seeds of two stores: paired or not, tested, and adjusted for how many there are."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from flyroom import stats
from flyroom.compare._found import Agreement, Number
from flyroom.compare._runs import same
from flyroom.records import Evidence, Json, Measurement, Result
from flyroom.store import Record

Group = tuple[int, str]  # the version and the settings of runs that differ by their seed
Seeds = dict[str, float]  # what one value was, by the name of its seed


def numbers(a: Sequence[Record], b: Sequence[Record]) -> tuple[Number, ...]:
    """Every value of every setting of one claim, compared by its mean over seeds."""
    left, right = _groups(a), _groups(b)
    found = []
    for group in {**left, **right}:
        ours, theirs = left.get(group, []), right.get(group, [])
        name = _seed_name(ours, theirs)
        for value in dict.fromkeys(value for one in (*ours, *theirs) for value in one.values):
            seeds = [{name(one): one.values[value] for one in side if value in one.values} for side in (ours, theirs)]
            found.append(_number(group[0], (ours or theirs)[0].run.settings, value, *seeds))
    tested = {place: one.p for place, one in enumerate(found) if one.p is not None}
    adjusted = stats.holm(list(tested.values())) if tested else ()
    for place, p in zip(tested, adjusted, strict=True):
        found[place] = _decided(replace(found[place], p=p))
    return tuple(found)


def _groups(records: Sequence[Record]) -> dict[Group, list[Result]]:
    groups: dict[Group, list[Result]] = {}
    for record in records:
        run = record.result.run
        groups.setdefault((run.version, json.dumps(dict(run.settings), sort_keys=True)), []).append(record.result)
    return groups


def _seed_name(*sides: Sequence[Result]) -> Callable[[Result], str]:
    """How runs of a group are told apart: by their seed, or by seed and data where a seed has several data."""
    if all(len({one.run.seed for one in side}) == len(side) for side in sides):
        return lambda one: str(one.run.seed)
    return lambda one: json.dumps([one.run.seed, dict(one.run.data)], sort_keys=True)


def _number(version: int, settings: Mapping[str, Json], value: str, a: Seeds, b: Seeds) -> Number:
    """The number before it is decided: its agreement is final only where no test was made."""
    finite_a, finite_b = ([x for x in side.values() if math.isfinite(x)] for side in (a, b))
    means = [stats.mean_interval(one) if one else None for one in (finite_a, finite_b)]
    lost = len(a) - len(finite_a), len(b) - len(finite_b)
    bare = Number(version, settings, value, means[0], means[1], lost, None, "", None, Agreement.undecided)
    if not a or not b:
        return replace(bare, agreement=Agreement.only_a if a else Agreement.only_b)
    common = [seed for seed in a if seed in b]
    paired = 2 * len(common) >= min(len(a), len(b))
    if paired and all(same(a[seed], b[seed]) for seed in common):
        return replace(bare, agreement=Agreement.identical)
    if paired:
        differences = [b[seed] - a[seed] for seed in common if math.isfinite(b[seed] - a[seed])]
        found = stats.mean_interval(differences) if differences else None
        p = stats.sign_flip(differences) if differences else 1.0
        counts = [[math.isfinite(side[seed]) for seed in common] for side in (a, b)]
    else:
        found, p = _welch(finite_a, finite_b)
        counts = [[math.isfinite(x) for x in side.values()] for side in (a, b)]
    p = _with_lost(p, counts)
    return replace(bare, difference=found, test="paired" if paired else "Welch", p=p)


def _decided(one: Number) -> Number:
    """A tested number with its verdict; its p is adjusted."""
    interval = one.difference.interval if one.difference else None
    if one.p is not None and one.p < stats.LEVEL:
        return replace(one, agreement=Agreement.differs)
    holds = interval is not None and interval[0] <= 0 <= interval[1]
    return replace(one, agreement=Agreement.agrees if holds and one.lost[0] == one.lost[1] else Agreement.undecided)


def _welch(a: Sequence[float], b: Sequence[float]) -> tuple[Measurement | None, float]:
    """The difference of two means without pairs, with Welch's interval, and its two-sided p."""
    if not a or not b:
        return None, 1.0
    difference, n = float(np.mean(b) - np.mean(a)), min(len(a), len(b))
    if n == 1:
        return Measurement(difference, None, Evidence.single, 1), 1.0
    if len({*a}) == len({*b}) == 1:  # no spread for Welch: how often would labels drawn anew part the two so well?
        p = 2 / math.comb(len(a) + len(b), len(a)) if difference else 1.0
        return Measurement(difference, (difference, difference), Evidence.estimate, n), min(1.0, p)
    from scipy.stats import ttest_ind

    test: Any = ttest_ind(b, a, equal_var=False)
    low, high = test.confidence_interval(1 - stats.LEVEL)
    return Measurement(difference, (float(low), float(high)), Evidence.estimate, n), float(test.pvalue)


def _with_lost(p: float, finite: Sequence[Sequence[bool]]) -> float:
    """p joined with that of the shares of finite values, where these differ."""
    kept, lost = [sum(side) for side in finite], [len(side) - sum(side) for side in finite]
    if not any(lost) or kept[0] * lost[1] == kept[1] * lost[0]:
        return p
    from scipy.stats import fisher_exact

    exact: Any = fisher_exact([kept, lost])
    return min(1.0, 2 * min(p, float(exact.pvalue)))
