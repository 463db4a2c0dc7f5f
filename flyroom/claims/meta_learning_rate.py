"""Claim: gradient descent on a learning rate, through the whole training, finds the best one from far above and below.

Source: Greydanus and Kobak, "Scaling Down Deep Learning with MNIST-1D", ICML 2024 (arXiv 2011.14439), section 3 and
Figure 6, and the notebook `metalearn-learn-rate`.

Protocol: the published data set; an MLP 40-50-10 with tanh, 200 steps of plain gradient descent, batches of 50 in the
order of the data; the outer loss is the mean of the 200 losses; its derivative with respect to the learning rate,
through all 200 steps, moves the rate by outer gradient descent at 0.3, 50 times, from 1.5 and from 0.15, with the same
first weights each time. The derivative of one number with respect to one number is taken forwards (Jacobian times
vector): the same derivative as by reverse differentiation of the unrolled training, and nothing is kept.

Predicted before the first run, from the output printed in the notebook (one first draw): rates .624 and .620 after 50
outer steps, mean inner loss 1.716, last inner loss 1.505. Over ten first draws: the two starts end within .01 of one
another; learned rates .62 +- .05, mean losses 1.716 +- .02; the loss at the learned rate is at most .001 above the best
of a fine grid, whose best rate is at most one step of it (8 %) away; from 1.5 and .15 outer rates up to 1 arrive as
well, and from outer rate 3 or a start of 5 some do not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from flyroom import plot, stats
from flyroom.claims import trials
from flyroom.claims._meta import as_published, require_batches, spread
from flyroom.claims.statements import bounds, difference, within
from flyroom.data import mnist1d
from flyroom.losses import cross_entropy
from flyroom.nets.mlp import MLP
from flyroom.records import About, Cell, Dataset, Json, Judgement, Result, Run, Statement
from flyroom.train import contiguous

ABOUT = About(
    id="meta-learning-rate",
    version=1,
    title="Learning a learning rate by gradient descent",
    sentence="Gradient descent on the learning rate, through a whole training of 200 steps, ends at the same rate from "
    "far above and from far below, and that rate is the best one.",
    source="Greydanus and Kobak, Scaling Down Deep Learning with MNIST-1D, ICML 2024 (arXiv 2011.14439), Figure 6",
    prediction="From 1.5 and from 0.15 the learned rates end within .01 of one another (published .624 and .620), at "
    ".62 +- .05 over first draws, with a mean inner loss of 1.716 +- .02. The loss there is at most .001 above the "
    "best of a fine grid, and the grid's best rate at most 8 % away. Outer rates up to 1 arrive too; from outer rate "
    "3, or a start of 5, some do not.",
    cost_s=20.0,
)

ABOVE, BELOW = 1.5, 0.15  # where the notebook starts
PUBLISHED = {ABOVE: 0.624, BELOW: 0.620}  # the learned rate at outer step 48, as printed
PUBLISHED_LOSS = 1.716
PUBLISHED_LAST = {ABOVE: 1.505, BELOW: 1.506}
# The learned rate after outer step k of the notebook's first draw, as printed.
PRINTED: Mapping[float, Mapping[int, float]] = {
    ABOVE: {3: 1.259, 6: 1.044, 9: 0.911, 12: 0.821, 15: 0.761, 30: 0.648, 48: 0.624},
    BELOW: {3: 0.491, 6: 0.541, 9: 0.569, 12: 0.586, 15: 0.597, 30: 0.617, 48: 0.620},
}

MEET = 0.01  # the notebook calls .624 and .620 "~0.62": equal to two decimals
EXCESS = 0.001  # the last decimal of the losses that the notebook prints
GRID_FROM, GRID_TO, GRID_COUNT = 0.05, 5.0, 61  # learning rates, each 8 % above the one before
FARTHEST = 2 * GRID_TO  # a rate beyond it has left the grid for good
STEP = (GRID_TO / GRID_FROM) ** (1 / (GRID_COUNT - 1)) - 1
MAP_RATES = (0.03, 0.1, 0.3, 1.0, 3.0)  # outer learning rates of the map
MAP_STARTS = (0.05, 0.15, 0.5, 1.0, 1.5, 3.0, 5.0)


@dataclass(frozen=True)
class Settings:
    """What a run of this claim may change. All but the counts of runs are part of a run's identity."""

    runs: int = 10  # first draws of the weights, each from both starts and over the grid
    map_runs: int = 2  # first draws for the map of starts and outer rates; 0 leaves it out
    outer_steps: int = 50  # updates of the learning rate
    outer_rate: float = 0.3  # of gradient descent on the learning rate
    steps: int = 200  # updates of a training
    batch: int = 50  # examples an update
    hidden: int = 50  # tanh units


