"""How soon networks come to a given loss: what claims on the speed of training share.

The loss of one batch is noisy, so a network has arrived when the mean over its last so many batches lies below the
level. One that has not arrived after all of its updates is *censored*: it is counted with their number, which is less
than it needs. So nothing that decides here asks by how much: pairs of one seed are compared by which came first, two
that never arrived are a tie, and signs are tested (a sign test, paired by seed). What is said of means is a lower bound
then.

Rates are chosen on seeds of their own: the fastest of a grid is fast by selection.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from flyroom import stats
from flyroom.claims import trials
from flyroom.records import Json, Result, Run

CHOOSING = 1000  # runs of seeds from here on choose rates; those below judge
POINTS = 80  # of a curve of arrivals


def arrival(losses: Float[np.ndarray, " step"], level: float, window: int) -> int | None:
    """The number of updates after which the mean loss of the last `window` batches is below `level` for the first time.

    None where it never is. After a loss that is not finite nothing counts.

    >>> arrival(np.array([4.0, 2.0, 1.0, 1.0]), 1.75, 2)
    3
    """
    broken = np.flatnonzero(~np.isfinite(losses))
    kept = np.asarray(losses, np.float64)[: broken[0] if len(broken) else len(losses)]
    if len(kept) < window:
        return None
    means = np.convolve(kept, np.full(window, 1 / window), "valid")
    below = np.flatnonzero(means < level)
    return int(below[0]) + window if len(below) else None


def result(run: Run, losses: Float[np.ndarray, " step"], level: float, window: int, budget: int) -> Result:
    """What a run leaves: `steps` (the budget where it is censored), `reached` (1 or 0), and where it broke down.

    Losses after its arrival change nothing.
    """
    arrived = arrival(losses[:budget], level, window)
    values = {"steps": float(budget if arrived is None else arrived), "reached": float(arrived is not None)}
    broken = np.flatnonzero(~np.isfinite(losses))
    if arrived is None and len(broken):
        values["diverged_at_step"] = float(broken[0])
    return Result(run, values)


def seeds(runs: int, choosing: int) -> tuple[int, ...]:
    """Those that judge, then those that choose."""
    return (*range(runs), *range(CHOOSING, CHOOSING + choosing))


def best_rate(results: Sequence[Result], rates: Sequence[float], **coordinates: Json) -> float:
    """The rate at which networks of the choosing seeds arrive soonest, by geometric mean; the lower one in a tie."""
    choosing = [one for one in results if one.run.seed >= CHOOSING]
    means = [np.mean(np.log(trials.by_seed(choosing, "steps", rate=rate, **coordinates))) for rate in rates]
    return rates[int(np.argmin(means))]


def judging(results: Sequence[Result], value: str, **coordinates: Json) -> list[float]:
    """One value of the runs that judge, by seed."""
    return trials.by_seed([one for one in results if one.run.seed < CHOOSING], value, **coordinates)


def sooner(fast: Sequence[float], slow: Sequence[float]) -> list[float]:
    """By seed: 1 where the first is the sooner, -1 where it is the later, 0 where neither is (both may be censored).

    >>> sooner([300.0, 900.0, 2000.0], [500.0, 700.0, 2000.0])
    [1.0, -1.0, 0.0]
    """
    return np.sign(np.subtract(slow, fast)).astype(float).tolist()


def judge_sooner(families: Sequence[Sequence[float]]) -> tuple[stats.Order, ...]:
    """Judge statements "the first is the sooner", each a list of signs by seed, corrected together (Holm).

    The value is the share of seeds in which it was, less the share in which it was the later.
    """
    return stats.judge_orders([(np.zeros(len(signs)), signs) for signs in families])


def shown(steps: Sequence[float], reached: Sequence[float], *, interval: bool = True) -> str:
    """Steps as text: the geometric mean, with its interval or without, a lower bound where some never arrived.

    >>> shown([400.0], [1.0]), shown([400.0, 2000.0], [1.0, 0.0])[:6], shown([2000.0] * 3, [0.0] * 3)
    ('400', '≥ 894 ', 'never')
    """
    never = int(len(reached) - sum(reached))
    if never == len(reached):
        return "never"
    found = stats.mean_interval(np.log(steps))
    text = f"{'≥ ' if never else ''}{np.exp(found.value):.0f}"
    if interval and found.interval is not None:
        text += f" [{np.exp(found.interval[0]):.0f}, {np.exp(found.interval[1]):.0f}]"
    return text + (f", {never} never" if never else "")


def arrived(
    steps: Sequence[float], reached: Sequence[float], budget: int, place: Mapping[str, Json]
) -> list[dict[str, Json]]:
    """Rows of a figure: the share of networks that had arrived after so many updates."""
    when = np.where(np.asarray(reached) > 0, steps, np.inf)
    return [
        {**place, "step": float(at), "mean": float(np.mean(when <= at))} for at in np.linspace(0, budget, POINTS + 1)
    ]
