"""Statements from statistics, in the forms that claims keep needing; shared, so that all claims judge alike."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from flyroom import stats
from flyroom.records import Evidence, Json, Measurement, Result, Statement, Verdict


def difference(
    name: str,
    sentence: str,
    order: stats.Order,
    *,
    unit: str = "accuracy",
    headline: bool = False,
    published: str = "",
) -> Statement:
    """ "Low is below high", as `stats.judge_orders` found it; the value is high - low."""
    found = order.difference
    return Statement(
        id=name,
        sentence=sentence,
        verdict=order.verdict,
        value=found.value,
        interval=found.interval,
        published=published or None,
        evidence=found.evidence,
        n=found.n,
        p=order.p,
        unit=unit,
        headline=headline,
    )


def within(
    name: str,
    sentence: str,
    found: Measurement,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    unit: str = "accuracy",
    headline: bool = False,
    published: str = "",
) -> Statement:
    """ "The value lies between low and high", decided by its interval."""
    return Statement(
        id=name,
        sentence=sentence,
        verdict=stats.judge_within(found, low, high),
        value=found.value,
        interval=found.interval,
        published=published or None,
        evidence=found.evidence,
        n=found.n,
        unit=unit,
        headline=headline,
    )


def against_published(name: str, sentence: str, values: Sequence[float], mean: float, plus_minus: float) -> Statement:
    """A published accuracy beside ours: the interval is the prediction interval of one further run of ours.

    It is shown within 0 and 1, where every published accuracy lies, so the verdict is the same.
    """
    ours = stats.mean_interval(values)
    low_high = np.clip(stats.prediction_interval(values), 0, 1).tolist() if len(values) > 1 else None
    return Statement(
        id=name,
        sentence=sentence,
        verdict=stats.published(values, mean, plus_minus),
        value=ours.value,
        interval=None if low_high is None else (low_high[0], low_high[1]),
        published=f"{percent(mean, plus_minus)} %",
        evidence=ours.evidence,
        n=len(values),
        unit="accuracy",
    )


def unmeasured(name: str, sentence: str, published: str = "") -> Statement:
    """A statement that these runs say nothing about: undecided, without a value."""
    return Statement(name, sentence, Verdict.undecided, published=published or None, evidence=Evidence.single)


def percent(mean: float, plus_minus: float) -> str:
    """A published figure in per cent as text: 68 ± 2, or 54.1 where it was printed without a spread."""
    if plus_minus == 0:
        return f"{100 * mean:.1f}"
    return f"{100 * mean:.0f} ± {100 * plus_minus:.0f}"


def percent_with_interval(values: Sequence[float]) -> str:
    """A mean accuracy over seeds in per cent as text: 64.1 [63.5, 64.8]."""
    found = mean_accuracy(values)
    text = f"{100 * found.value:.1f}"
    return text if found.interval is None else f"{text} [{100 * found.interval[0]:.1f}, {100 * found.interval[1]:.1f}]"


def mean_accuracy(values: Sequence[float]) -> Measurement:
    """`stats.mean_interval`, its interval within 0 and 1: Student's, of few values, may reach beyond."""
    found = stats.mean_interval(values)
    if found.interval is None:
        return found
    return replace(found, interval=(max(0.0, found.interval[0]), min(1.0, found.interval[1])))


def bounds(found: Measurement) -> dict[str, Json]:
    """`low` and `high` for a row of a figure; nothing where there is no interval."""
    return {} if found.interval is None else {"low": found.interval[0], "high": found.interval[1]}


def band(results: Sequence[Result], curve: str, place: Mapping[str, Json]) -> list[dict[str, Json]]:
    """Rows of a figure: the mean of one accuracy curve over runs with its pointwise interval, at every step."""
    values = np.array([one.curves[curve] for one in results])
    low, high = np.clip(stats.mean_band(values), 0, 1) if len(values) > 1 else (values[0], values[0])
    return [
        {**place, "step": step, "mean": float(values[:, i].mean()), "low": float(low[i]), "high": float(high[i])}
        for i, step in enumerate(results[0].curves["step"])
    ]