def quick(settings: Settings) -> dict[str, Any]:
    """The short form: two first draws, shorter trainings, no map."""
    return {
        "runs": min(settings.runs, 2),
        "map_runs": 0,
        "outer_steps": min(settings.outer_steps, 20),
        "steps": min(settings.steps, 100),
    }


def cells(settings: Settings) -> list[Cell]:
    """Both starts and the grid for every first draw, and the map for the first of them.

    Raises ValueError for counts below 1, steps above a million, a batch that does not fit, and rates not above 0.
    """
    trials.require_positive(settings, "runs", "outer_steps", "steps", "hidden")
    if settings.map_runs < 0:
        raise ValueError(f"map_runs {settings.map_runs} is less than none; 0 leaves the map out")
    if not 0 < settings.outer_rate < np.inf:
        raise ValueError(f"outer_rate {settings.outer_rate:g} must be finite and above 0; the published one is 0.3")
    require_batches(settings, _data(), "steps")
    changed = trials.differing(settings, "runs", "map_runs", "outer_rate", "outer_steps")
    outer = {**changed, **trials.differing(settings, "runs", "map_runs", "steps", "batch", "hidden", "outer_rate")}

    def cell(coordinates: Mapping[str, Json], runs: int) -> Cell:
        recipe = _data().recipe
        return Cell(tuple(Run(ABOUT.id, ABOUT.version, coordinates, seed, recipe) for seed in range(runs)))

    wanted = [
        cell({"what": "learn", "start": start, "outer_rate": settings.outer_rate, **outer}, settings.runs)
        for start in (ABOVE, BELOW)
    ]
    wanted.append(cell({"what": "grid", **changed}, settings.runs))
    if settings.map_runs:
        wanted += [cell({"what": "map", "outer_rate": rate, **outer}, settings.map_runs) for rate in MAP_RATES]
    return wanted


@cache
def _data() -> Dataset:
    return mnist1d.make()


def cost(run: Run) -> float:
    """Seconds of one core, roughly: 60 us for a step with its derivative, 20 us without."""
    steps = run.settings.get("steps", Settings().steps)
    if run.settings["what"] == "grid":
        return 20e-6 * steps * GRID_COUNT
    outer = 60e-6 * steps * run.settings.get("outer_steps", Settings().outer_steps)
    return outer * (len(MAP_STARTS) if run.settings["what"] == "map" else 1)


class _Shared(NamedTuple):
    x: Float[Array, "example input"]
    y: Int[Array, " example"]
    order: Int[Array, "step batch"]


def losses(rate: Float[Array, ""], net: MLP, shared: _Shared) -> Float[Array, " step"]:
    """The loss of each batch before its update, in a training by plain gradient descent at this rate."""

    def update(net, taken):
        loss, gradient = jax.value_and_grad(cross_entropy)(net, shared.x[taken], shared.y[taken])
        return jax.tree.map(lambda w, g: w - rate * g, net, gradient), loss

    return jax.lax.scan(update, net, shared.order)[1]


def slope(rate: Float[Array, ""], net: MLP, shared: _Shared) -> tuple[Array, Array, Array]:
    """The mean loss, its derivative with respect to the rate through the whole training, and the last loss."""
    found, change = jax.jvp(lambda rate: losses(rate, net, shared), (rate,), (jnp.ones_like(rate),))
    return jnp.mean(found), jnp.mean(change), found[-1]


