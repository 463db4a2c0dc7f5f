"""From settings to runs, from runs to trained networks, from results back to numbers by seed: what claims keep needing.

Nothing here decides anything: which networks, which data, which sentence is each claim's own.
"""

from collections.abc import Sequence
from dataclasses import fields
from math import isfinite
from typing import Any

import numpy as np
import optax
from jaxtyping import Int

from flyroom import stats, train
from flyroom.losses import both_parts, cross_entropy
from flyroom.records import About, Dataset, Json, Judgement, Result, Run, Statement, Verdict


def momentum(learning_rate: Any) -> optax.GradientTransformation:
    """Gradient descent with momentum 0.9, as PyTorch's SGD; one function, so that it is compiled once."""
    return optax.sgd(learning_rate, momentum=0.9)


def differing(settings: Any, *leave_out: str) -> dict[str, Json]:
    """What differs from the defaults of the same settings and changes a run's numbers: it belongs to a run's identity.

    `leave_out` names what does not: the number of runs, what is only drawn.
    """
    default = type(settings)()
    given = {field.name: getattr(settings, field.name) for field in fields(settings) if field.name not in leave_out}
    return {name: value for name, value in given.items() if value != getattr(default, name)}


def require_positive(settings: Any, *names: str) -> None:
    """Raise ValueError, naming all of them, unless each of these settings is at least 1."""
    found = {name: getattr(settings, name) for name in names}
    if min(found.values()) < 1:
        said = ", ".join(f"{name} {value}" for name, value in found.items())
        raise ValueError(f"{said}: each must be at least 1")


def require_rate(settings: Any) -> None:
    """Raise ValueError unless the `learning_rate` of these settings is finite and above 0."""
    if not (isfinite(settings.learning_rate) and settings.learning_rate > 0):
        default = type(settings)().learning_rate
        raise ValueError(f"learning_rate {settings.learning_rate} must be finite and above 0; the default is {default}")


def moments(steps: int, every: int) -> tuple[int, ...]:
    """When to evaluate: before the first update, after each `every` of them, and after the last."""
    return tuple(sorted({*range(0, steps, every), steps}))


def classifiers(
    runs: Sequence[Run],
    nets: Sequence[Any],
    data: Dataset,
    order: Int[np.ndarray, "step batch"] | Sequence[Int[np.ndarray, "_ _"]],
    *,
    learning_rate: float | Sequence[float],
    evaluate_after: tuple[int, ...],
    optimiser: train.Optimiser = train.adam,
    masks: Sequence[Any] | None = None,
) -> list[Result]:
    """Train one classifier a run, side by side, and record its curves.

    Values are those after the last update: `train_accuracy`, `test_accuracy`, `train_loss`, `test_loss`, and
    `diverged_at_step` where a loss was not finite. Curves have a point for each of `evaluate_after`, under `step`.
    """
    x, y = train.examples(data)
    protocol = train.Protocol(cross_entropy, optimiser, both_parts, evaluate_after)
    held = train.both_parts(data)
    trained = train.train_many(nets, x, y, order, protocol, learning_rate=learning_rate, masks=masks, held=held)
    return [recorded(one, net, data, evaluate_after) for one, net in zip(runs, trained, strict=True)]


def recorded(run: Run, trained: train.Trained, data: Dataset, steps: Sequence[int]) -> Result:
    """The result of a network that was evaluated by `losses.both_parts` after these steps."""
    curves = train.accuracies(trained, data)
    values = {name: curve[-1] for name, curve in curves.items()}
    broken = train.diverged(trained)
    if broken is not None:
        values["diverged_at_step"] = float(broken)
    return Result(run, values, {"step": [float(step) for step in steps], **curves})


def where(results: Sequence[Result], **coordinates: Json) -> list[Result]:
    """The results whose settings have these coordinates, by seed.

    A setting that a run does not have counts as None: `where(results, net="cnn", noise=None)`.
    """
    chosen = [one for one in results if all(one.run.settings.get(name) == value for name, value in coordinates.items())]
    return sorted(chosen, key=lambda one: one.run.seed)


def by_seed(results: Sequence[Result], value: str, **coordinates: Json) -> list[float]:
    """One value of every run with these coordinates, by seed; ValueError where there is no such run."""
    chosen = where(results, **coordinates)
    if not chosen:
        said = ", ".join(f"{name} {given}" for name, given in coordinates.items())
        raise ValueError(f"no run of {said} is stored, so the claim cannot be judged; run it again")
    return [one.values[value] for one in chosen]


def judgement(
    about: About,
    results: Sequence[Result],
    statements: Sequence[Statement],
    supported: str,
    *,
    table: tuple[tuple[str, ...], ...] = (),
    runs: int | None = None,
) -> Judgement:
    """The verdict that the headline statements add up to, with a sentence that names those that decided it.

    `supported` is the sentence for the case that all of them hold; `runs` counts the results, unless some of them are
    no runs (a baseline that was measured once).
    """
    verdict = stats.combine(statements)
    headlines = [one for one in statements if one.headline]
    held = f"{sum(one.verdict == Verdict.supported for one in headlines)} of {len(headlines)} headline statements hold"
    decisive = "; ".join(one.sentence for one in headlines if one.verdict == verdict)
    sentence = {
        Verdict.supported: supported,
        Verdict.refuted: f"{held}; not as published: {decisive}.",
        Verdict.undecided: f"{held}; not decided by these runs: {decisive}.",
    }[verdict]
    return Judgement(
        claim=about.id,
        version=about.version,
        verdict=verdict,
        sentence=sentence,
        statements=tuple(statements),
        runs=len(results) if runs is None else runs,
        table=table,
        wall_s=sum(one.wall_s for one in results),
        cpu_s=sum(one.cpu_s for one in results),
    )