def _learn(outer_steps: int, member: tuple, shared: _Shared) -> tuple[Array, Array, Array]:
    """Rates (before each outer step, and the learned one), mean losses and last losses, from one start or several."""
    net, starts, outer_rate = member

    def from_one(start):
        def update(rate, _):
            mean, derivative, last = slope(rate, net, shared)
            return rate - outer_rate * derivative, (rate, mean, last)

        rate, (rates, means, lasts) = jax.lax.scan(update, start, None, length=outer_steps)
        mean, _, last = slope(rate, net, shared)
        return jnp.append(rates, rate), jnp.append(means, mean), jnp.append(lasts, last)

    return jax.lax.map(from_one, starts)


def _grid(_: None, member: tuple, shared: _Shared) -> Float[Array, " rate"]:
    net, rates = member
    return jax.lax.map(lambda rate: jnp.mean(losses(rate, net, shared)), rates)


def grid() -> Float[np.ndarray, " rate"]:
    """The rates of the grid, from 0.05 to 5."""
    return np.geomspace(GRID_FROM, GRID_TO, GRID_COUNT).astype(np.float32)


def run(cell: Cell, settings: Settings) -> list[Result]:
    """The seed draws the first weights, as PyTorch draws them; nothing else is random."""
    first = cell.runs[0].settings
    data = _data()
    order = contiguous(len(data.x_train), settings.batch, settings.steps)
    shared = _Shared(jnp.asarray(data.x_train, jnp.float32), jnp.asarray(data.y_train, jnp.int32), jnp.asarray(order))
    nets = [MLP.init(jax.random.key(one.seed), (40, settings.hidden, 10), jnp.tanh) for one in cell.runs]
    if first["what"] == "grid":
        found = spread(_grid, None, [(net, grid()) for net in nets], shared)
        return [
            Result(one, _best(means), {"rate": grid().tolist(), "mean_loss": means.tolist()})
            for one, means in zip(cell.runs, found, strict=True)
        ]
    starts = np.array(MAP_STARTS if first["what"] == "map" else [first["start"]], np.float32)
    members = [(net, starts, np.float32(first["outer_rate"])) for net in nets]
    paths = spread(_learn, settings.outer_steps, members, shared)
    results = []
    for one, (rates, means, lasts) in zip(cell.runs, paths, strict=True):
        if first["what"] == "map":
            curves = {"start": list(MAP_STARTS), "rate": rates[:, -1].tolist(), "mean_loss": means[:, -1].tolist()}
            results.append(Result(one, {"arrived": float(np.isfinite(means[:, -1]).sum())}, curves))
            continue
        values = {"rate": rates[0, -1], "mean_loss": means[0, -1], "last_loss": lasts[0, -1], "first_loss": means[0, 0]}
        curves = {"step": list(range(len(rates[0]))), "rate": rates[0], "mean_loss": means[0]}
        results.append(
            Result(
                one,
                {name: float(value) for name, value in values.items()},
                {name: [float(value) for value in curve] for name, curve in curves.items()},
            )
        )
    return results


def _best(means: Float[np.ndarray, " rate"]) -> dict[str, float]:
    """The lowest loss of the grid and where it is; a rate at which training broke down is not the best."""
    whole = np.where(np.isfinite(means), means, np.inf)
    best = int(np.argmin(whole))
    return {"best_rate": float(grid()[best]), "best_loss": float(whole[best])}


def judge(results: Sequence[Result], settings: Settings) -> Judgement:
    """From stored results to statements, and from the headlines among them to the verdict."""
    rates = {start: _learned(results, start, "rate") for start in PUBLISHED}
    means = {start: _learned(results, start, "mean_loss") for start in PUBLISHED}
    firsts = {start: _learned(results, start, "first_loss") for start in PUBLISHED}
    best_rate = trials.by_seed(results, "best_rate", what="grid")
    best_loss = trials.by_seed(results, "best_loss", what="grid")
    # A learning rate that ran away is equal to nothing, not to another that did: its pair counts as GRID_TO apart.
    both = np.isfinite(rates[ABOVE]) & np.isfinite(rates[BELOW])
    bad = {start: np.where(np.isfinite(means[start]), means[start], np.log(10)) for start in PUBLISHED}
    apart = stats.mean_interval(np.where(both, np.abs(rates[ABOVE] - rates[BELOW]), GRID_TO))
    middle = (rates[ABOVE] + rates[BELOW]) / 2
    away = stats.mean_interval(np.where(both, np.abs(middle / np.asarray(best_rate) - 1), GRID_TO))
    excess = stats.mean_interval(np.maximum(bad[ABOVE], bad[BELOW]) - np.asarray(best_loss))
    begin = {start: np.where(np.isfinite(firsts[start]), firsts[start], np.log(10)) for start in PUBLISHED}
    falls = stats.judge_orders([(bad[start], begin[start]) for start in PUBLISHED])
    statements = (
        within("starts-meet", "Both starts end within 0.01", apart, high=MEET, unit="rate", headline=True),
        within(
            "loss-is-the-best", "Its loss ≤ the grid's best + 0.001", excess, high=EXCESS, unit="nats", headline=True
        ),
        within(
            "rate-is-the-best", "It is within a grid step of the best", away, high=STEP, unit="relative", headline=True
        ),
        *(
            _in_nats(difference(f"better-than-{name}", f"It is better than {start:g}", order, headline=True))
            for (name, start), order in zip((("above", ABOVE), ("below", BELOW)), falls, strict=True)
        ),
        *_published(rates, means, results),
    )
    return trials.judgement(
        ABOUT,
        results,
        statements,
        "From far above and far below the learning rate ends in the same place, and no rate of a fine grid is better.",
        table=_table(results),
    )


def _lost(rate: Float[np.ndarray, "*many"], mean_loss: Float[np.ndarray, "*many"]) -> Bool[np.ndarray, "*many"]:
    """Where nothing was learned: a rate that is not above 0, or left the grid for good, or a loss that is no number.

    A rate that runs away need not end as NaN: 2e11 is finite, and so may be the loss of a training at it.
    """
    return ~(np.isfinite(mean_loss) & (rate > 0) & (rate <= FARTHEST))


def _learned(results: Sequence[Result], start: float, value: str) -> np.ndarray:
    """One value by seed, NaN where the run was lost; its first loss was measured all the same."""
    found, rate, mean = (
        np.array(trials.by_seed(results, name, what="learn", start=start), float)
        for name in (value, "rate", "mean_loss")
    )
    return found if value == "first_loss" else np.where(_lost(rate, mean), np.nan, found)


def _in_nats(statement: Statement) -> Statement:
    return replace(statement, unit="nats")


def _published(rates: Mapping, means: Mapping, results: Sequence[Result]) -> list[Statement]:
    """The notebook's first draw among ours; a run that was lost is left out here, and is in the headlines."""
    found = []
    for name, start in (("above", ABOVE), ("below", BELOW)):
        compared = (
            ("rate", "Rate", rates[start], PUBLISHED[start], "rate"),
            ("loss", "Mean loss", means[start], PUBLISHED_LOSS, "nats"),
            ("last", "Last loss", _learned(results, start, "last_loss"), PUBLISHED_LAST[start], "nats"),
        )
        for short, what, values, published, unit in compared:
            kept = values[np.isfinite(values)].tolist()
            if kept:
                sentence = f"{what} from {start:g}: as published"
                found.append(as_published(f"published-{short}-{name}", sentence, kept, published, 3, unit))
    return found


def _table(results: Sequence[Result]) -> tuple[tuple[str, ...], ...]:
    def text(values: Sequence[float] | np.ndarray) -> str:
        kept = np.asarray(values)[np.isfinite(values)]
        lost = len(values) - len(kept)
        if not len(kept):
            return f"{lost} ran away"
        found = stats.mean_interval(kept)
        between = "" if found.interval is None else f" [{found.interval[0]:.3f}, {found.interval[1]:.3f}]"
        return f"{found.value:.3f}{between}" + (f", {lost} ran away" if lost else "")

    rows = [
        (
            f"learned from {start:g}",
            text(_learned(results, start, "rate")),
            f"{PUBLISHED[start]:.3f}",
            text(_learned(results, start, "mean_loss")),
            f"{PUBLISHED_LOSS:.3f}",
            str(len(_learned(results, start, "rate"))),
        )
        for start in PUBLISHED
    ]
    rate, loss = (trials.by_seed(results, value, what="grid") for value in ("best_rate", "best_loss"))
    rows.append(("best of the grid", text(rate), "", text(loss), "", str(len(rate))))
    return (("", "learning rate", "published", "mean loss", "published", "runs"), *rows)


def figure(results: Sequence[Result], judgement: Judgement) -> dict[str, Json]:
    """The two ways to the learned rate, the loss over the grid, and where other starts and outer rates lead."""
    drawn = {"The learning rate on its way, from both starts": _ways(results)}
    if (over_grid := _over_grid(results)) is not None:
        drawn["Mean loss of a training at each rate of the grid, and the learned rate"] = over_grid
    tiles = _map(results)
    if any(row["value"] is not None for row in tiles):
        drawn["Where other starts and outer rates lead (learning rate after the last outer step)"] = plot.tiles(
            tiles, x="start", y="outer rate", value="value", panel="draw", x_title="first learning rate",
            y_title="outer rate", value_title="learned rate", title="Where it leads", domain=(0.0, 2.0),
        )  # fmt: skip
    return drawn


def _over_grid(results: Sequence[Result]) -> Json | None:
    """Where all first draws have a loss; None where they nowhere have."""
    grids, learned = trials.where(results, what="grid"), _learned(results, BELOW, "rate")
    values = np.array([one.curves["mean_loss"] for one in grids])
    rows = [
        {"net": "mean loss", "data": "a training at this rate", "rate": rate, "mean": found.value, **bounds(found)}
        for i, rate in enumerate(grids[0].curves["rate"])
        if np.isfinite(values[:, i]).all()
        for found in [stats.mean_interval(values[:, i])]
    ]
    if not rows:
        return None
    kept = learned[np.isfinite(learned)]
    rules = [{"rate": float(kept.mean()), "label": f"learned: {kept.mean():.3f}"}] if len(kept) else []
    lowest = min(row["mean"] for row in rows)  # high rates, of which none is near the best, leave the figure
    return plot.curves(
        rows, x="rate", x_title="learning rate", y_title="mean loss of the training", percent=False, log_x=True,
        rules=rules, y_domain=(lowest - 0.05, lowest + 0.45), title="Is the learned rate the best?",
        subtitle=f"{len(grids)} first draws",
    )  # fmt: skip


def _ways(results: Sequence[Result]) -> Json:
    rows, marks = [], []
    for start in PUBLISHED:
        place = {"net": f"from {start:g}", "data": "learning rate"}
        chosen = trials.where(results, what="learn", start=start)
        ways, losses = (np.array([one.curves[name] for one in chosen], float) for name in ("rate", "mean_loss"))
        for step in range(ways.shape[1]):
            if not _lost(ways[:, step], losses[:, step]).any():
                found = stats.mean_interval(ways[:, step])
                rows.append({**place, "step": step, "mean": found.value, **bounds(found)})
        # The notebook prints the rate after the update of its step k: after k + 1 updates.
        marks += [{**place, "step": k + 1, "mean": rate} for k, rate in PRINTED[start].items() if k < ways.shape[1] - 1]
    return plot.curves(
        rows, published=marks, x_title="outer step", y_title="learning rate", percent=False,
        title="The learning rate on its way", subtitle="means over first draws, and the notebook's one draw",
    )  # fmt: skip


def _map(results: Sequence[Result]) -> list[dict[str, Json]]:
    rows = []
    for one in trials.where(results, what="map"):
        lost = _lost(*(np.array(one.curves[name], float) for name in ("rate", "mean_loss")))
        for start, rate, gone in zip(one.curves["start"], one.curves["rate"], lost, strict=True):
            place = {"start": start, "outer rate": one.run.settings["outer_rate"], "draw": f"first draw {one.run.seed}"}
            rows.append({**place, "value": None if gone else rate})
    return rows
